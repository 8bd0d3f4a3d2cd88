"""`pgsession check` and `pgsession sweep`: their output and exit codes."""

import os
import pty
import re
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from psycopg import Connection, sql
from psycopg.conninfo import make_conninfo

from tests.programs import environment, pgsession

SECRET = "a secret of more than thirty-two bytes"

ROWS = """
INSERT INTO session (session_key, expire_date)
SELECT n::text, now() - interval '2 days' FROM generate_series(1, 1200) AS n
"""

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def variables(database_url: str, migrated_schema: str) -> dict[str, str]:
    """The environment variables with which a command finds the table."""
    return {
        "SESSION_DATABASE_URL": database_url,
        "SESSION_SCHEMA": migrated_schema,
        "SESSION_SECRET_KEY": SECRET,
    }


@pytest.fixture
def command(variables: dict[str, str]) -> Command:
    """Runs a command on the table; keyword arguments are added to its environment."""

    def run(name: str, **further: str) -> "subprocess.CompletedProcess[str]":
        return pgsession(name, **{**variables, **further})

    return run


@pytest.fixture
def role(table: Connection, migrated_schema: str) -> Iterator[str]:
    """A role that may use the schema but nothing in it."""
    name = f"pgsession_test_{secrets.token_hex(8)}"
    quoted = sql.Identifier(name)
    table.execute(sql.SQL("CREATE ROLE {} LOGIN").format(quoted))
    usage = sql.SQL("GRANT USAGE ON SCHEMA {} TO {}")
    table.execute(usage.format(sql.Identifier(migrated_schema), quoted))
    yield name
    table.execute(sql.SQL("DROP OWNED BY {}").format(quoted))
    table.execute(sql.SQL("DROP ROLE {}").format(quoted))


def lines(said: str, verdict: str) -> list[str]:
    """Return the subjects with this verdict."""
    return re.findall(rf"^{verdict} +(.+?)  ", said, re.MULTILINE)


def test_in_order(command: Command, database_url: str, migrated_schema: str) -> None:
    """If everything is in order, each subject gets one line and the exit code is 0."""
    # Every role may create in the schema `public` of PostgreSQL 14, which `check` warns of.
    url = make_conninfo(database_url, options=f"-csearch_path={migrated_schema}")

    done = command("check", SESSION_DATABASE_URL=url)

    assert (done.returncode, done.stderr) == (0, "")
    assert lines(done.stdout, "ok") == [
        "settings",
        "cookie",
        "database",
        "server",
        "primary",
        "encoding",
        "clock",
        "durability",
        "connection",
        "time limits",
        "connections",
        "search_path",
        "table",
        "privileges",
        "fill factor",
        "storage parameters",
        "indexes",
        "autovacuum",
        "old transactions",
        "space",
        "sweeping",
    ]


def test_wrong(command: Command, table: Connection, migrated_schema: str) -> None:
    """A problem is reported with its remedy, and the exit code is 1."""
    table.execute("ALTER TABLE session SET (fillfactor = 100, autovacuum_enabled = off)")
    table.execute("CREATE INDEX early ON session (session_key) WHERE expire_date < '2020-01-01'")
    table.execute("CREATE INDEX sparse ON session USING brin (expire_date)")
    table.execute(ROWS)

    done = command("check")

    assert done.returncode == 1
    assert lines(done.stdout, "wrong") == ["fill factor", "indexes", "autovacuum", "sweeping"]
    assert f"ALTER TABLE {migrated_schema}.session SET (fillfactor = 70);" in done.stdout
    assert f"DROP INDEX CONCURRENTLY {migrated_schema}.early;" in done.stdout
    assert "100% of the rows" in done.stdout


def test_remedies(command: Command, table: Connection) -> None:
    """The suggested remedies solve the problems."""
    table.execute("ALTER TABLE session SET (fillfactor = 100, autovacuum_enabled = off)")
    table.execute("CREATE INDEX ON session (expire_date)")
    table.execute(ROWS)

    for remedy in re.findall(r"^ +((?:ALTER|DROP) .*;)$", command("check").stdout, re.MULTILINE):
        table.execute(remedy)
    assert command("sweep").returncode == 0

    assert command("check").returncode == 0


@pytest.mark.parametrize(
    ("further", "verdict", "said"),
    [
        pytest.param(
            {"SESSION_SECRET_KEY": ""},
            "warning",
            "secret +SESSION_SECRET_KEY is not set",
            id="no secret",
        ),
        pytest.param(
            {"SESSION_SECRET_KEY": "short"}, "wrong", "settings +secret_key is 5", id="short"
        ),
        pytest.param(
            {"SESSION_SECRET_KEY": "s" * 40}, "warning", "secret +.* can be guessed", id="guessable"
        ),
        pytest.param(
            {"SESSION_PARTITIONED": "true"}, "warning", "cookie +.*-partitioned", id="partitioned"
        ),
        pytest.param({"SESSION_PATH": "/a"}, "ok", "cookie +session, Secure", id="cookie"),
        pytest.param(
            {"SESSION_DEFAULT_PERIOD": "soon"}, "wrong", "settings +SESSION_DEFAULT", id="period"
        ),
        pytest.param({"SESSION_SWEEP_EVERY": "none"}, "ok", "sweeping .* cron", id="never sweeps"),
        pytest.param(
            {"SESSION_SCHEMA": "pgsession_no_such"}, "wrong", "table +There is no", id="no table"
        ),
        pytest.param(
            {
                "SESSION_DATABASE_URL": "postgresql://127.0.0.1:1/app",
                "SESSION_DEFAULT_PERIOD": "soon",
            },
            "wrong",
            "database +PostgreSQL cannot be reached",
            id="unreachable and more",
        ),
        pytest.param(
            {"SESSION_DATABASE_URL": "postgresql://ann:hunter/2@127.0.0.1/app"},
            "wrong",
            "database +The host or the port",
            id="torn password",
        ),
    ],
)
def test_settings(command: Command, further: dict[str, str], verdict: str, said: str) -> None:
    """The settings are checked too; a warning alone does not change the exit code."""
    done = command("check", **further)

    assert re.search(rf"^{verdict} +{said}", done.stdout, re.MULTILINE), done.stdout
    assert done.returncode == (verdict == "wrong")
    assert "Traceback" not in done.stderr


def test_privileges(
    command: Command, table: Connection, role: str, database_url: str, migrated_schema: str
) -> None:
    """A role without privileges is told which grants it needs, and they are enough."""
    url = make_conninfo(database_url, user=role)
    grant = sql.SQL("GRANT {} ON session TO {}")

    done = command("check", SESSION_DATABASE_URL=url)
    assert lines(done.stdout, "wrong") == ["privileges"]
    assert "GRANT SELECT, INSERT, UPDATE, DELETE" in done.stdout

    table.execute(grant.format(sql.SQL("SELECT, INSERT, UPDATE, DELETE"), sql.Identifier(role)))
    assert command("check", SESSION_DATABASE_URL=url).returncode == 0

    revoke = sql.SQL("REVOKE USAGE ON SCHEMA {} FROM {}")
    table.execute(revoke.format(sql.Identifier(migrated_schema), sql.Identifier(role)))
    said = command("check", SESSION_DATABASE_URL=url).stdout
    assert f"GRANT USAGE ON SCHEMA {migrated_schema} TO {role};" in said


def test_sweep(command: Command, table: Connection) -> None:
    """`sweep` prints how many rows it removed, and shows no progress without a terminal."""
    table.execute(ROWS)

    done = command("sweep")

    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(
        r"Removed 1200 expired sessions in \d+\.\d s \(\d+ pages looked at\)\.\n", done.stdout
    )


@pytest.mark.parametrize(
    ("variable", "column"),
    [
        ("SESSION_MAX_LIFETIME=1d", "created_on"),
        ("SESSION_MAX_INACTIVITY=1d", "seen_on"),
        ("SESSION_ASSURANCE_LEVEL=2", "seen_on"),
    ],
)
def test_sweep_limits(command: Command, table: Connection, variable: str, column: str) -> None:
    """`sweep` also removes what the limits in the environment have ended."""
    table.execute(
        "INSERT INTO session (session_key, expire_date) VALUES ('old', now() + '1 d'::interval), "
        "('new', now() + '1 d'::interval)"
    )
    query = sql.SQL("UPDATE session SET {} = now() - '2 d'::interval WHERE session_key = 'old'")
    table.execute(query.format(sql.Identifier(column)))
    name, _, limit = variable.partition("=")

    done = command("sweep", **{name: limit})

    assert (done.returncode, done.stderr) == (0, "")
    assert table.execute("SELECT session_key FROM session").fetchall() == [("new",)]


def test_sweep_on_terminal(variables: dict[str, str], table: Connection) -> None:
    """On a terminal, `sweep` shows its progress."""
    table.execute(ROWS)
    watched, terminal = pty.openpty()

    subprocess.run(
        [sys.executable, "-m", "pgsession", "sweep"],
        check=True,
        env=environment(variables),
        stdout=subprocess.DEVNULL,
        stderr=terminal,
    )

    shown = os.read(watched, 100_000).decode()
    os.close(watched)
    os.close(terminal)
    assert "Sweeping" in shown
    assert "100%" in shown
    assert "1200 removed" in shown


def test_sweep_beside_another(command: Command, table: Connection) -> None:
    """A `sweep` that runs during another one says so and exits with 0."""
    table.execute(ROWS)
    with table.transaction():
        table.execute(
            "SELECT pg_advisory_xact_lock(x'70677373'::int, "
            "'session'::regclass::oid::int8::bit(32)::int)"
        )
        done = command("sweep")

    assert done.returncode == 0
    assert "Another sweep is running" in done.stdout


@pytest.mark.parametrize(
    ("url", "said", "code"),
    [
        pytest.param("postgresql://ann:hunter2@127.0.0.1:1/app", "cannot be reached", 3, id="down"),
        pytest.param("postgresql://ann:hunter2%@127.0.0.1/app", "The database URL", 1, id="no URL"),
    ],
)
def test_sweep_failing(command: Command, url: str, said: str, code: int) -> None:
    """An error is one line on stderr, without the password; the exit code says if it may pass."""
    done = command("sweep", SESSION_DATABASE_URL=url)

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1)
    assert done.stderr.startswith("Error: ")
    assert said in done.stderr
    assert "hunter2" not in done.stderr
