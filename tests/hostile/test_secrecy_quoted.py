"""Where the database quotes what it was given, nobody hears of it through us."""

import asyncio

import pytest
from httpx import AsyncClient
from psycopg import Connection

from pgsession import Changes, PostgresStore, SessionError
from pgsession.schema import migrate
from tests.hostile.overhearing import Ear
from tests.hostile.secret import VALUE


@pytest.fixture
def migrated_schema(database_url: str, schema: str) -> str:
    """The name of a schema of the test's own, whose table it may spoil."""
    migrate(database_url, schema=schema)
    return schema


SPOILED = {
    "check": "ALTER TABLE session ADD CHECK (length(session_data->>'u') < 50)",
    "unique": "CREATE UNIQUE INDEX ON session ((session_data->>'u'))",
    "trigger": """
        CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'I have seen %', NEW USING DETAIL = NEW, HINT = NEW; END $$;
        CREATE TRIGGER tell BEFORE INSERT OR UPDATE ON session FOR EACH ROW EXECUTE FUNCTION tell()
        """,
    "deferred": """
        CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'I have seen %', NEW; END $$;
        CREATE CONSTRAINT TRIGGER tell AFTER UPDATE ON session DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION tell()
        """,
    "renamed": "ALTER TABLE session RENAME session_data TO data",
    "gone": "ALTER TABLE session RENAME TO gone",
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
async def test_database_refuses(client: AsyncClient, table: Connection, spoil: str) -> None:
    """Where the database refuses a row, and quotes it, we do not."""
    await client.get("/write")
    table.execute(spoil.encode())

    pages = ("write", "renew", "leave", "write", "write")
    answers = [await client.get(f"/{page}") for page in pages]
    client.cookies.clear()
    answers += [await client.get(f"/{page}") for page in ("write", "write")]

    assert 500 in {answer.status_code for answer in answers}


async def test_batch_refused(store: PostgresStore, table: Connection, ear: Ear) -> None:
    """Where the database refuses a batch for one of its rows, nobody hears of it but that one."""
    table.execute(SPOILED["unique"].encode())

    async def generate(number: int) -> bool:
        try:
            ear.keep(await store.generate({"u": f"{VALUE}{number % 7}"}))
        except SessionError as error:
            ear.note_error(error)
            return False
        return True

    assert sum(await asyncio.gather(*map(generate, range(20)))) == 7


async def test_nobody_asks(store: PostgresStore, table: Connection) -> None:
    """An error that nobody asks for, which asyncio then shows with its task, tells nothing."""
    key = await store.generate({"u": VALUE})
    table.execute(SPOILED["trigger"].encode())

    tasks = [
        asyncio.create_task(operation)
        for operation in (
            store.set(key, {"u": VALUE}),
            store.merge(key, Changes(set={"u": VALUE}, removed=[VALUE])),
            store.generate({"u": {VALUE}}),
            store.renew(key, Changes(set={"u": VALUE})),
            store.set("no such " + key, {"u": VALUE}),
        )
    ]
    await asyncio.wait(tasks)
