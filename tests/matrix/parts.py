"""The parts of the matrix. Each of them varies one thing, and takes the default of the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.faults.bouncer import MEASURED, VARIABLE
from tests.matrix import machine, suites
from tests.matrix.machine import Program
from tests.matrix.places import pooled, postgresql, try_rejection
from tests.matrix.run import Run, Work
from tests.matrix.serving import SERVERS, SEVERAL, UVICORN
from tests.matrix.table import NOT_HERE, Part, Row
from tests.matrix.works import (
    counter,
    environment,
    sockets,
    suite,
    version_in,
    with_environment,
)


@dataclass(frozen=True, slots=True)
class Setting:
    """What the parts have in common."""

    run: Run
    environ: Mapping[str, str]
    #: The Python that runs the tests.
    python: Program
    #: The version of the embedded PostgreSQL.
    embedded: str
    #: The Python in whose environment the web servers are.
    servers: Path


def try_postgresqls(setting: Setting) -> Part:
    """Run the tests that use a server against each PostgreSQL."""
    columns = ("Contract", "Races", "Table", "Counter")
    part = Part(f"PostgreSQL, with Python {setting.python.version}", ("PostgreSQL",), columns)
    found = machine.postgresqls(setting.environ)
    python = setting.python.path
    works = [
        *(suite(python, each) for each in (suites.CONTRACT, suites.RACES, suites.TABLE)),
        counter(SEVERAL, python),
    ]
    for major in machine.POSTGRESQL:
        if program := found.get(major):
            setting.run.add_row(part, (program.version,), postgresql(program), works)
        else:
            part.rows.append(_absent(part, major))
    return part


def try_pgbouncers(setting: Setting) -> Part:
    """Run the tests through each PgBouncer, in each mode."""
    part = Part(
        f"PgBouncer, with PostgreSQL {setting.embedded} and Python {setting.python.version}",
        ("PgBouncer", "Mode", "Prepared statements"),
        ("Contract", "Hammer", "Counter", "Faults"),
    )
    older, newer = machine.divided(machine.pgbouncers(setting.environ), MEASURED)
    for name, programs in (("before 1.21", older), ("1.21 or later", newer)):
        if not programs:
            part.rows.append(_absent(part, name, "", ""))
        for program in programs:
            _try_pooler(setting, part, program, "session")
            _try_pooler(setting, part, program, "transaction")
    return part


def try_pythons(setting: Setting) -> Part:
    """Run the tests with each Python."""
    title = f"Python, with PostgreSQL {setting.embedded}"
    part = Part(title, ("Python",), ("Contract", "Races", "Counter"))
    found = machine.pythons(setting.environ)
    for version in machine.PYTHON:
        program = found.get(version)
        if program is None:
            part.rows.append(_absent(part, version))
            continue
        python, place = program.path, postgresql()
        if python != setting.python.path:
            python = environment(version)
            log = setting.run.log("environment", version)
            place = with_environment(program, python, log)
        works = [
            suite(python, suites.CONTRACT),
            suite(python, suites.RACES),
            counter(UVICORN, python),
        ]
        setting.run.add_row(part, (program.version,), place, works)
    return part


def try_web_servers(setting: Setting) -> Part:
    """Count behind each web server, and let it close sockets."""
    part = Part(
        f"Web servers, with PostgreSQL {setting.embedded} and Python {setting.python.version}",
        ("Server", "Started with"),
        ("Counter", "Sockets"),
    )
    for server in SERVERS:
        version = version_in(setting.servers, server.module)
        if version is None:
            part.rows.append(_absent(part, server.module, server.title))
            continue
        names = (f"{server.module} {version}", server.title)
        works = [counter(server, setting.servers), sockets(server, setting.servers)]
        setting.run.add_row(part, names, postgresql(), works)
    return part


#: The parts and their names on the command line.
PARTS: Final[Mapping[str, Callable[[Setting], Part]]] = {
    "postgresql": try_postgresqls,
    "pgbouncer": try_pgbouncers,
    "python": try_pythons,
    "servers": try_web_servers,
}


def _try_pooler(setting: Setting, part: Part, program: Program, mode: str) -> None:
    """Add the rows of a PgBouncer in one mode: without and with prepared statements."""
    python = setting.python.path
    places: dict[bool, AbstractContextManager[str]] = {
        prepared: pooled(program, mode, prepared=prepared) for prepared in (False, True)
    }
    named = {VARIABLE: str(program.path)}
    in_transaction = mode == "transaction"
    plain: list[Work | None] = [
        suite(python, suites.CONTRACT),
        suite(python, suites.HAMMER),
        counter(SEVERAL, python),
        suite(python, suites.POOLER, **named) if in_transaction else None,
    ]
    prepared: list[Work | None] = [try_rejection, None, None, None]
    if in_transaction and program.numbers >= MEASURED:
        prepared = [
            suite(python, suites.CONTRACT, PGSESSION_TEST_PREPARED="true"),
            None,
            counter(SEVERAL, python, SESSION_PREPARED="true"),
            suite(python, suites.POOLER_PREPARED, **named),
        ]
    setting.run.add_row(part, (program.version, mode, "off"), places[False], plain)
    setting.run.add_row(part, (program.version, mode, "on"), places[True], prepared)


def _absent(part: Part, *names: str) -> Row:
    return Row(names, (NOT_HERE,) * len(part.columns))
