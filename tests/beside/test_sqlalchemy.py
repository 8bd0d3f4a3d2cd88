"""SQLAlchemy on the same database, with the models of the page."""

import re
import runpy
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from starlette.testclient import TestClient

from pgsession import Changes, PostgresStore
from pgsession.core.keys import digest
from pgsession.core.login import Login
from pgsession.postgres.schema import migrate
from tests.beside.databases import Database
from tests.project.documents import Document

PAGE = Document("docs/how-to/sqlalchemy.md")
(PROGRAM,) = PAGE.programs
SECRET = "a secret of more than thirty-two bytes"
FOREIGN_KEY = Document("docs/how-to/foreign-key.md").statements[1]


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names that the page defines. Nothing connects to this address."""
    monkeypatch.setenv("DATABASE_URL", "postgresql+psycopg://127.0.0.1:1/app")
    return run(tmp_path, monkeypatch)


def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run the program of the page, and return its names."""
    monkeypatch.setenv("SESSION_SECRET_KEY", SECRET)
    program = folder / "app.py"
    program.write_text(PROGRAM, encoding="utf-8")
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
    """The password is changed and the other sessions end in one transaction, or neither."""
    key, own, of_bob = [await sign_in(store, each) for each in ("ann", "ann", "bob")]

    async def change(password: str, stamp: str = "1", keep: str = own) -> bool:
        done: bool = await page["change_password"](
            db, "ann", password, stamp=stamp, keep=digest(keep)
        )
        return done

    async with AsyncSession(engine) as db:
        assert await change("new")
        await db.rollback()
        assert not await change("new", stamp="2")
        await db.rollback()
        assert not await change("new", keep="a session that has ended")
        await db.rollback()
    assert await store.get(key) is not None

    async with AsyncSession(engine) as db, db.begin():
        assert await change("new")

    assert await store.get(key) is None
    kept = await store.get(own)
    assert kept is not None
    assert kept.signed_in is not None
    assert kept.signed_in.stamp == "2"
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


def url_of(database_url: str, driver: str, **query: str) -> str:
    """Return SQLAlchemy's URL of the database of the tests."""
    it = conninfo_to_dict(database_url)
    place = {name: str(it[name]) for name in ("host", "port") if it.get(name)}
    url = URL.create(
        f"postgresql+{driver}",
        username=str(it["user"]),
        password=None if it.get("password") is None else str(it["password"]),
        database=str(it["dbname"]),
        query={**place, **query},
    )
    return url.render_as_string(hide_password=False)


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
async def test_url(
    driver: str,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    migrated_schema: str,
) -> None:
    """The engine and the store take the same URL."""
    monkeypatch.setenv("DATABASE_URL", url_of(database_url, driver))
    monkeypatch.setenv("PGOPTIONS", f"-csearch_path={migrated_schema}")
    names = run(tmp_path, monkeypatch)

    async with names["engine"].connect() as connection, names["store"] as store:
        assert await connection.exec_driver_sql("SELECT 1") is not None
        assert await store.get(await store.generate({"a": 1})) is not None
    await names["engine"].dispose()


def test_application(
    database_url: str, migrated_schema: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change of the password leaves the session that has made it, and no other."""
    options = f"-csearch_path={migrated_schema}"
    monkeypatch.setenv("DATABASE_URL", url_of(database_url, "psycopg", options=options))
    names = run(tmp_path, monkeypatch)
    with psycopg.connect(make_conninfo(database_url, options=options)) as own:
        (table,) = re.findall("'(CREATE TABLE account .*)'", PAGE.text)
        own.execute(table.encode())
        own.execute("INSERT INTO account VALUES ('ann', 'old')")
    ann = {"name": "ann", "password": "old"}
    with TestClient(names["app"], base_url="https://testserver") as visitor:
        assert visitor.get("/signed-in").status_code == 401
        assert visitor.post("/sign-in", json=ann | {"password": "wrong"}).status_code == 403
        assert visitor.post("/sign-in", json=ann | {"name": "eve"}).status_code == 403
        assert visitor.post("/password", json={"password": "new"}).status_code == 401
        visitor.post("/sign-in", json=ann)
        laptop = dict(visitor.cookies)
        visitor.cookies.clear()
        visitor.post("/sign-in", json=ann)
        assert visitor.get("/signed-in").json() == {"ann": 2}
        for bad in ("", "a\0", "a" * 256, 5, None):
            assert visitor.post("/sign-in", json=ann | {"name": bad}).status_code == 422
            assert visitor.post("/password", json={"password": bad}).status_code == 422
        forged = {"sec-fetch-site": "cross-site"}
        assert visitor.post("/sign-in", json=ann, headers=forged).status_code == 403
        assert visitor.post("/password", json={"password": "new"}).status_code == 200
        assert visitor.get("/signed-in").json() == {"ann": 1}
        assert visitor.post("/password", json={"password": "newer"}).status_code == 200
        phone, visitor.cookies = visitor.cookies, laptop
        assert visitor.post("/password", json={"password": "mine"}).status_code == 401

        # As after a login that has checked the old password.
        with psycopg.connect(make_conninfo(database_url, options=options)) as own:
            own.execute("UPDATE account SET stamp = stamp + 1")
        visitor.cookies = phone
        assert visitor.get("/signed-in").status_code == 401
        assert visitor.portal is not None
        visitor.portal.call(names["engine"].dispose)
