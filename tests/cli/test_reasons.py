"""`pgsession check` names the cause and the remedy if the database cannot be reached."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest

from pgsession.cli.check import examine
from pgsession.cli.findings import Finding, Verdict
from pgsession.errors import StoreRejectedError, StoreUnavailableError
from pgsession.postgres.connections.failures import explained, unreachable
from pgsession.postgres.connections.reasons import REASONS
from pgsession.postgres.connections.startup import connect
from pgsession.postgres.schema import migrate
from tests.cli.test_check import SECRET as SECRET_KEY
from tests.faults import bouncer as pgbouncer
from tests.faults.servers import Server, new_server, new_standby

ROLES = (
    "CREATE ROLE pw LOGIN PASSWORD 'right'",
    "CREATE ROLE banned LOGIN",
    "CREATE ROLE unlisted LOGIN",
    'CREATE ROLE "No ""Login"',
    "CREATE ROLE few LOGIN CONNECTION LIMIT 0",
    "CREATE ROLE one LOGIN",
    "CREATE ROLE slow LOGIN",
    "ALTER ROLE slow SET statement_timeout = '2s'",
    "ALTER ROLE slow SET lock_timeout = '300ms'",
    "CREATE ROLE canceled LOGIN",
    "ALTER ROLE canceled SET statement_timeout = '1ms'",
    "CREATE ROLE writer LOGIN",
    "CREATE DATABASE guarded",
    "REVOKE CONNECT ON DATABASE guarded FROM public",
    "CREATE DATABASE small CONNECTION LIMIT 0",
    "CREATE DATABASE closed ALLOW_CONNECTIONS false",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON session TO slow, canceled, writer, one",
    "GRANT SELECT ON session_migration TO slow, canceled, writer, one",
)

HBA = """
host all postgres,one,few,slow,canceled,writer,ghost,"No ""Login" 127.0.0.1/32 trust
host replication postgres 127.0.0.1/32 trust
host all pw 127.0.0.1/32 scram-sha-256
host all banned 127.0.0.1/32 reject
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server with a role for each fault."""
    with (
        tempfile.TemporaryDirectory(prefix="pgsession-") as folder,
        new_server(Path(folder, "server")) as it,
    ):
        for statement in ROLES:
            it.execute(statement)
        (it.data / "pg_hba.conf").write_text(HBA)
        it.execute("SELECT pg_reload_conf()")
        it.wait_until("SELECT count(*) = 4 FROM pg_hba_file_rules")
        yield it


async def checked(url: str, **environment: str) -> dict[str, Finding]:
    """Return the findings that are not in order, by their codes."""
    found = await examine(
        url,
        schema=None,
        table="session",
        environment={"SESSION_SECRET_KEY": SECRET_KEY, **environment},
    )
    return {each.code: each for each in found if each.verdict is not Verdict.OK}


@pytest.mark.parametrize(
    ("keywords", "name", "may_pass", "remedy"),
    [
        pytest.param({"user": "unlisted"}, "hba", False, "pg_hba.conf", id="no entry"),
        pytest.param({"user": "banned"}, "hba-reject", False, "reject", id="reject"),
        pytest.param(
            {"user": "pw", "password": "wrong"},
            "password",
            False,
            "ALTER ROLE pw PASSWORD '…' VALID UNTIL 'infinity';",
            id="password",
        ),
        pytest.param({"user": "pw"}, "no-password", False, "PGPASSWORD", id="no password"),
        pytest.param(
            {"user": "ghost"}, "role-missing", False, "CREATE ROLE ghost LOGIN", id="no role"
        ),
        pytest.param(
            {"user": 'No "Login'}, "role-login", False, 'ALTER ROLE "No ""Login" LOGIN;', id="login"
        ),
        pytest.param(
            {"dbname": "nix"},
            "database-missing",
            False,
            "CREATE DATABASE nix ENCODING 'UTF8'",
            id="no database",
        ),
        pytest.param(
            {"dbname": "closed"},
            "database-closed",
            False,
            "ALTER DATABASE closed ALLOW_CONNECTIONS true;",
            id="closed",
        ),
        pytest.param(
            {"user": "one", "dbname": "guarded"},
            "connect",
            False,
            "GRANT CONNECT ON DATABASE guarded",
            id="no connect",
        ),
        pytest.param(
            {"user": "few"}, "role-limit", True, "ALTER ROLE few CONNECTION LIMIT", id="role full"
        ),
        pytest.param(
            {"user": "one", "dbname": "small"},
            "database-limit",
            True,
            "ALTER DATABASE small CONNECTION LIMIT",
            id="database full",
        ),
        pytest.param({"options": "-c nix=1"}, "options", False, "PGOPTIONS", id="option"),
        pytest.param({"sslmode": "require"}, "ssl-missing", False, "ssl = on", id="no ssl"),
        pytest.param({"sslmode": "nix"}, "url", False, "database URL", id="no such mode"),
        pytest.param(
            {"user": "pw", "password": "right", "channel_binding": "require"},
            "channel-binding",
            False,
            "over SSL",
            id="channel binding",
        ),
        pytest.param(
            {"require_auth": "scram-sha-256"},
            "authentication-required",
            False,
            "require_auth",
            id="method",
        ),
        pytest.param(
            {"target_session_attrs": "standby"},
            "not-a-standby",
            False,
            "read-write",
            id="standby wanted",
        ),
        pytest.param({"port": 1}, "refused", True, "the host and the port", id="refused"),
        pytest.param({"host": "/nix"}, "socket", True, "unix_socket_directories", id="socket"),
        pytest.param({"host": "nix.invalid"}, "host", True, "correct the host", id="host"),
    ],
)
async def test_rejected(
    server: Server, keywords: dict[str, str | int], name: str, may_pass: bool, remedy: str
) -> None:
    """Each way to be rejected has its own remedy, and says whether waiting can help."""
    finding = (await checked(server.conninfo(**keywords)))[f"database.{name}"]

    assert remedy.lower() in finding.remedy.lower()
    assert finding.may_pass is may_pass
    with pytest.raises(StoreUnavailableError, match=re.escape(remedy)) as caught:
        migrate(server.conninfo(**keywords))
    assert isinstance(caught.value, StoreRejectedError) is not may_pass


@contextmanager
def answering(greeting: bytes) -> Iterator[int]:
    """Listen on a port, and answer each client in this way after it has spoken."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client:
                    client.recv(1000)
                    client.sendall(greeting)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize(
    ("greeting", "name"),
    [
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", "not-postgres", id="HTTP"),
        pytest.param(b"-ERR unknown command\r\n", "not-postgres", id="Redis"),
        pytest.param(b"", "closed", id="hangs up"),
    ],
)
@pytest.mark.parametrize("mode", ["disable", "prefer"])
async def test_other_service(server: Server, greeting: bytes, name: str, mode: str) -> None:
    """A port of another service is told from PostgreSQL that is down."""
    with answering(greeting) as port:
        found = await checked(server.conninfo(port=port, sslmode=mode))

    assert set(found) == {f"database.{name}"}


#: It uses up its file descriptors, then connects.
EXHAUSTED = """
import os, resource, sys
from pgsession.errors import StoreUnavailableError
from pgsession.postgres.connections.startup import connect

resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
try:
    while True:
        os.open(os.devnull, os.O_RDONLY)
except OSError:
    pass
try:
    with connect(sys.argv[1], wait=0, report=print):
        pass
except StoreUnavailableError as error:
    print(error)
"""


def test_no_descriptor(server: Server) -> None:
    """A process without a free file descriptor is told so, not that the server is down."""
    command = [sys.executable, "-c", EXHAUSTED, server.conninfo()]
    said = subprocess.run(command, capture_output=True, check=True, text=True).stdout

    assert "PostgreSQL cannot be reached" in said
    assert "this process has used up its file descriptors" in said


async def test_silent(server: Server) -> None:
    """A host that does not answer is reported after connect_timeout, and may pass."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = server.conninfo(port=listener.getsockname()[1], connect_timeout=2)
        finding = (await checked(url))["database.timeout"]

    assert finding.may_pass
    assert "firewall" in finding.remedy


async def test_server_full(server: Server) -> None:
    """If no connection is left, the remedies are fewer processes or more connections."""
    with ExitStack() as held:
        for _ in range(40):
            try:
                held.enter_context(psycopg.connect(server.conninfo(user="one")))
            except psycopg.OperationalError:
                break
        finding = (await checked(server.conninfo(user="one")))["database.server-full"]

    assert finding.may_pass
    assert "max_connections" in finding.remedy


async def test_limits_of_role(server: Server) -> None:
    """Time limits of the role that are shorter than the timeout are a warning."""
    found = await checked(server.conninfo(user="slow"))

    assert set(found) == {"time-limits"}
    assert "statement_timeout is 2 s, lock_timeout is 0.3 s" in found["time-limits"].text
    assert found["time-limits"].verdict is Verdict.WARNING
    for statement in re.findall(r"ALTER ROLE .*?;", found["time-limits"].remedy):
        server.execute(statement)
    assert await checked(server.conninfo(user="slow")) == {}


@pytest.mark.parametrize(
    ("place", "statement"),
    [
        ("ROLE one", "ALTER ROLE one SET lock_timeout = '10s';"),
        ("ROLE one IN DATABASE postgres", "ALTER ROLE one IN DATABASE postgres SET lock_timeout"),
        ("DATABASE postgres", "ALTER ROLE one SET lock_timeout = '10s';"),
    ],
)
async def test_place_of_limit(server: Server, place: str, statement: str) -> None:
    """The statement that is printed gives time, wherever the limit is set."""
    server.execute(f"ALTER {place} SET lock_timeout = '300ms'")
    try:
        remedy = (await checked(server.conninfo(user="one")))["time-limits"].remedy

        assert statement in remedy
        for each in re.findall(r"ALTER .*?;", remedy):
            server.execute(each)
        assert await checked(server.conninfo(user="one")) == {}
    finally:
        for where in ("ROLE one", "ROLE one IN DATABASE postgres", "DATABASE postgres"):
            server.execute(f"ALTER {where} RESET lock_timeout")


async def test_limit_of_connection(server: Server) -> None:
    """A limit in the database URL, which no statement changes, is corrected there."""
    url = server.conninfo(user="one", options="-c lock_timeout=300ms")
    finding = (await checked(url))["time-limits"]

    assert "options of the database URL" in finding.remedy
    assert "ALTER" not in finding.remedy


async def test_canceled(server: Server) -> None:
    """A statement_timeout that cancels the check itself is reported as such."""
    found = await checked(server.conninfo(user="canceled"))

    assert any(code.startswith("time-limits") for code in found)
    assert "database.unknown" not in found
    assert all("statement_timeout" in each.remedy for each in found.values())


@pytest.mark.parametrize(
    ("where", "statement"),
    [
        ("for the role", "ALTER ROLE writer SET"),
        ("for the role in this database", "ALTER ROLE writer IN DATABASE postgres SET"),
        ("for the database", "ALTER DATABASE postgres SET"),
        ("for all roles", "ALTER ROLE ALL SET"),
        ("for the server", "ALTER SYSTEM SET"),
    ],
)
async def test_read_only(server: Server, where: str, statement: str) -> None:
    """The place where transactions are made read-only is told, with statements that reset it."""
    url = server.conninfo(user="writer")
    server.execute(f"{statement} default_transaction_read_only = on")
    server.execute("SELECT pg_reload_conf()")
    if "writer" not in statement:
        server.wait_until("SELECT current_setting('default_transaction_read_only') = 'on'")

    finding = (await checked(url))["primary.read-only"]
    with psycopg.connect(server.conninfo(), autocommit=True) as session:
        for each in re.findall(r"(?:SET|ALTER|SELECT) [^:]*?;", finding.remedy):
            session.execute(each)
    server.wait_until("SELECT current_setting('default_transaction_read_only') = 'off'")

    assert finding.text.endswith(f"is on {where}")
    assert not finding.may_pass
    assert await checked(url) == {}
    server.execute("ALTER SYSTEM RESET default_transaction_read_only")


async def test_read_only_connection(server: Server) -> None:
    """If the options of the connection make it read-only, they are what to correct."""
    url = server.conninfo(user="writer", options="-c default_transaction_read_only=on")

    assert "options of the database URL" in (await checked(url))["primary.read-only"].remedy


async def test_few_connections(server: Server) -> None:
    """If not even one process fits into the limits of connections, that is a warning.

    A process needs one more than its pool has: the sweep takes it.
    """
    server.execute("ALTER ROLE one CONNECTION LIMIT 4")
    try:
        found = await checked(server.conninfo(user="one"), SESSION_POOL_SIZE="4")
    finally:
        server.execute("ALTER ROLE one CONNECTION LIMIT -1")

    assert found["connections"].verdict is Verdict.WARNING
    assert "up to 5 (pool_size, and one to sweep)" in found["connections"].text
    assert "0 processes fit" in found["connections"].text


@pytest.mark.parametrize(
    ("parameters", "ending"),
    [
        pytest.param({"port": 1}, "host and the port of the database URL.", id="words"),
        pytest.param({"user": "few"}, "ALTER ROLE few CONNECTION LIMIT 100.", id="statement"),
    ],
)
def test_trying_again(server: Server, parameters: dict[str, str | int], ending: str) -> None:
    """That a command tries again is a sentence of its own, after the remedy."""
    said: list[str] = []
    with pytest.raises(StoreUnavailableError):
        connect(server.conninfo(**parameters), wait=0.6, report=said.append)

    assert [line.endswith(f"{ending} Trying again for 1 s.") for line in said] == [True]


async def test_standby_and_stopped(server: Server) -> None:
    """A standby is told from the primary; a server that shuts down, or is down, may come back."""
    with (
        tempfile.TemporaryDirectory(prefix="pgsession-") as folder,
        new_standby(server, Path(folder, "standby")) as standby,
    ):
        assert set(await checked(standby.conninfo())) == {"primary.standby"}
        wanted = standby.conninfo(target_session_attrs="read-write")
        assert (await checked(wanted))["database.read-only"].may_pass
        with psycopg.connect(standby.conninfo()):
            standby.control("stop", "-W", "-m", "smart")
            assert (await checked(standby.conninfo()))["database.stopping"].may_pass


@pytest.mark.skipif(pgbouncer.PROGRAM is None, reason="there is no PgBouncer")
async def test_pooler(server: Server, tmp_path: Path) -> None:
    """PgBouncer's own errors have remedies of PgBouncer, and what it hides is called hidden."""
    with pgbouncer.bouncer(server, tmp_path / "bouncer", prepared=False) as url:
        for keywords, name, may_pass in (
            ({"dbname": "nix"}, "pooler-database", False),
            ({"user": "nobody"}, "pooler-user", False),
            ({"options": "-c work_mem=1MB"}, "pooler-options", False),
        ):
            finding = (await checked(psycopg.conninfo.make_conninfo(url, **keywords)))[
                f"database.{name}"
            ]
            assert finding.may_pass is may_pass
            assert "PgBouncer" in finding.remedy
        with_options = psycopg.conninfo.make_conninfo(url, options="-c search_path=web")
        remedy = (await checked(with_options))["database.pooler-options"].remedy
        environment = {"SESSION_SECRET_KEY": SECRET_KEY}
        found = await examine(url, schema=None, table="session", environment=environment)
    [connections] = [each for each in found if each.subject == "connections"]
    assert connections.text.startswith("not visible")
    assert "SESSION_SCHEMA" in remedy
    assert "with ignore_startup_parameters it would have no effect" in remedy


@pytest.mark.parametrize(
    ("text", "name", "may_pass"),
    [
        ("FATAL:  the database system is starting up", "starting", True),
        ("FATAL:  the database system is not yet accepting connections", "recovering", True),
        ("FATAL:  no more connections allowed (max_client_conn)", "pooler-full", True),
        ("FATAL:  query_wait_timeout", "pooler-busy", True),
        (
            "FATAL:  server login has been failing, try again later (server_login_retry)",
            "pooler-server",
            True,
        ),
        ("FATAL:  transaction blocks not allowed in statement pooling mode", "pooler-mode", False),
        ("FATAL:  idle transaction timeout", "pooler-limit", True),
        ('FATAL:  database "app" is disabled', "pooler-disabled", True),
        ("FATAL:  login rejected", "pooler-hba", False),
        ("FATAL:  SSL required", "ssl-required", False),
        ("FATAL:  SASL authentication failed", "password", False),
        ('FATAL:  Peer authentication failed for user "ann"', "peer", False),
        ('FATAL:  Ident authentication failed for user "ann"', "ident", True),
        ("FATAL:  connection requires a valid client certificate", "certificate-of-client", False),
        ("SSL error: certificate verify failed", "ssl-verify", False),
        ('server certificate for "a" does not match host name "b"', "ssl-host", False),
        ('root certificate file "/a/root.crt" does not exist', "ssl-root", False),
        ('certificate present, but not private key file "/a/k"', "ssl-certificate", False),
        ("GSSAPI encryption required but no credential cache", "gss", False),
        ('definition of service "nix" not found', "service", False),
        ("could not write init file: No space left on device", "disk-full", True),
    ],
)
async def test_texts(text: str, name: str, may_pass: bool) -> None:
    """The texts of servers that are costly to make have their own remedies too."""
    error = unreachable(psycopg.OperationalError(f"connection failed: {text}"))

    told = explained(error)
    assert told is not None
    assert told[2] == name
    assert isinstance(error, StoreRejectedError) is not may_pass


def test_remedies() -> None:
    """No remedy has the mark that separates it from the cause."""
    assert all("; " not in reason.remedy for reason in REASONS)
