"""The programs of docs/how-to/from-ocaml.md, on a table that the OCaml library has filled."""

import json
import re
import runpy
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Final

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool
from starlette.testclient import TestClient

from pgsession import OldSession, PostgresStore
from pgsession.core.period import DEFAULT_PERIOD
from pgsession.postgres.schema import migrate
from pgsession.settings import SessionSettings
from tests.pages import NAME
from tests.project.conftest import Names, Program
from tests.project.documents import Document

PAGE = Document("docs/how-to/from-ocaml.md")
PROGRAM, BESIDE = PAGE.programs
(MARK,) = PAGE.statements

#: The table of scripts/initialize_tables.pgsql of that library.
TABLE: Final = """
CREATE TABLE session (
  session_key       char(40),
  created_on        timestamp (2) with time zone    DEFAULT NOW(),
  expire_date       timestamp (2) with time zone,
  session_data      text
);
CREATE INDEX session_key_idx ON session (session_key);
"""

#: What its `generate` does.
INSERT: Final = (
    "INSERT INTO session(session_key, expire_date, session_data)"
    " VALUES (%s, NOW() + CAST(%s AS INTERVAL), %s)"
)
KEYS: Final = {name: (name + "+/")[0] * 38 + "+/" for name in ("ann", "json", "set", "gone")}


@pytest.fixture
def url(database_url: str, schema: str) -> str:
    """A database with the table of the OCaml application, and four sessions in it."""
    url = make_conninfo(database_url, options=f"-csearch_path={schema}")
    with psycopg.connect(url) as connection:
        connection.execute(TABLE)
        for name, seconds, value in (
            ("ann", 600, "ann"),
            ("json", 600, json.dumps({"cart": [1]})),
            ("set", 600, None),
            ("gone", -1, "eve"),
        ):
            connection.execute(INSERT, (KEYS[name], f"{seconds} seconds", value))
    return url


@pytest.fixture
def visitor(
    url: str, schema: str, program: Program, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TestClient]:
    """A browser at the application of the page, on the migrated table."""
    migrate(url, schema=schema)
    with psycopg.connect(url) as connection:
        connection.execute(MARK.encode())
    monkeypatch.setenv("SESSION_DATABASE_URL", url)
    monkeypatch.setenv("SESSION_SECRET_KEY", "a secret of more than thirty-two bytes")
    found = runpy.run_path(str(program(PROGRAM)))
    with TestClient(found["app"], base_url="https://testserver") as client:
        yield client


@pytest.mark.parametrize(
    ("key", "name"), [("ann", "ann"), ("json", "visitor"), ("set", "visitor"), ("gone", "visitor")]
)
def test_program(visitor: TestClient, key: str, name: str) -> None:
    """A session with a value goes on, and its user is signed in."""
    visitor.cookies.set("__session", KEYS[key])

    assert visitor.get("/").text == f"Hello, {name}."
    assert (NAME in visitor.cookies) == (key in {"ann", "json"})


async def test_signature_cut_off(names: Names) -> None:
    """The key of a session of ours, without its signature, opens nothing as the old cookie."""
    page = names(PROGRAM)
    async with page["store"] as store:
        key = "-"
        while not re.fullmatch("[A-Za-z0-9+/]{40}", key):  # about every fourth key fits
            key = await store.generate({"session_data": "ann"})
        assert await store.get(key) is not None

        assert await page["settings"].predecessor.load(key) is None


async def test_beside(url: str, program: Program) -> None:
    """The other program reads the table as it is."""
    page = runpy.run_path(str(program(BESIDE)))
    async with AsyncConnectionPool(url, open=False) as pool:
        cookie = page["OcamlTable"](pool=pool, name="__session", until=date(2100, 1, 1))
        found = {name: await cookie.load(key) for name, key in KEYS.items()}

    contents = {name: it.content for name, it in found.items() if isinstance(it, OldSession)}
    assert contents == {"ann": {"session_data": "ann"}, "json": {"cart": [1]}}


def test_names() -> None:
    """The default period is a week, and the settings' table can have another name."""
    store = PostgresStore("postgresql://localhost/app")
    assert store.default_period == DEFAULT_PERIOD == timedelta(weeks=1)
    store.default_period = timedelta(days=1)
    variables = {"SESSION_SECRET_KEY": "s" * 40, "SESSION_TABLE": "web_session"}
    assert SessionSettings.from_env(variables).table == "web_session"
    assert SessionSettings.from_env(variables).sweep_every == timedelta(minutes=10)
