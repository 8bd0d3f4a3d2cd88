"""`pgsession check` where other roles choose the names of schemas, and a server its errors."""

from __future__ import annotations

import re
import secrets
import shlex
import socket
import struct
import threading
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import Connection, sql
from psycopg.conninfo import make_conninfo

from pgsession.postgres.schema import migrate
from tests.cli.conftest import Operate
from tests.cli.test_table_findings import checked

#: A name that sets a terminal's title, and begins a line like those of the check.
FORGED = "x\x1b]0;t\x07\nok       privileges  fine"


@pytest.fixture
def name() -> str:
    """The name of a table that no other test has."""
    return f"session_{secrets.token_hex(8)}"


@pytest.fixture
def other(schema_connection: Connection, database_url: str) -> Iterator[Connection]:
    """A connection of another role, which may create schemas."""
    role = sql.Identifier(f"pgsession_test_{secrets.token_hex(8)}")
    database = sql.Identifier(schema_connection.info.dbname)
    schema_connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
    schema_connection.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(database, role))
    url = make_conninfo(database_url, user=role.as_string().strip('"'))
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection
    schema_connection.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(role))
    schema_connection.execute(sql.SQL("DROP ROLE {}").format(role))


def plant(connection: Connection, schema: str, name: str) -> None:
    """Create a table of this name, with a record of migrations, in a schema of its own."""
    place = sql.Identifier(schema)
    connection.execute(sql.SQL("CREATE SCHEMA {}").format(place))
    for table in (name, f"{name}_migration"):
        create = sql.SQL("CREATE TABLE {}.{} (expire_date timestamptz)")
        connection.execute(create.format(place, sql.Identifier(table)))


async def test_temporary(database_url: str, other: Connection, name: str) -> None:
    """A temporary table of another role is no table of sessions."""
    temporary = sql.SQL("CREATE TEMP TABLE {} (expire_date timestamptz)")
    other.execute(temporary.format(sql.Identifier(name)))

    assert set(await checked(database_url, None, name)) >= {"table.unfit"}


async def test_advised(
    database_url: str, schema_connection: Connection, other: Connection, name: str
) -> None:
    """Only a schema whose owner is trusted is advised, quoted for the shell."""
    trusted = f"z; touch it # {name}"
    plant(other, f"a {name}", name)
    finding = (await checked(database_url, None, name))["table.elsewhere"]
    assert f'"a {name}"' in finding.text
    assert "SESSION_SCHEMA=" not in finding.remedy

    migrate(database_url, schema=trusted, table=name)
    try:
        advice = (await checked(database_url, None, name))["table.elsewhere"].remedy
    finally:
        drop = sql.SQL("DROP SCHEMA {} CASCADE")
        schema_connection.execute(drop.format(sql.Identifier(trusted)))
    assert shlex.split(advice)[-1] == f"SESSION_SCHEMA={trusted}"


async def test_semicolon(database_url: str, name: str) -> None:
    """A semicolon in the name of a schema does not end what the check says."""
    finding = (await checked(database_url, "a; b", name))["table.unfit"]

    assert finding.text == f'There is no table "a; b".{name}'
    assert finding.remedy == "Run `pgsession migrate`."


def test_forged_line(
    operate: Operate, other: Connection, schema_connection: Connection, database_url: str, name: str
) -> None:
    """The name of a schema writes no line of its own, and the printed statement means it."""
    schema = FORGED + name
    plant(other, schema, name)
    place = sql.Identifier(schema)
    other.execute(sql.SQL("GRANT USAGE, CREATE ON SCHEMA {} TO PUBLIC").format(place))
    path = place.as_string().replace("\\", "\\\\").replace(" ", "\\ ").replace("\n", "\\\n")
    url = make_conninfo(database_url, options=f"-csearch_path={path}")

    done = operate("check", SESSION_DATABASE_URL=url, SESSION_TABLE=name)

    assert all(line.isprintable() for line in done.out.splitlines())
    assert not re.search("^ok +privileges", done.out, re.MULTILINE)
    [statement] = re.findall(r"REVOKE .*? PUBLIC;", done.out)
    schema_connection.execute(statement.encode())
    again = operate("check", SESSION_DATABASE_URL=url, SESSION_TABLE=name)
    assert "REVOKE" not in again.out


@pytest.fixture
def liar() -> Iterator[str]:
    """The URL of a server that answers each connection with an error of its own wording."""
    text = b"SFATAL\0VFATAL\0C28000\0M" + FORGED.encode() + b"\xe2\x80\xae\0\0"
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    accepted, _ = listener.accept()
                except OSError:
                    return
                with accepted:
                    accepted.recv(4096)
                    accepted.sendall(b"E" + struct.pack("!I", len(text) + 4) + text)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        port = listener.getsockname()[1]
        yield f"postgresql://ann@127.0.0.1:{port}/app?sslmode=disable&gssencmode=disable"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize("command", ["check", "migrate"])
def test_forged_error(operate: Operate, liar: str, command: str) -> None:
    """What a server says moves no cursor: neither in the line of the wait, nor in the error."""
    done = operate(command, "--wait", "0.3", SESSION_DATABASE_URL=liar)

    said = (done.out + done.err).splitlines()
    assert any("Trying again" in line for line in said)
    assert all(line.isprintable() for line in said)
    assert not any(line.startswith("ok       privileges") for line in said)
