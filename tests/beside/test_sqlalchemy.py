"""SQLAlchemy on the same database, with the models of the page."""

import runpy
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from pgsession import Changes, PostgresStore
from pgsession.core.login import Login
from pgsession.postgres.schema import migrate
from tests.beside.databases import Database
from tests.project.documents import Document

ENGINES, MODELS = Document("docs/how-to/sqlalchemy.md").programs
FOREIGN_KEY = Document("docs/how-to/users.md").statements[3]


@pytest.fixture
def page(tmp_path: Path) -> dict[str, Any]:
    """The names that the page defines."""
    program = tmp_path / "models.py"
    program.write_text(MODELS, encoding="utf-8")
    return runpy.run_path(str(program))


@pytest.fixture(params=["psycopg", "asyncpg"])
async def engine(
    request: pytest.FixtureRequest, database: Database, page: dict[str, Any]
) -> AsyncIterator[AsyncEngine]:
    """An engine on a database with both tables, two users and the foreign key."""
    migrate(database.conninfo)
    engine = database.engine(request.param)
    async with engine.begin() as connection:
        await connection.run_sync(page["Base"].metadata.create_all)
    with psycopg.connect(database.conninfo) as own:
        own.execute("INSERT INTO account VALUES ('ann', 'old'), ('bob', 'old')")
        own.execute(FOREIGN_KEY.encode())
    yield engine
    await engine.dispose()


@pytest.fixture
async def store(database: Database, engine: AsyncEngine) -> AsyncIterator[PostgresStore]:
    del engine  # which makes the tables
    async with PostgresStore(database.conninfo, pool_size=1) as store:
        yield store


async def sign_in(store: PostgresStore, user_id: str, *, period: int = 60) -> str:
    return await store.login(None, Login(user_id), Changes(), period=period)


async def test_reading(engine: AsyncEngine, store: PostgresStore, page: dict[str, Any]) -> None:
    """The model finds the living sessions of each user."""
    for user_id in ("ann", "ann", "bob"):
        await sign_in(store, user_id)
    await sign_in(store, "bob", period=-1)
    await store.generate({"visitor": True})

    async with AsyncSession(engine) as db:
        assert await page["signed_in"](db) == {"ann": 2, "bob": 1}


async def test_change_password(
    engine: AsyncEngine, store: PostgresStore, page: dict[str, Any]
) -> None:
    """The password is changed and the sessions end in one transaction, or neither."""
    key, of_bob = await sign_in(store, "ann"), await sign_in(store, "bob")
    change_password = page["change_password"]
    async with AsyncSession(engine) as db:
        await change_password(db, "ann", "new")
        await db.rollback()
    assert await store.get(key) is not None

    async with AsyncSession(engine) as db, db.begin():
        await change_password(db, "ann", "new")

    assert await store.get(key) is None
    assert await store.get(of_bob) is not None
    async with AsyncSession(engine) as db:
        assert (await db.get_one(page["Account"], "ann")).password == "new"


async def test_delete_account(
    engine: AsyncEngine, store: PostgresStore, page: dict[str, Any]
) -> None:
    """A user who is deleted by the ORM is signed out."""
    key, of_bob = await sign_in(store, "ann"), await sign_in(store, "bob")

    async with AsyncSession(engine) as db, db.begin():
        await page["delete_account"](db, "ann")

    assert await store.get(key) is None
    assert await store.get(of_bob) is not None


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
async def test_url(
    driver: str,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    migrated_schema: str,
) -> None:
    """The engine and the store take the same URL."""
    it = conninfo_to_dict(database_url)
    place = {name: str(it[name]) for name in ("host", "port") if it.get(name)}
    url = URL.create(
        f"postgresql+{driver}",
        username=str(it["user"]),
        password=None if it.get("password") is None else str(it["password"]),
        database=str(it["dbname"]),
        query=place,
    )
    monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
    monkeypatch.setenv("PGOPTIONS", f"-csearch_path={migrated_schema}")
    program = tmp_path / "engines.py"
    program.write_text(ENGINES, encoding="utf-8")
    names = runpy.run_path(str(program))

    async with names["engine"].connect() as connection, names["store"] as store:
        assert await connection.exec_driver_sql("SELECT 1") is not None
        assert await store.get(await store.generate({"a": 1})) is not None
    await names["engine"].dispose()
