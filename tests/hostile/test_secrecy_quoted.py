"""If the database quotes a value in an error, the error of this package does not."""

import asyncio

import psycopg
import pytest
from httpx import AsyncClient
from psycopg import Connection

from pgsession import Changes, PostgresStore, SchemaError, SessionError
from pgsession.postgres.schema import migrate, migrations
from tests.hostile.forgeries import KEY
from tests.hostile.overhearing import Ear
from tests.hostile.secret import VALUE


@pytest.fixture
def migrated_schema(database_url: str, schema: str) -> str:
    """The name of a schema for this test, whose table it may alter."""
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
    """If the database rejects a row and quotes it, our responses and logs do not."""
    await client.get("/write")
    table.execute(spoil.encode())

    pages = ("write", "renew", "leave", "write", "write")
    answers = [await client.get(f"/{page}") for page in pages]
    client.cookies.clear()
    answers += [await client.get(f"/{page}") for page in ("write", "write")]

    assert 500 in {answer.status_code for answer in answers}


async def test_batch_refused(store: PostgresStore, table: Connection, ear: Ear) -> None:
    """If the database rejects a batch because of one row, only that row's caller gets the error."""
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
    """An error that is never retrieved, which asyncio logs with its task, exposes no secret."""
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


KEPT_ROWS = """
    CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'Nothing is deleted here' USING DETAIL = OLD, HINT = OLD; END $$;
    CREATE TRIGGER keep BEFORE DELETE ON session FOR EACH ROW EXECUTE FUNCTION keep()
    """


async def test_migration(ear: Ear, database_url: str, schema: str) -> None:
    """If the application's triggers stop a migration, its error quotes none of their rows."""
    ear.keep(KEY)
    options = f"-csearch_path={schema}"
    with psycopg.connect(database_url, options=options, autocommit=True) as connection:
        connection.execute(migrations()[0].sql.encode())
        connection.execute(
            "INSERT INTO session VALUES (%s, now() - interval '1 day', %s)",
            (KEY, f'{{"u": "{VALUE}"}}'),
        )
        connection.execute(KEPT_ROWS)

    with pytest.raises(SchemaError, match="Nothing is deleted here") as caught:
        migrate(database_url, schema=schema)

    ear.note_error(caught.value)
