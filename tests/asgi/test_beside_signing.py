"""Requests beside logins and confirmations, and beside transactions that are rolled back."""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from enum import Enum

import pytest
from httpx import AsyncClient
from psycopg import AsyncConnection, Connection
from psycopg.conninfo import make_conninfo
from starlette.middleware import Middleware

from pgsession import (
    MemoryStore,
    PostgresStore,
    RequestEndedError,
    Session,
    SessionError,
    SessionMiddleware,
)
from pgsession.core.cookie import Cookie
from pgsession.core.keys import digest
from pgsession.core.login import Login, printable
from pgsession.core.store import Changes
from pgsession.core.users import UserStore
from tests.pages import DELETED, key_of

Visit = Callable[..., AsyncClient]


def enter(session: Session) -> None:
    session.login("ann")


def who(session: Session) -> str | None:
    return session.user_id


async def test_cookie_behind(visit: Visit, users: UserStore, secret_key: str) -> None:
    """A page whose cookie is due, and whose key a login retires meanwhile, sets none."""
    key = await users.generate({"cart": [1]})

    async def page(session: Session) -> None:
        assert session["cart"] == [1]
        await users.login(key, Login("ann"), Changes())

    text = Cookie(secret_keys=[secret_key]).write(key, timedelta(hours=1)).decode()
    behind = {"cookie": text.partition(";")[0]}

    response = await visit(users, page).get("/page", headers=behind)

    assert "set-cookie" not in response.headers


async def test_clear_beside_login(visit: Visit, users: UserStore) -> None:
    """A late `clear()` ends a session that was confirmed meanwhile, not one of another login."""

    async def forget_confirmed(session: Session) -> None:
        session.clear()
        await users.confirm(key_of(client))

    async def forget_entered(session: Session) -> None:
        session.clear()
        await users.login(key_of(client), Login("ann"), Changes())

    client = visit(users, enter, forget_confirmed, forget_entered)
    await client.get("/enter")
    assert (await client.get("/forget_confirmed")).headers["set-cookie"] == DELETED
    assert await users.devices("ann") == []

    await client.get("/enter")
    assert "set-cookie" not in (await client.get("/forget_entered")).headers
    assert [it.handle for it in await users.devices("ann")] == [digest(key_of(client))]


async def test_logout_after_rollback(
    visit: Visit, postgres: PostgresStore, database_url: str
) -> None:
    """A logout ends the session although the revocation before it is rolled back."""

    async def leave(session: Session) -> None:
        async with await AsyncConnection.connect(database_url) as connection:
            assert await postgres.revoke_all("ann", connection=connection) == 1
            await connection.rollback()
        session.logout()

    client = visit(postgres, enter, leave)
    await client.get("/enter")

    response = await client.get("/leave")

    assert response.headers["set-cookie"] == DELETED
    assert await postgres.devices("ann") == []


async def test_two_middlewares(
    visit: Visit, postgres: PostgresStore, database_url: str, secret_key: str
) -> None:
    """Neither of two middlewares on one store waits for the request's own transaction."""
    key = await postgres.login(None, Login("ann"), Changes())
    connection = await AsyncConnection.connect(database_url)

    async def leave_open(session: Session) -> None:
        session["x"] = 1
        assert await postgres.revoke_all("ann", connection=connection) == 1

    def sign(name: str) -> str:
        cookie = Cookie(secret_keys=[secret_key], name=name)
        return cookie.write(key, timedelta(days=7)).decode().partition(";")[0]

    outside = Middleware(  # it extends the session with each response
        SessionMiddleware, store=postgres, secret_key=secret_key, session_cookie="o", touch_after=0
    )
    client = visit(postgres, leave_open, outside=(outside,), session_cookie="i")
    async with connection, asyncio.timeout(postgres.timeout / 2):
        response = await client.get("/leave_open", headers={"cookie": f"{sign('o')}; {sign('i')}"})

    assert response.status_code == 200
    assert await postgres.devices("ann") == []


async def test_hidden_rows(
    postgres: PostgresStore, database_url: str, migrated_schema: str, table: Connection
) -> None:
    """A transaction of a role that does not see the rows ends none, and says so."""
    await postgres.login(None, Login("ann"), Changes())
    role = f"{migrated_schema}_clerk"
    table.execute(f'CREATE ROLE "{role}"'.encode())
    table.execute(f'GRANT USAGE ON SCHEMA "{migrated_schema}" TO "{role}"'.encode())
    table.execute(f'GRANT ALL ON session TO "{role}"'.encode())
    table.execute("ALTER TABLE session ENABLE ROW LEVEL SECURITY")
    try:
        async with await AsyncConnection.connect(database_url) as connection:
            await connection.execute(f'SET ROLE "{role}"'.encode())
            with pytest.raises(SessionError, match="Row security hides sessions"):
                await postgres.revoke_all("ann", connection=connection)
    finally:
        table.execute(f'DROP OWNED BY "{role}"'.encode())
        table.execute(f'DROP ROLE "{role}"'.encode())


async def test_other_encoding(postgres: PostgresStore, database_url: str) -> None:
    """The application's connection may have any encoding."""
    await postgres.login(None, Login("ann"), Changes())
    for encoding in ("LATIN1", "SQL_ASCII"):
        url = make_conninfo(database_url, client_encoding=encoding)
        async with await AsyncConnection.connect(url) as connection:
            assert await postgres.revoke_all("ann", connection=connection) == 1
            await connection.rollback()


async def test_visitor_leaves(
    visit: Visit, users: UserStore, caplog: pytest.LogCaptureFixture
) -> None:
    """A visitor who has nothing can log out, and nothing is logged."""

    def leave(session: Session) -> None:
        session.logout()

    with caplog.at_level(logging.WARNING, "pgsession"):
        response = await visit(users, leave).get("/leave")

    assert "set-cookie" not in response.headers
    assert caplog.records == []


async def test_handle_after_the_request(visit: Visit, users: UserStore) -> None:
    """The handle of a session whose request is over is an error, not the word for all sessions."""
    kept: list[Session] = []
    client = visit(users, enter, kept.append)
    await client.get("/enter")
    await client.get("/append")

    with pytest.raises(RequestEndedError):
        await users.revoke_all("ann", keep=kept[0])

    assert len(await users.devices("ann")) == 1


async def test_expired_too(postgres: PostgresStore, table: Connection) -> None:
    """A revocation removes expired rows too, and counts those that lived."""
    keys = [await postgres.login(None, Login("ann"), Changes()) for _ in range(3)]
    expire = "UPDATE session SET expire_date = now() - interval '1 s' WHERE session_key = %s"
    table.execute(expire, (digest(keys[0]),))
    table.execute(expire, (digest(keys[1]),))

    assert await postgres.revoke("ann", digest(keys[0])) is False
    assert await postgres.revoke_all("ann") == 1

    assert table.execute("SELECT count(*) FROM session").fetchone() == (0,)


async def test_distant_dates(postgres: PostgresStore, table: Connection) -> None:
    """A date that an application has set is listed, also one that Python cannot hold."""
    await postgres.login(None, Login("ann"), Changes())
    for date in ("infinity", "20000-01-01"):
        table.execute("UPDATE session SET expire_date = %s", (date,))
        assert len(await postgres.devices("ann")) == 1


async def test_held_surplus(postgres: PostgresStore, table: Connection) -> None:
    """A login ends the surplus that is free, and does not wait for a row that is held."""
    keys = [await postgres.login(None, Login("ann"), Changes()) for _ in range(3)]
    with table.transaction():
        table.execute("SELECT FROM session WHERE session_key = %s FOR UPDATE", (digest(keys[0]),))
        assert await postgres.end_surplus("ann", 1) == 1

    assert await postgres.end_surplus("ann", 1) == 1
    assert [it.handle for it in await postgres.devices("ann")] == [digest(keys[2])]


async def test_newest_in_memory() -> None:
    """In memory, too, the session that signed in last is the newest of several."""
    store = MemoryStore()
    first, second = await store.generate({}), await store.generate({})
    first = await store.login(first, Login("ann"), Changes())

    found = await store.get_newest([first, second])

    assert found is not None
    assert found[0] == first


class Account(str, Enum):  # noqa: UP042 - a StrEnum says the same with `str()`
    """A user id of a kind that says something else with `str()`."""

    ANN = "ann"


async def test_enum(users: UserStore, visit: Visit) -> None:
    """A user id of a subclass of str is its text."""

    def enter_enum(session: Session) -> None:
        session.login(Account.ANN)

    client = visit(users, enter_enum, who)
    await client.get("/enter_enum")

    assert (await client.get("/who")).json() == "ann"
    assert len(await users.devices("ann")) == 1


def test_printable() -> None:
    """An address or an agent is cut, and has printable characters only."""
    assert printable("a\0b\ud800\n" + "x" * 300) == "ab" + "x" * 254
