"""Checking a table against the catalog, and finding the migrations."""

from pathlib import Path

import pytest

from pgsession.errors import SchemaError
from pgsession.postgres import schema
from pgsession.postgres.schema import COLUMNS, Column, check, migrations, qualified

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
    check(GOOD)


def test_foreign_columns() -> None:
    """A table with additional columns of the application passes."""
    check([*GOOD, Column("tenant", "integer", is_key=False)])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        pytest.param([], "no table app.session; run `pgsession migrate`", id="no table"),
        pytest.param(SEED, "older version; run `pgsession migrate`", id="seed's table"),
        pytest.param(
            [*SEED, Column("user_id", "integer", is_key=False)],
            "older version; run `pgsession migrate`",
            id="seed's table with more",
        ),
        pytest.param(
            without("period"), "lacks the column period; add it as interval", id="missing"
        ),
        pytest.param(
            [*without("user_id"), Column("user_id", "integer", is_key=False)],
            "the column user_id is integer; make it text",
            id="wrong type",
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
        check(columns, table="app.session")


def test_numbered_order() -> None:
    """Migrations are sorted by number, and their names start with the number."""
    names = [migration.name for migration in migrations()]

    assert names[:2] == ["0001_session", "0002_digest_and_jsonb"]
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))


@pytest.mark.parametrize("migration", migrations(), ids=lambda migration: migration.name)
def test_self_contained(migration: schema.Migration) -> None:
    """A migration is one transaction that first records its own name."""
    statements = [line for line in migration.sql.splitlines() if line and not line.startswith("--")]

    assert statements[0].startswith("BEGIN")
    assert statements[1] == "SELECT pg_advisory_xact_lock(123589619970931);"
    assert statements[-1] == "COMMIT;"
    record = next(line for line in statements if line.startswith("INSERT INTO session_migration"))
    assert record.endswith(f"('{migration.name}');")


def test_wheel_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Migrations inside the package take precedence over those of a checkout."""
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / "0001_x.sql").write_text("SELECT 1;")
    (tmp_path / "migrations" / "README").write_text("not SQL")
    monkeypatch.setattr(schema, "files", lambda _: tmp_path)

    assert migrations() == (schema.Migration("0001_x", "SELECT 1;"),)


def test_missing_migrations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without migrations raises an error; an empty folder counts as none."""
    (tmp_path / "migrations").mkdir()
    monkeypatch.setattr(schema, "files", lambda _: tmp_path)
    monkeypatch.setattr(schema, "__file__", str(tmp_path / "a" / "b" / "schema.py"))

    with pytest.raises(SchemaError, match="install pgsession again"):
        migrations()


def test_qualified() -> None:
    """A table is qualified with its schema, or found through the search_path."""
    assert qualified('a"b', "session").as_string() == '"a""b"."session"'
    assert qualified(None, "session").as_string() == '"session"'
