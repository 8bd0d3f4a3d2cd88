"""The statements of docs/reference/sql.md do what the page says."""

from typing import Any, Final

import psycopg
import pytest
from psycopg import Connection, sql
from psycopg.rows import dict_row
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from pgsession import (
    Changes,
    PostgresStore,
    SessionMiddleware,
    SessionNotFoundError,
    get_session,
)
from pgsession.core.login import Login
from tests.project.documents import Document

PAGE: Final = Document("docs/reference/sql.md")

POOLED, COUNTS, TOP, SIZES, ONE, BEFORE, CLOSED, MEMBER = PAGE.statements

#: A row that remembers a session from before a switch.
MARKER: Final = """
INSERT INTO session (session_key, verifier, expire_date, created_on, seen_on)
SELECT 'marker', 'adopted', later, later, later FROM (SELECT now() + interval '1 day') AS it (later)
"""


@pytest.fixture
async def signed_in(postgres: PostgresStore) -> list[str]:
    """The keys of two sessions of ann, one of bob and one of a visitor, with their content."""
    content = Changes({"old_member": 1, "theme": "dark"})
    keys = [await postgres.login(None, Login(user), content) for user in ("ann", "ann", "bob")]
    await postgres.generate({"gone": True}, period=-1)
    return [*keys, await postgres.generate({"theme": "light"})]


def rows(table: Connection, statement: str) -> list[dict[str, Any]]:
    with table.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement.encode()).fetchall()


@pytest.mark.usefixtures("signed_in")
async def test_counts(table: Connection, migrated_schema: str) -> None:
    """Living sessions are counted, without the expired ones and the markers."""
    table.execute(MARKER)
    pooled = POOLED.replace("web", migrated_schema)
    with table.cursor() as cursor:
        cursor.execute(pooled.encode())
        found = [cursor.fetchall() for _ in iter(cursor.nextset, None) if cursor.description]

    assert found == [[(6,)]]
    assert rows(table, COUNTS) == [{"living": 4, "of_users": 3, "of_visitors": 1, "users": 2}]
    assert [(it["user_id"], it["sessions"]) for it in rows(table, TOP)] == [("ann", 2), ("bob", 1)]
    assert rows(table, SIZES)[0] == {
        "sessions": 5,
        "mean_bytes": 27,
        "largest_bytes": len('{"theme": "dark", "old_member": 1}'),
    }


def test_one_session(table: Connection) -> None:
    """The first 40 characters of the cookie lead to the row, also after a renewal."""

    async def begin(request: Request) -> Response:
        get_session(request).login("ann", label="laptop")
        return PlainTextResponse("")

    app = Starlette(routes=[Route("/", begin)])
    app.add_middleware(
        SessionMiddleware,
        store=PostgresStore(table.info.dsn, sweep_every=None),
        secret_key="a secret of more than thirty-two bytes",
    )
    with TestClient(app, base_url="https://testserver") as client:
        for _ in range(2):
            client.get("/")
            [cookie] = client.cookies.jar
            assert cookie.value is not None
            [found] = rows(table, ONE.replace(":'selector'", sql.quote(cookie.value[:40])))
            assert (found["user_id"], found["login_label"]) == ("ann", "laptop")


async def test_ending_many(
    table: Connection, postgres: PostgresStore, signed_in: list[str]
) -> None:
    """Sessions from before a moment end, but not those whose rows another transaction holds."""
    table.execute(MARKER)
    table.execute("UPDATE session SET created_on = '2026-10-01' WHERE user_id = 'ann'")
    with psycopg.connect(table.info.dsn, options=table.info.options) as other:
        other.execute("SELECT FROM session WHERE user_id = 'ann' LIMIT 1 FOR UPDATE")
        assert table.execute(BEFORE.encode()).rowcount == 1
    assert table.execute(BEFORE.encode()).rowcount == 1
    assert table.execute(BEFORE.encode()).rowcount == 0

    living = [await postgres.get(key) is not None for key in signed_in]
    assert living == [False, False, True, True]
    with pytest.raises(SessionNotFoundError):
        await postgres.merge(signed_in[0], Changes({"back": True}))


async def test_closed_accounts(
    table: Connection, postgres: PostgresStore, signed_in: list[str]
) -> None:
    """The sessions of closed accounts end, and no others."""
    table.execute("CREATE TABLE account (id text, closed bool)")
    table.execute("INSERT INTO account VALUES ('ann', true), ('bob', false)")
    assert table.execute(CLOSED.encode()).rowcount == 2
    assert [await postgres.get(key) is not None for key in signed_in] == [False, False, True, True]


async def test_content(table: Connection, postgres: PostgresStore, signed_in: list[str]) -> None:
    """A member is removed, and a request that was in flight merges its own change."""
    assert table.execute(MEMBER.encode()).rowcount == 3
    await postgres.merge(signed_in[0], Changes({"new": 2}))

    entry = await postgres.get(signed_in[0])
    assert entry is not None
    assert entry.value == {"theme": "dark", "new": 2}


async def test_safe(table: Connection, postgres: PostgresStore, signed_in: list[str]) -> None:
    """What the page calls safe can be done while a store is open, which goes on."""
    table.execute("UPDATE session SET expire_date = now() WHERE user_id = 'bob'")
    table.execute("VACUUM session")
    table.execute("ANALYZE session")
    table.execute("CREATE INDEX CONCURRENTLY own ON session (user_id)")
    table.execute("ALTER TABLE session ADD COLUMN note text, ADD COLUMN rank int DEFAULT 0")

    assert [await postgres.get(key) is not None for key in signed_in] == [True, True, False, True]
    assert await postgres.generate({}) not in signed_in
    await postgres.check()
    table.execute("TRUNCATE session")
    assert [await postgres.get(key) for key in signed_in] == [None] * 4
