"""`pgsession migrate` in a pipeline: its lines and exit codes, as other programs see them."""

import subprocess
import sys
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import Connection
from psycopg.conninfo import make_conninfo

from pgsession.postgres.schema import migrations
from tests.migrating import SEED, TIMEOUT, backends, contents, recorded, search, start, wait_until
from tests.programs import environment, pgsession

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def database(database_url: str, schema: str) -> Iterator[Connection]:
    with psycopg.connect(search(database_url, schema), autocommit=True) as connection:
        yield connection


@pytest.fixture
def reader(database_url: str, schema: str, database: Connection) -> Iterator[Connection]:
    """A transaction that has read the table of an older application, and is left open."""
    database.execute(SEED)
    url = make_conninfo(search(database_url, schema), application_name="a report")
    with psycopg.connect(url) as connection:
        connection.execute("SELECT FROM session")
        yield connection


@pytest.fixture
def command(database_url: str, schema: str) -> Command:
    """Runs a command on the schema, or on another URL."""

    def run(*arguments: str, url: str = database_url) -> "subprocess.CompletedProcess[str]":
        variables = {
            "SESSION_DATABASE_URL": url,
            "SESSION_SCHEMA": schema,
            "SESSION_SECRET_KEY": "s" * 20 + "x" * 20,
        }
        return pgsession(*arguments, **variables)

    return run


def test_in_use(command: Command, reader: Connection, database: Connection) -> None:
    """Each further try is one line; after the last, an error names the process; exit code 1."""
    before = contents(database)

    done = command("migrate", "--lock-timeout", "0.1", "--tries", "3")

    pid = reader.info.backend_pid
    second, third, last = done.stderr.splitlines()
    assert f"in use by process {pid} (a report, role" in second
    assert second.endswith("try 2 of 3 follows in 0.2 s.")
    assert third.endswith("try 3 of 3 follows in 0.2 s.")
    assert last.startswith("Error: The migration 0002_digest_and_jsonb could not lock the table")
    assert f"SELECT pg_terminate_backend({pid})" in last
    assert (done.returncode, done.stdout) == (1, "")
    assert contents(database) == before
    assert recorded(database) == ["0001_session"]


def test_remedy(command: Command, reader: Connection, database: Connection) -> None:
    """What the error says solves the problem."""
    done = command("migrate", "--lock-timeout", "0.1", "--tries", "1")
    _, _, rest = done.stderr.partition("(SELECT ")
    ends, _, _ = rest.partition("), and")

    database.execute(f"SELECT {ends}".encode())

    assert command("migrate").returncode == 0
    with pytest.raises(psycopg.OperationalError):
        reader.execute("SELECT")


def test_killed(reader: Connection, database: Connection, database_url: str, schema: str) -> None:
    """A process that is killed between two tries leaves nothing half done, and no lock."""
    before = contents(database)
    with start(database_url, schema, "--lock-timeout", "0.5") as process:
        assert process.stderr is not None
        assert "try 2 of" in process.stderr.readline()
        process.kill()

    wait_until(lambda: backends(database, schema) == [])
    assert contents(database) == before
    assert recorded(database) == ["0001_session"]
    reader.rollback()
    with start(database_url, schema) as process:
        process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0
    assert recorded(database) == [each.name for each in migrations()]


@pytest.mark.parametrize("name", ["migrate", "check", "sweep"])
@pytest.mark.parametrize(
    ("where", "code"),
    [
        pytest.param("postgresql://127.0.0.1:1/app", 3, id="down"),
        pytest.param("postgresql://127.0.0.1:1:1/app", 1, id="wrong URL"),
        pytest.param("no such database", 1, id="rejected"),
    ],
)
def test_not_reachable(
    command: Command, database_url: str, name: str, where: str, code: int
) -> None:
    """If only the database cannot be reached now, the exit code is 3; if something is wrong, 1."""
    url = where if "://" in where else make_conninfo(database_url, dbname="pgsession_no_such")

    done = command(name, url=url)

    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["migrate", "check"])
def test_wait(
    command: Command,
    point: Callable[..., None],
    schema: str,
    name: str,
) -> None:
    """With --wait, a command that starts before its server goes on as soon as that is up."""
    if name == "check":
        assert command("migrate").returncode == 0
    point(there=False)
    variables = {"SESSION_DATABASE_URL": "service=movable", "SESSION_SCHEMA": schema}
    with subprocess.Popen(
        [sys.executable, "-m", "pgsession", name, "--wait", str(TIMEOUT)],
        env=environment({**variables, "SESSION_SECRET_KEY": "s" * 20 + "x" * 20}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert "Trying again for 20 s." in process.stderr.readline()
        point(there=True)
        said, errors = process.communicate(timeout=TIMEOUT)

    assert (process.returncode, errors) == (0, ""), said


@pytest.mark.parametrize("name", ["migrate", "check"])
def test_wait_in_vain(command: Command, name: str) -> None:
    """If the server does not come up in time, the exit code is 3; one line tells of the wait."""
    done = command(name, "--wait", "0.5", url="postgresql://127.0.0.1:1/app")

    assert done.returncode == 3
    assert done.stderr.count("Trying again") == 1


def test_wait_rejected(command: Command, database_url: str) -> None:
    """A server that rejects the connection is not waited for."""
    url = make_conninfo(database_url, dbname="pgsession_no_such")

    done = command("migrate", "--wait", "3600", url=url)

    assert done.returncode == 1
    assert "Trying again" not in done.stderr


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(["--lock-timeout", "0"], id="no limit"),
        pytest.param(["--tries", "0"], id="no try"),
        pytest.param(["--wait", "-1"], id="negative"),
    ],
)
def test_usage(command: Command, options: list[str]) -> None:
    """A number that cannot work is wrong usage: exit code 2."""
    assert command("migrate", *options).returncode == 2


def newer(database: Connection, older_code: str | None) -> None:
    """Record a migration of a newer version."""
    database.execute("ALTER TABLE session_migration ADD COLUMN IF NOT EXISTS older_code text")
    database.execute(
        "INSERT INTO session_migration (name, older_code) VALUES ('9999_newer', %s)", (older_code,)
    )


@pytest.mark.parametrize("name", ["migrate", "check"])
def test_may_run(command: Command, database: Connection, name: str) -> None:
    """On a newer database that lets this version run, both commands say so and exit with 0."""
    assert command("migrate").returncode == 0
    newer(database, "may run")

    done = command(name)

    said = done.stdout + done.stderr
    assert "the newer migration 9999_newer, and this version may run on it" in said
    assert done.returncode == 0


@pytest.mark.parametrize("name", ["migrate", "check"])
@pytest.mark.parametrize(
    ("older_code", "said"),
    [
        pytest.param("must not run: keys differ.", "must not run: keys differ", id="reason"),
        pytest.param(None, "must not run: the migration does not allow it", id="nothing said"),
    ],
)
def test_must_not_run(
    command: Command, database: Connection, name: str, older_code: str | None, said: str
) -> None:
    """On a newer database that excludes this version, both give the reason and exit with 1."""
    assert command("migrate").returncode == 0
    newer(database, older_code)
    database.execute("ALTER TABLE session DROP COLUMN period")

    done = command(name)

    text = " ".join((done.stdout + done.stderr).split())
    assert f"has the migration 9999_newer, and older versions {said}" in text
    assert "Install the newer version" in text
    assert "run `pgsession migrate`" not in text
    assert done.returncode == 1


def test_help(command: Command) -> None:
    """The help names the exit codes."""
    assert "3 the database cannot be reached now" in " ".join(command("--help").stdout.split())
    assert "Exits 3 if the database cannot be reached" in command("migrate", "--help").stdout
