"""All sessions are ended beside the requests: in batches, around rows that others hold."""

import asyncio

import psycopg
import pytest
from psycopg import Connection

from pgsession import PostgresStore, SchemaError, SessionBusyError, SessionError
from pgsession.postgres import clearance
from tests.postgres.sweeping.test_sweeping import Fill, count, fill, partitioned

__all__ = ["fill", "partitioned"]  # fixtures


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> int:
    """Batches of ten rows."""
    monkeypatch.setattr(clearance, "ROWS", 10)
    return 10


async def test_batches(
    postgres: PostgresStore, table: Connection, fill: Fill, batches: int
) -> None:
    """Each batch is committed by itself, and the progress counts the living sessions."""
    fill(15, prefix="living ", seconds=60)
    fill(10)
    told: list[tuple[int, int]] = []

    def progress(ended: int) -> None:
        told.append((ended, count(table)))

    assert await postgres.revoke_everyone(progress=progress) == 15

    assert told == [(0, 25 - batches), (10, 25 - 2 * batches), (15, 0)]


async def test_changed_meanwhile(
    postgres: PostgresStore, table: Connection, fill: Fill, batches: int
) -> None:
    """Sessions that are written meanwhile end too, wherever their rows move."""
    fill(4 * batches, seconds=60)

    def progress(_ended: int) -> None:
        table.execute("VACUUM session")
        table.execute("UPDATE session SET session_data = jsonb_build_object('a', random())")

    assert await postgres.revoke_everyone(progress=progress) == 4 * batches

    assert count(table) == 0


@pytest.mark.parametrize("kind", ["plain", "partitioned"])
async def test_held(
    request: pytest.FixtureRequest,
    postgres: PostgresStore,
    table: Connection,
    fill: Fill,
    kind: str,
) -> None:
    """A row that a transaction holds delays no other, and ends once it is free."""
    if kind == "partitioned":
        request.getfixturevalue("partitioned")
    fill(30, seconds=60)
    with psycopg.connect(table.info.dsn, options=table.info.get_parameters()["options"]) as holder:
        holder.execute("SELECT FROM session WHERE session_key = 'expired 5' FOR UPDATE")
        gone = asyncio.Event()
        ending = asyncio.create_task(postgres.revoke_everyone(progress=lambda _: gone.set()))
        await gone.wait()
        assert count(table) == 1
        assert not ending.done()

    assert await ending == 30
    assert count(table) == 0


async def test_held_too_long(
    database_url: str, migrated_schema: str, table: Connection, fill: Fill
) -> None:
    """After a while the error tells how many sessions ended, and how many are held."""
    fill(30, seconds=60)
    held = "SELECT FROM session WHERE session_key <= 'expired 11' FOR UPDATE"
    async with PostgresStore(database_url, schema=migrated_schema, exclusive_limit=0.2) as store:
        with table.transaction():
            rows = table.execute(held).rowcount
            said = f"^{30 - rows} sessions have ended. .* the rows of {rows} more"
            with pytest.raises(SessionBusyError, match=said):
                await store.revoke_everyone()


async def test_kept(database_url: str, migrated_schema: str, table: Connection, fill: Fill) -> None:
    """Rows that a trigger keeps are told from rows that other transactions hold."""
    fill(3, seconds=60)
    async with PostgresStore(database_url, schema=migrated_schema, exclusive_limit=0.1) as store:
        table.execute(
            "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
        )
        table.execute(
            "CREATE TRIGGER keep BEFORE DELETE ON session FOR EACH ROW EXECUTE FUNCTION keep()"
        )
        with pytest.raises(SchemaError, match=r"^0 sessions have ended\. A trigger, .* of 3 more"):
            await store.revoke_everyone()


async def test_two_at_once(
    postgres: PostgresStore, database_url: str, migrated_schema: str, fill: Fill, batches: int
) -> None:
    """Each of two that run at once counts what it has ended itself."""
    fill(10 * batches, seconds=60)
    async with PostgresStore(database_url, schema=migrated_schema) as other:
        ended = await asyncio.gather(postgres.revoke_everyone(), other.revoke_everyone())

    assert sum(ended) == 10 * batches


async def test_in_block(postgres: PostgresStore) -> None:
    """Within an exclusive block it is an error: it would wait for the block's own row."""
    key = await postgres.generate()
    async with postgres.exclusive(key) as held:
        assert isinstance(held, PostgresStore)
        with pytest.raises(SessionError, match="exclusive"):
            await held.revoke_everyone()

    assert await postgres.get(key) is not None


async def test_foreign_key(postgres: PostgresStore, table: Connection, fill: Fill) -> None:
    """A row that is kept by a lock of another table's row keeps none of its batch."""
    table.execute(
        "CREATE TABLE upload (session_key text REFERENCES session ON DELETE CASCADE, note text)"
    )
    fill(5, seconds=60)
    table.execute("INSERT INTO upload SELECT session_key FROM session")
    with psycopg.connect(table.info.dsn, options=table.info.get_parameters()["options"]) as holder:
        holder.execute("SELECT FROM upload WHERE session_key = 'expired 3' FOR UPDATE")
        gone = asyncio.Event()
        ending = asyncio.create_task(postgres.revoke_everyone(progress=lambda _: gone.set()))
        await gone.wait()
        assert table.execute("SELECT session_key FROM session").fetchall() == [("expired 3",)]

    assert await ending == 5
    assert count(table) == 0
