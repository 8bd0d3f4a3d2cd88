"""Signing in and out on a connection: what is tried again, and what is done in a block."""

from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo

from pgsession import Changes, Login, PostgresStore
from pgsession.core.keys import digest, new_key
from pgsession.core.users import as_user_store
from pgsession.postgres.rows import Draft
from pgsession.postgres.statements.signing import Signing
from pgsession.postgres.statements.text import Wording
from pgsession.postgres.table_name import TableName


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
