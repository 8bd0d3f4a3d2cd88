"""A newer database tells older code whether it may run."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg import Connection
from psycopg.conninfo import make_conninfo

from pgsession.errors import SchemaError
from pgsession.postgres import schema as module
from pgsession.postgres.schema import migrate, migrations
from tests.migrating import LOCK, TIMEOUT, backends, recorded, release, search, wait_until

KNOWN = [each.name for each in migrations()]

#: How a migration records itself and what it says to older code.
MARK = """
ALTER TABLE session_migration ADD COLUMN IF NOT EXISTS older_code pg_catalog.text;
INSERT INTO session_migration (name, older_code) VALUES ('9000_newer', '{older_code}');
"""
EXCLUDE = MARK.format(older_code="must not run: it would accept replaced keys")
ALLOW = MARK.format(older_code="may run")


@pytest.fixture
def database(database_url: str, schema: str) -> Iterator[Connection]:
    with psycopg.connect(search(database_url, schema), autocommit=True) as connection:
        yield connection


@pytest.fixture
def upgrade(
    database_url: str, schema: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], list[str]]:
    """Runs `migrate` of a newer version whose last migration has these statements."""

    def run(statements: str) -> list[str]:
        release(tmp_path, "9000_newer", statements)
        with monkeypatch.context() as patch:
            patch.setattr(module, "files", lambda _: tmp_path)
            return migrate(database_url, schema=schema)

    return run


def test_allowed(database_url: str, schema: str, upgrade: Callable[[str], list[str]]) -> None:
    """An older version leaves a newer database alone, says so, and does not fail."""
    assert upgrade(ALLOW) == [*KNOWN, "9000_newer"]
    lines: list[str] = []

    assert migrate(database_url, schema=schema, report=lines.append) == []

    assert lines == [
        "The database has the newer migration 9000_newer, and this version may run on it."
    ]
    assert upgrade(ALLOW) == []


def test_excluded(database_url: str, schema: str, upgrade: Callable[[str], list[str]]) -> None:
    """An older version that must not run gets the reason that the migration has recorded."""
    upgrade(EXCLUDE)

    with pytest.raises(
        SchemaError,
        match="has the migration 9000_newer, and older versions must not run: it would accept "
        r"replaced keys\. Install the newer version",
    ):
        migrate(database_url, schema=schema)


def test_run_by_hand(
    database: Connection,
    database_url: str,
    schema: str,
    tmp_path: Path,
) -> None:
    """A file that marks itself works in psql as well, on a record without the column."""
    migrate(database_url, schema=schema)
    database.execute("ALTER TABLE session_migration DROP COLUMN IF EXISTS older_code")
    release(tmp_path, "9000_newer", EXCLUDE)

    database.execute((tmp_path / "migrations" / "9000_newer.sql").read_bytes())

    with pytest.raises(SchemaError, match="must not run"):
        migrate(database_url, schema=schema)
    with pytest.raises(psycopg.errors.UniqueViolation, match="session_migration"):
        database.execute((tmp_path / "migrations" / "9000_newer.sql").read_bytes())


def test_gap(database: Connection, database_url: str, schema: str) -> None:
    """An older version does not add its migration after a newer one."""
    database.execute(migrations()[0].sql.encode())
    database.execute(ALLOW.encode())

    with pytest.raises(SchemaError, match=f"but lacks {KNOWN[1]}; run `pgsession migrate` of the"):
        migrate(database_url, schema=schema)

    assert recorded(database) == [KNOWN[0], "9000_newer"]


def test_newer_meanwhile(database: Connection, database_url: str, schema: str) -> None:
    """A version that lost the race against a newer one does not call the database its own."""
    url = make_conninfo(database_url, application_name=schema)
    with (
        psycopg.connect(search(database_url, schema)) as faster,
        ThreadPoolExecutor() as threads,
    ):
        faster.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        running = threads.submit(migrate, url, schema=schema)
        wait_until(lambda: bool(backends(database, schema, "Lock")))
        for migration in migrations():
            text = migration.sql.replace("COMMIT;", "").replace("BEGIN ISOLATION", "-- ")
            faster.execute(text.encode())
        faster.execute(EXCLUDE.encode())
        faster.commit()

        with pytest.raises(SchemaError, match="9000_newer, and older versions must not run"):
            running.result(TIMEOUT)
