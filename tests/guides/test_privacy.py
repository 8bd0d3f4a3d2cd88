"""docs/how-to/privacy.md: what is stored, and how to hand it out and to erase it."""

import re
from typing import Any, Final

import psycopg
import pytest
from psycopg.rows import dict_row

from pgsession import PostgresStore
from pgsession.core.period import DEFAULT_PERIOD
from tests.guides.accounts import url_of
from tests.guides.conftest import Browse
from tests.pages import NAME
from tests.project.conftest import Names
from tests.project.documents import Document

PAGE: Final = Document("docs/how-to/privacy.md")
(PROGRAM,) = PAGE.programs
EXPORT, ERASE, ACTOR = PAGE.statements


@pytest.fixture
def program(
    names: Names, database_url: str, migrated_schema: str, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """The program, whose own pool finds the table too."""
    monkeypatch.setenv("SESSION_DATABASE_URL", url_of(database_url, migrated_schema))
    return names(PROGRAM)


def test_program(program: dict[str, Any], browse: Browse, accounts: psycopg.Connection) -> None:
    """A visitor leaves nothing; a user gets what is stored, and erases it with the cookie."""
    visitor = browse(program)
    assert visitor.get("/").headers.get("set-cookie") is None
    assert accounts.execute("SELECT count(*) FROM session").fetchone() == (0,)
    visitor.post("/sign-in/bob")
    visitor.cookies.clear()
    for _ in range(2):  # a laptop and a phone
        visitor.cookies.clear()
        visitor.post("/sign-in/ann")

    told = visitor.get("/account/data").json()
    assert [row["login_label"] for row in told] == ["browser", "browser"]
    assert {row["login_client"] for row in told} == {None}  # record_client is off
    old = visitor.cookies[NAME]
    assert visitor.delete("/account").json() == 2
    assert NAME not in visitor.cookies
    visitor.cookies.set(NAME, old)
    assert visitor.get("/account/data").status_code == 401
    assert accounts.execute("SELECT user_id FROM session").fetchall() == [("bob",)]


def test_statements(program: dict[str, Any], browse: Browse, accounts: psycopg.Connection) -> None:
    """The statements hand out and erase what the program does, and an administrator's marks."""
    visitor = browse(program)
    visitor.post("/sign-in/ann")
    with accounts.cursor(row_factory=dict_row) as cursor:
        (row,) = cursor.execute(EXPORT).fetchall()
    (told,) = visitor.get("/account/data").json()
    assert list(row) == list(told)
    assert program["EXPORT"].split("WHERE")[0].split() == EXPORT.split("WHERE")[0].split()

    accounts.execute("UPDATE session SET login_actor = user_id, user_id = 'eve'")
    accounts.execute(ACTOR)
    assert accounts.execute("SELECT user_id, login_actor FROM session").fetchall() == [
        ("eve", None)
    ]
    accounts.execute("UPDATE session SET user_id = 'ann'")
    accounts.execute(ERASE)
    assert accounts.execute("SELECT count(*) FROM session").fetchone() == (0,)


def test_columns(accounts: psycopg.Connection) -> None:
    """Each column that the page names is one of the table."""
    found = accounts.execute(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = 'session'::regclass AND attnum > 0"
    )
    columns = {name for (name,) in found}
    named = {
        name
        for row in re.findall(r"^\| ([^|]*`[^|]*) \|", PAGE.text, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }
    assert named
    assert named <= columns
    assert PostgresStore("postgresql:///app").default_period == DEFAULT_PERIOD  # a week
