"""The roles of docs/operations/database-roles.md can do what the page says, with its grants."""

import re
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.errors import InsufficientPrivilege

from pgsession import Changes, PostgresStore, SchemaError
from pgsession.core.adoption import Adoption, marker_of
from pgsession.core.bound import Bound
from pgsession.core.keys import key_digest
from pgsession.core.login import Login
from pgsession.core.predecessor import Derivation
from pgsession.postgres.schema import migrate
from tests.programs import pgsession
from tests.project.documents import Document

SECRET = "a secret of more than thirty-two bytes"

#: The SQL blocks of the page, in order.
MADE, SERVING, WATCHING, SWEEPING, ERASING, MONITORING, *_ = Document(
    "docs/operations/database-roles.md"
).statements

#: Its names of roles, and of the schema.
NAMES = re.compile(r"\b(session_owner|web|sweeper|monitor)\b")

ROWS = """
INSERT INTO web.session (session_key, expire_date, created_on, seen_on, login_client)
VALUES
    ('gone', now() - interval '1 day', now(), now(), NULL),
    ('old', now() + interval '1 day', now() - interval '9 days', now(), NULL),
    ('idle', now() + interval '1 day', now(), now() - interval '9 days', NULL),
    ('alive', now() + interval '1 day', now(), now(), '{}')
"""


@dataclass(frozen=True, slots=True)
class Roles:
    """Roles with the names of the page, behind a prefix of this test."""

    url: str
    prefix: str = field(default_factory=lambda: f"t{secrets.token_hex(4)}_")

    @property
    def schema(self) -> str:
        """The schema that the owner has."""
        return f"{self.prefix}web"

    def conninfo(self, role: str) -> str:
        """Return the conninfo of a role."""
        return make_conninfo(self.url, user=f"{self.prefix}{role}")

    def execute(self, text: str, role: str | None = None) -> list[tuple[object, ...]]:
        """Run statements with the names of the page, as the superuser or as a role."""
        url = self.url if role is None else self.conninfo(role)
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(NAMES.sub(rf"{self.prefix}\1", text).encode())
            return cursor.fetchall() if cursor.description else []

    def command(self, role: str, name: str, **more: str) -> "subprocess.CompletedProcess[str]":
        """Run `pgsession NAME` as a role."""
        variables = {
            "SESSION_DATABASE_URL": self.conninfo(role),
            "SESSION_SCHEMA": self.schema,
            "SESSION_SECRET_KEY": SECRET,
            **more,
        }
        return pgsession(name, **variables)

    def drop(self) -> None:
        """Drop all of them, and what they own."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            names = connection.execute(
                "SELECT rolname FROM pg_roles WHERE starts_with(rolname, %s)", (self.prefix,)
            ).fetchall()
            for statement in ("DROP OWNED BY {} CASCADE", "DROP ROLE {}"):
                for (name,) in names:
                    connection.execute(sql.SQL(statement).format(sql.Identifier(name)))


@pytest.fixture
def roles(database_url: str) -> Iterator[Roles]:
    """The owner has made the table, and `web` serves it."""
    it = Roles(database_url)
    try:
        it.execute(MADE)
        migrate(it.conninfo("session_owner"), schema=it.schema)
        it.execute(SERVING, "session_owner")
        yield it
    finally:
        it.drop()


async def use(store: PostgresStore) -> None:
    """Call all that an application can call."""
    key = await store.generate({"a": 1})
    await store.set(key, {"b": 1})
    await store.merge(key, Changes({"c": 3}))
    await store.touch(key)
    assert await store.take(key, "c") == 3
    number = await store.rotate(key, 0, grace=timedelta(seconds=9))
    await store.show(key, number)
    key = await store.renew(key)
    async with store.exclusive(key) as held:
        await held.merge(key, Changes({"d": 4}))
        assert await held.get(key) is not None
    assert await store.get_newest([key]) is not None
    await store.clear(key)


async def use_users(store: PostgresStore) -> None:
    """Sign users in and out, bind a device, and take over a session from before a switch."""
    key, other = [await store.login(None, Login("ann"), Changes()) for _ in range(2)]
    handle, verifier = key_digest(key)
    assert await store.bind(Bound(handle, 1), verifier, "{}") is not None
    assert await store.bound_device(Bound(handle, 1)) is not None
    await store.enforce(Bound(handle, 1))
    await store.confirm(key)
    assert len(await store.devices("ann")) == 2
    assert await store.revoke("ann", key_digest(other)[0])
    assert await store.end_surplus("ann", 1) == 0
    assert await store.revoke_all("ann") == 1
    await store.logout(await store.login(None, Login("bob"), Changes()), 1)
    keys = Derivation([SECRET], "session").keys(b"old")
    adoption = Adoption(
        marker=marker_of(b"old"), keys=keys, content={}, remembered=timedelta(days=1)
    )
    assert await store.adopt(adoption) is not None


async def test_serving(roles: Roles) -> None:
    """The serving role can do all that an application does, but change the table."""
    async with PostgresStore(
        roles.conninfo("web"), schema=roles.schema, record_client=False
    ) as store:
        await use(store)
        await use_users(store)
        await store.sweep()

    checked = roles.command("web", "check")
    assert checked.returncode == 0, checked.stdout
    assert "as this version needs it, 000" in checked.stdout
    with pytest.raises(InsufficientPrivilege):
        roles.execute("TRUNCATE web.session", "web")


def test_migrating(roles: Roles) -> None:
    """The serving role is told if there is nothing to migrate, and cannot migrate."""
    assert roles.command("web", "migrate").returncode == 0
    roles.execute("DELETE FROM web.session_migration")

    done = roles.command("web", "migrate")

    assert done.returncode == 1
    named = Document("docs/operations/database-roles.md").text.split("Error: The migration ")[1]
    assert NAMES.sub(rf"{roles.prefix}\1", named.splitlines()[0]) in done.stderr


def test_watching(roles: Roles) -> None:
    """The transactions of other roles are not visible to `web` before the grant of the page."""
    with psycopg.connect(roles.conninfo("session_owner")) as other:
        other.execute("SELECT 1")
        before = roles.command("web", "check").stdout
        roles.execute(WATCHING)
        after = roles.command("web", "check").stdout

    assert "those of other roles are not visible: GRANT pg_read_all_stats shows them" in before
    assert "those of other roles are not visible" not in after


async def test_each_privilege(roles: Roles) -> None:
    """Without one of the privileges of the page the store does not open, and names it."""
    for privilege in ("SELECT", "INSERT", "UPDATE", "DELETE"):
        roles.execute(f"REVOKE {privilege} ON web.session FROM web")
        store = PostgresStore(roles.conninfo("web"), schema=roles.schema)
        with pytest.raises(SchemaError, match=f"GRANT {privilege} ON"):
            await store.open()
        await store.close()
        roles.execute(f"GRANT {privilege} ON web.session TO web")


def test_sweeping(roles: Roles) -> None:
    """The role of the sweep removes what has ended, erases clients, and reads no value."""
    roles.execute(SWEEPING)
    roles.execute(ROWS)

    limits = {"SESSION_MAX_LIFETIME": "8d", "SESSION_MAX_INACTIVITY": "8d"}
    swept = roles.command("sweeper", "sweep", **limits)

    assert swept.stdout.startswith("Removed 3 expired sessions"), swept.stderr
    assert roles.execute("SELECT session_key FROM web.session") == [("alive",)]
    refused = roles.command("sweeper", "sweep", SESSION_RECORD_CLIENT="false")
    assert refused.returncode == 1
    assert refused.stderr in Document("docs/operations/database-roles.md").text
    roles.execute(ERASING)
    assert roles.command("sweeper", "sweep", SESSION_RECORD_CLIENT="false").returncode == 0
    assert roles.execute("SELECT login_client FROM web.session") == [(None,)]
    with pytest.raises(InsufficientPrivilege):
        roles.execute("SELECT session_data FROM web.session", "sweeper")


def test_monitoring(roles: Roles) -> None:
    """The role for monitoring runs the queries of the pages, and reads no value."""
    roles.execute(MONITORING)

    for query in Document("docs/operations/table-growth.md").statements:
        if query.startswith("SELECT"):
            roles.execute(re.sub(r"\bsession\b", "web.session", query), "monitor")

    done = roles.command("monitor", "check")
    assert done.returncode == 1
    assert re.findall(r"^wrong +(\w+) +(.+)", done.stdout, re.MULTILINE) == [
        ("privileges", "this role lacks SELECT, INSERT, UPDATE, DELETE")
    ]
    with pytest.raises(InsufficientPrivilege):
        roles.execute("SELECT session_data FROM web.session", "monitor")
