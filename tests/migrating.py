"""For tests of migrations: the table of an older application, and `pgsession migrate` on it."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from psycopg import Connection
from psycopg.conninfo import make_conninfo

from pgsession.postgres.schema import Migration, migrations
from tests.programs import environment

SEED: Final = b"""
CREATE TABLE session (
  session_key   char(40),
  expire_date   timestamp (2) with time zone,
  session_data  text
);
INSERT INTO session VALUES ('a key', now() + interval '1 day', '{"user": "ann"}');
"""

TIMEOUT: Final = 20.0

#: The lock that one migration of the database holds.
LOCK: Final = 123589619970931

_FILE: Final = """
BEGIN ISOLATION LEVEL READ COMMITTED;
SELECT pg_catalog.pg_advisory_xact_lock({lock});
{statements}
COMMIT;
"""


def release(folder: Path, name: str, statements: str) -> None:
    """Put the migrations of a newer version into the folder: those of this one, and one more."""
    folder.joinpath("migrations").mkdir(exist_ok=True)
    text = _FILE.format(lock=LOCK, statements=statements)
    for migration in (*migrations(), Migration(name, text)):
        file = folder / "migrations" / f"{migration.name}.sql"
        file.write_text(migration.sql, encoding="utf-8")


def search(database_url: str, schema: str) -> str:
    return make_conninfo(database_url, options=f"-csearch_path={schema}")


def start(database_url: str, schema: str, *options: str) -> subprocess.Popen[str]:
    """Run `pgsession migrate` in another process; its application name is the schema's name."""
    return subprocess.Popen(
        [sys.executable, "-m", "pgsession", "migrate", *options],
        env=environment(
            {
                "SESSION_DATABASE_URL": make_conninfo(database_url, application_name=schema),
                "SESSION_SCHEMA": schema,
            }
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def backends(database: Connection, application: str, waiting: str = "%") -> list[int]:
    """Return the PIDs of the backends with this application name; with waiting="Lock", those
    that wait for a lock.
    """
    query = """
        SELECT pid FROM pg_stat_activity
        WHERE application_name = %s AND coalesce(wait_event_type, '') LIKE %s
    """
    return [pid for (pid,) in database.execute(query, (application, waiting))]


def recorded(database: Connection) -> list[str]:
    return [name for (name,) in database.execute("SELECT name FROM session_migration ORDER BY 1")]


def contents(database: Connection) -> list[tuple[object, ...]]:
    return database.execute("SELECT session::text FROM session ORDER BY 1").fetchall()
