"""A migration does not stop the site: it gives way to those who use the table."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import psycopg
import pytest
from psycopg import Connection, sql
from psycopg.conninfo import make_conninfo

from pgsession import PostgresStore
from pgsession.core.store import Changes
from pgsession.errors import SettingsError, StoreBusyError
from pgsession.postgres import schema as module
from pgsession.postgres.holders import Holder, described
from pgsession.postgres.schema import migrate
from tests.migrating import LOCK, TIMEOUT, backends, release, search, wait_until

#: A migration that needs the table for itself.
MORE = """
INSERT INTO session_migration (name) VALUES ('9000_more');
ALTER TABLE session ADD COLUMN more pg_catalog.text;
"""

Run = Callable[..., list[str]]


@pytest.fixture
def database(database_url: str, migrated_schema: str) -> Iterator[Connection]:
    url = search(database_url, migrated_schema)
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def other(database_url: str, migrated_schema: str) -> Iterator[Connection]:
    """A second connection to hold locks with; it commits nothing."""
    url = make_conninfo(search(database_url, migrated_schema), application_name="a report")
    with psycopg.connect(url) as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def run(
    database_url: str, migrated_schema: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Runs `migrate` of a version with one more migration, under the schema's name."""
    release(tmp_path, "9000_more", MORE)
    monkeypatch.setattr(module, "files", lambda _: tmp_path)
    url = make_conninfo(
        database_url, application_name=migrated_schema, options="-cdeadlock_timeout=400ms"
    )
    return partial(migrate, url, schema=migrated_schema)


def waits_for_lock(database: Connection, migrated_schema: str) -> None:
    """Return when the process of `run` waits for a lock."""
    wait_until(lambda: bool(backends(database, migrated_schema, "Lock")))


async def test_requests_go_on(
    database: Connection, other: Connection, database_url: str, migrated_schema: str, run: Run
) -> None:
    """While a migration tries behind a long reader, each statement of a session gets through."""
    async with PostgresStore(database_url, schema=migrated_schema) as store:
        key = await store.generate({"n": 0})
        other.execute("SELECT FROM session")
        lines: list[str] = []
        migration = asyncio.create_task(
            asyncio.to_thread(run, lock_timeout=0.4, tries=100, report=lines.append)
        )
        try:
            for n in range(1, 4):
                await asyncio.to_thread(waits_for_lock, database, migrated_schema)
                # Behind the migration, which waits for the reader.
                await store.merge(key, Changes(set={"n": n}))
                await store.clear(await store.generate({}))
            assert not migration.done()
            assert len(lines) >= 2
        finally:
            other.rollback()

        assert await migration == ["9000_more"]
        entry = await store.get(key)
        assert entry is not None
        assert entry.value == {"n": 3}


def test_waits_for_another_migration(
    database: Connection, other: Connection, migrated_schema: str, run: Run
) -> None:
    """Another migration may take as long as it takes: to wait for it is no try."""
    other.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
    waited = "SELECT now() - state_change > '0.1 s' FROM pg_stat_activity WHERE pid = ANY (%s)"
    lines: list[str] = []
    with ThreadPoolExecutor() as threads:
        running = threads.submit(run, lock_timeout=0.01, tries=1, report=lines.append)
        waits_for_lock(database, migrated_schema)
        pids = backends(database, migrated_schema)
        wait_until(lambda: database.execute(waited, (pids,)).fetchall() == [(True,)])
        other.rollback()

        assert running.result(TIMEOUT) == ["9000_more"]
    assert lines == []


def test_deadlock(database: Connection, other: Connection, migrated_schema: str, run: Run) -> None:
    """A migration that the server ends because of a deadlock is tried again."""
    other.execute("SET deadlock_timeout = '1 min'")
    other.execute("SELECT FROM session")
    lines: list[str] = []
    with ThreadPoolExecutor() as threads:
        running = threads.submit(run, lock_timeout=1, tries=2, report=lines.append)
        waits_for_lock(database, migrated_schema)
        other.execute("LOCK TABLE session_migration")  # which the migration has written to
        other.rollback()

        assert running.result(TIMEOUT) == ["9000_more"]
    assert ["try 2 of 2" in line for line in lines] == [True]


def test_names_those_in_the_way(
    database: Connection,
    other: Connection,
    database_url: str,
    migrated_schema: str,
    run: Run,
) -> None:
    """A transaction that got its lock only after the try is not named."""
    other.execute("SELECT FROM session")
    late = f"{migrated_schema}_late"
    url = make_conninfo(
        database_url,
        application_name=late,
        options=f"-csearch_path={migrated_schema} -cstatement_timeout={TIMEOUT:.0f}s",
    )
    with ThreadPoolExecutor() as threads, psycopg.connect(url) as later:
        running = threads.submit(run, lock_timeout=1, tries=1)
        try:
            waits_for_lock(database, migrated_schema)
            later.execute("SELECT FROM session")  # behind the migration, until that gives up
            with pytest.raises(StoreBusyError) as caught:
                running.result(TIMEOUT)
        finally:
            other.rollback()

    assert f"process {other.info.backend_pid} (a report" in str(caught.value)
    assert late not in str(caught.value)


def test_names_without_privileges(
    database: Connection, other: Connection, database_url: str, migrated_schema: str, run: Run
) -> None:
    """An owner without any privilege on other roles is told which process is in the way."""
    role = sql.Identifier(f"{migrated_schema}_owner")
    schema = sql.Identifier(migrated_schema)
    database.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
    try:
        for kind in ("SCHEMA {1}", "TABLE {1}.session", "TABLE {1}.session_migration"):
            database.execute(sql.SQL(f"ALTER {kind} OWNER TO {{0}}").format(role, schema))
        other.execute("SELECT FROM session")

        with pytest.raises(StoreBusyError, match=f"process {other.info.backend_pid} "):
            migrate_as(run, make_conninfo(database_url, user=f"{migrated_schema}_owner"))
    finally:
        other.rollback()
        database.execute(sql.SQL("REASSIGN OWNED BY {} TO CURRENT_USER").format(role))
        database.execute(sql.SQL("DROP ROLE {}").format(role))


def migrate_as(run: Run, url: str) -> None:
    assert isinstance(run, partial)
    migrate(url, **run.keywords, lock_timeout=0.1, tries=1)


@pytest.mark.parametrize(
    ("holders", "said"),
    [
        pytest.param([], "other transactions", id="nobody"),
        pytest.param([Holder("1/2", 7, "", None)], "process 7", id="bare"),
        pytest.param([Holder("1/2", 7, "psql", "ann")], "process 7 (psql, role ann)", id="one"),
        pytest.param(
            [Holder("-1/8", None, "", None), Holder("1/2", 7, "", "ann")],
            "a prepared transaction (see pg_prepared_xacts) and process 7 (role ann)",
            id="prepared",
        ),
        pytest.param(
            [Holder(f"{n}/1", n, "", None) for n in range(1, 9)],
            "process 1 and process 2 and process 3 and process 4 and process 5 and 3 more",
            id="many",
        ),
    ],
)
def test_described(holders: list[Holder], said: str) -> None:
    """A message names the first of those in the way, with what every role may see of them."""
    assert described(holders) == said


def test_other_table(database: Connection, other: Connection, tmp_path: Path, run: Run) -> None:
    """If nobody in particular uses the session table, the error says where to look."""
    database.execute("CREATE TABLE account (id int PRIMARY KEY)")
    release(tmp_path, "9000_more", f"{MORE} ALTER TABLE account ADD COLUMN more int;")
    other.execute("SELECT FROM account")

    with pytest.raises(StoreBusyError, match=r"other transactions.*the view pg_locks shows who"):
        run(lock_timeout=0.01, tries=1)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        pytest.param("lock_timeout", 0, id="none"),
        pytest.param("lock_timeout", -1, id="negative"),
        pytest.param("lock_timeout", float("nan"), id="NaN"),
        pytest.param("lock_timeout", float("inf"), id="infinite"),
        pytest.param("tries", 0, id="no try"),
        pytest.param("wait", -1, id="negative wait"),
        pytest.param("wait", float("nan"), id="NaN wait"),
    ],
)
def test_bounds(name: str, number: float, run: Run) -> None:
    """A number that cannot work is a SettingsError that names it."""
    with pytest.raises(SettingsError, match=name):
        run(**{name: number})
