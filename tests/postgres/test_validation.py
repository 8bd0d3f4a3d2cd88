"""Checking a table: its columns, what is on it, and its name."""

import psycopg
import pytest

from pgsession.errors import SchemaError, SettingsError
from pgsession.postgres.table_name import TableName
from pgsession.postgres.validation import (
    COLUMNS,
    Column,
    Obstacles,
    check_columns,
    check_obstacles,
)

GOOD = [Column(name, type_, is_key=name == "session_key") for name, type_ in COLUMNS.items()]
SEED = [
    Column("session_key", "character(40)", is_key=False),
    Column("expire_date", "timestamp(2) with time zone", is_key=False),
    Column("session_data", "text", is_key=False),
]


def without(name: str) -> list[Column]:
    return [column for column in GOOD if column.name != name]


def test_good_table() -> None:
    """A table with exactly the required columns passes."""
    check_columns(GOOD)


def test_foreign_columns() -> None:
    """A table with additional columns of the application passes."""
    check_columns([*GOOD, Column("tenant", "int4", is_key=False)])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        pytest.param([], "app.session belongs to something else", id="no columns"),
        pytest.param(
            [Column("sid", "varchar", is_key=True), Column("sess", "json", is_key=False)],
            "belongs to something else: .* another name",
            id="table of another library",
        ),
        pytest.param(SEED, "older version; run `pgsession migrate`", id="seed's table"),
        pytest.param(
            [*SEED, Column("user_id", "int4", is_key=False)],
            "older version; run `pgsession migrate`",
            id="seed's table with more",
        ),
        pytest.param(
            without("period"), "lacks the column period; add it as interval", id="missing"
        ),
        pytest.param(
            [*without("user_id"), Column("user_id", "int4", is_key=False)],
            "the column user_id is int4; make it text",
            id="wrong type",
        ),
        pytest.param(
            [*GOOD, Column("tenant", "int4", is_key=False, is_required=True)],
            "the column tenant takes no NULL and has no default",
            id="required column",
        ),
        pytest.param(
            [*without("session_key"), Column("session_key", "text", is_key=False)],
            "session_key is not the primary key",
            id="no primary key",
        ),
    ],
)
def test_bad_table(columns: list[Column], message: str) -> None:
    """An unusable table is rejected; the error says what is wrong and what to do."""
    with pytest.raises(SchemaError, match=message):
        check_columns(columns, table=TableName("app"))


@pytest.mark.parametrize(
    ("obstacles", "message"),
    [
        pytest.param(Obstacles(has_row_security=True), "Row security is active", id="row security"),
        pytest.param(Obstacles(triggers=["audit"]), "triggers .*: audit; make", id="trigger"),
        pytest.param(Obstacles(rules=["keep"]), "has rules: keep; drop", id="rule"),
    ],
)
def test_obstacles(obstacles: Obstacles, message: str) -> None:
    """Anything that can hide or keep a row is rejected, with a remedy."""
    with pytest.raises(SchemaError, match=message):
        check_obstacles(obstacles, table=TableName())


def test_no_obstacles() -> None:
    """A table with nothing on it passes."""
    check_obstacles(Obstacles(), table=TableName())


def test_identifier() -> None:
    """A table is named with its schema, or found through the search_path."""
    assert TableName('a"b').identifier.as_string() == '"a""b"."session"'
    assert TableName(None, "web").identifier.as_string() == '"web"'
    assert TableName("a", "web").record_identifier.as_string() == '"a"."web_migration"'
    assert [str(TableName("a")), str(TableName())] == ["a.session", "session"]


@pytest.mark.parametrize("name", ["", "Session", "my-table", "1st", 'a"b', "a" * 51, "a.b"])
def test_wrong_name(name: str) -> None:
    """A name that needs quotes or is too long is an error that says what is allowed."""
    with pytest.raises(SettingsError, match="lower-case letters, digits and underscores"):
        TableName(None, name)


def test_keywords(database_url: str) -> None:
    """A keyword, which the migrations could not use unquoted, is an error; other words are not."""
    with psycopg.connect(database_url) as connection:
        words = connection.execute("SELECT word, catcode FROM pg_get_keywords()").fetchall()
    rejected = set()
    for word, _ in words:
        try:
            TableName(None, word)
        except SettingsError:
            rejected.add(word)

    reserved = {word for word, code in words if code in ("R", "T")}
    assert reserved
    assert reserved <= rejected
    # A word of a newer server may be free on this one.
    assert rejected - reserved <= {"system_user"}
