"""Signing in and out on a connection: what is tried again, and what is done in a block."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from psycopg import AsyncConnection, Connection
from psycopg.conninfo import make_conninfo
from psycopg.errors import UniqueViolation

from pgsession import Changes, Login, PostgresStore
from pgsession.core.keys import digest, new_key
from pgsession.core.users import as_user_store
from pgsession.postgres.rows import Draft
from pgsession.postgres.statements.inserting import Inserting, insert_once
from pgsession.postgres.statements.signing import Signing
from pgsession.postgres.statements.text import Wording
from pgsession.postgres.table_name import TableName

#: Refuses the first rows as if a row of the same key had been there, and been removed since.
REFUSING = """
CREATE SEQUENCE inserted;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval(TG_TABLE_SCHEMA || '.inserted') <= TG_ARGV[0]::int THEN
        RAISE unique_violation;
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER refuse BEFORE INSERT ON session FOR EACH ROW EXECUTE FUNCTION refuse({});
"""

#: Make rows on a connection.
Make = Callable[[AsyncConnection, Sequence[Draft]], Any]
MAKING: dict[str, Make] = {
    "login": Signing(Wording(TableName())).insert,
    "session": partial(insert_once, Inserting(Wording(TableName()))),
}


@pytest.mark.parametrize("making", MAKING)
@pytest.mark.parametrize("autocommit", [True, False])
async def test_made_and_ended(
    database_url: str, migrated_schema: str, table: Connection, making: str, *, autocommit: bool
) -> None:
    """What an earlier attempt made and others have ended since is made again."""
    table.execute(REFUSING.format(1))
    draft = Draft(digest(new_key()), None, 60.0, login=Login("ann"))
    url = make_conninfo(database_url, options=f"-csearch_path={migrated_schema}")
    async with await AsyncConnection.connect(url, autocommit=autocommit) as connection:
        await MAKING[making](connection, [draft])

    assert table.execute("SELECT session_key FROM session").fetchall() == [(draft.session_key,)]


@pytest.mark.parametrize("making", MAKING)
async def test_refused(
    database_url: str, migrated_schema: str, table: Connection, making: str
) -> None:
    """What a constraint of the application's refuses is reported."""
    table.execute(REFUSING.format(2))
    draft = Draft(digest(new_key()), None, 60.0, login=Login("ann"))
    url = make_conninfo(database_url, options=f"-csearch_path={migrated_schema}")
    async with await AsyncConnection.connect(url, autocommit=True) as connection:
        with pytest.raises(UniqueViolation):
            await MAKING[making](connection, [draft])


async def test_made_once(database_url: str, migrated_schema: str) -> None:
    """A login whose answer was lost can be tried again: it makes one row."""
    url = make_conninfo(database_url, options=f"-csearch_path={migrated_schema}")
    draft = Draft(digest(new_key()), None, 60.0, login=Login("ann"))
    signing = Signing(Wording(TableName()))
    for autocommit in (True, False):
        async with await AsyncConnection.connect(url, autocommit=autocommit) as connection:
            for _ in range(2):
                await signing.insert(connection, [draft])
                await connection.commit()

    async with PostgresStore(database_url, schema=migrated_schema) as store:
        assert len(await store.devices("ann")) == 1


async def test_in_a_block(database_url: str, migrated_schema: str) -> None:
    """A login and a logout in a block are committed with it, and undone if it raises."""
    async with PostgresStore(database_url, schema=migrated_schema) as store:
        key = await store.generate({})
        left = await store.login(None, Login("ann"), Changes())

        async def work(*, fails: bool) -> None:
            async with store.exclusive(key) as block:
                held = as_user_store(block)
                await held.login(None, Login("ann"), Changes())
                assert await held.logout(left, 1)
                await held.revoke("bob", digest(left))
                assert len(await held.devices("ann")) == 1
                if fails:
                    raise LookupError

        try:
            await work(fails=True)
        except LookupError:
            assert [it.handle for it in await store.devices("ann")] == [digest(left)]
        await work(fails=False)
        [device] = await store.devices("ann")

    assert device.handle != digest(left)
