"""What was recorded of clients is erased once `record_client` is off."""

import pytest
from psycopg import Connection, connect
from psycopg.conninfo import make_conninfo

from pgsession import Changes, PostgresStore
from pgsession.core.login import Client, Login
from pgsession.postgres.schema import migrations
from tests.programs import pgsession

CLIENT = Client("192.0.2.7", "Firefox")


async def test_erased(database_url: str, migrated_schema: str, table: Connection) -> None:
    """A sweep of a store that is to record no clients erases those of all sessions."""
    async with PostgresStore(
        database_url, schema=migrated_schema, sweep_every=None, record_client=True
    ) as store:
        for _ in range(3):
            await store.login(None, Login("ann", client=CLIENT), Changes())
        await store.sweep()
        assert [device.address for device in await store.devices("ann")] == ["192.0.2.7"] * 3

    async with PostgresStore(
        database_url, schema=migrated_schema, sweep_every=None, record_client=False
    ) as store:
        await store.sweep()
        devices = await store.devices("ann")

    assert [(device.address, device.agent) for device in devices] == [(None, None)] * 3
    assert table.execute("SELECT count(login_client) FROM session").fetchone() == (0,)


async def test_kept(database_url: str, migrated_schema: str) -> None:
    """A sweep of a store that was told nothing erases nothing, as that of a script."""
    async with PostgresStore(database_url, schema=migrated_schema, sweep_every=None) as store:
        await store.login(None, Login("ann", client=CLIENT), Changes())
        await store.sweep()
        [device] = await store.devices("ann")

    assert device.address == "192.0.2.7"


async def test_more_than_a_batch(
    database_url: str, migrated_schema: str, table: Connection
) -> None:
    """All are erased, however many there are."""
    table.execute("""
        INSERT INTO session (session_key, expire_date, login_client)
        SELECT n::text, now() + interval '1 hour', '{"agent": "Firefox"}'
        FROM generate_series(1, 2500) AS n
    """)

    async with PostgresStore(
        database_url, schema=migrated_schema, sweep_every=None, record_client=False
    ) as store:
        await store.sweep()

    assert table.execute("SELECT count(login_client) FROM session").fetchone() == (0,)


async def test_locked(database_url: str, migrated_schema: str, table: Connection) -> None:
    """A row that another transaction holds is left for the next sweep, and does not stop this."""
    async with PostgresStore(
        database_url, schema=migrated_schema, sweep_every=None, record_client=False
    ) as store:
        handles = [
            device.handle
            for _ in range(2)
            if await store.login(None, Login("ann", client=CLIENT), Changes())
            for device in (await store.devices("ann"))[:1]
        ]
        with table.transaction():
            table.execute("SELECT FROM session WHERE session_key = %s FOR UPDATE", (handles[0],))
            await store.sweep()

        addresses = {it.handle: it.address for it in await store.devices("ann")}
        assert sorted(map(str, addresses.values())) == ["192.0.2.7", "None"]
        assert addresses[handles[0]] == "192.0.2.7"


@pytest.mark.parametrize(
    "more",
    [{}, {"SESSION_RECORD_CLIENT": "false"}],
    ids=["clients kept", "clients erased"],
)
def test_before_the_migration(database_url: str, schema: str, more: dict[str, str]) -> None:
    """A sweep of a table that lacks the columns of users removes nothing, and says what to run."""
    url = make_conninfo(database_url, options=f"-csearch_path={schema}")
    with connect(url, autocommit=True) as connection:
        for migration in migrations()[:3]:
            connection.execute(migration.sql.encode())
        connection.execute("INSERT INTO session (session_key, expire_date) VALUES ('old', now())")

    variables = {"SESSION_DATABASE_URL": database_url, "SESSION_SCHEMA": schema}

    done = pgsession("sweep", **{**variables, **more})

    assert done.returncode == 1
    assert "is of an older version; run `pgsession migrate`" in done.stderr
    with connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM session").fetchone() == (1,)
