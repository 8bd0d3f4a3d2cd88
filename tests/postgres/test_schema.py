"""Finding the migrations."""

import re
from pathlib import Path

import pytest

from pgsession.errors import SchemaError
from pgsession.postgres import schema
from pgsession.postgres.schema import migrations
from pgsession.postgres.table_name import TableName


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
    assert statements[1] == "SELECT pg_catalog.pg_advisory_xact_lock(123589619970931);"
    assert statements[-1] == "COMMIT;"
    first = next(line for line in statements[2:] if not line.startswith((" ", ")")))
    assert re.match(r"(CREATE|ALTER|INSERT INTO|LOCK) (TABLE .*)?session_migration\b", first)
    assert re.search(
        rf"^INSERT INTO session_migration \(name.*\)\s+VALUES \(\s*'{migration.name}'",
        migration.sql,
        re.MULTILINE,
    )


@pytest.mark.parametrize("migration", migrations()[2:], ids=lambda migration: migration.name)
def test_older_code(migration: schema.Migration) -> None:
    """A migration from 0003 on records whether older code may run, and if not, the reason.

    The reason does not hold the table's name, which another name would replace.
    """
    recorded = re.search(
        r"^INSERT INTO session_migration \(name, older_code\)\s+VALUES \(\s*'\w+',\s+'(.+?)'\s*\);",
        migration.sql,
        re.MULTILINE | re.DOTALL,
    )

    assert recorded is not None
    assert re.fullmatch(r"may run|must not run: .+", recorded[1])
    assert not re.search(r"\bsession\b", recorded[1])


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


def test_other_name() -> None:
    """A migration for a table of another name names its indexes and its record after it."""
    text = "".join(migration.sql_for(TableName(name="web_session")) for migration in migrations())

    assert "CREATE TABLE IF NOT EXISTS web_session (" in text
    assert "INSERT INTO web_session_migration (name)" in text
    assert "web_session_key_idx" in text
    assert "web_session_user_id_idx" in text
    assert "web_session_key_hash_idx ON web_session USING" in text
    assert "session_key   char(40)" in text
    assert not re.search(r"\b(TABLE|INTO|FROM|ON|ANALYZE) session\b", text)
