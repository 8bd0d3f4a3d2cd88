"""What an application imports with pgsession: nothing that it does not use."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from inspect import isclass, isfunction
from pathlib import Path
from typing import get_type_hints

import pytest

import pgsession
from pgsession import rare

#: As in the README, up to the first request. It prints the modules that it has imported.
APPLICATION = """
import json, sys
before = set(sys.modules)

from starlette.applications import Starlette
from starlette.middleware import Middleware

from pgsession import PostgresStore, SessionMiddleware, SessionSettings

store = PostgresStore("postgresql://localhost/app")
settings = SessionSettings(secret_key="6cB0zOGsXH2uDCkBDJUdhW9I5b1lDr7lSnu2yVvhq0s")
app = Starlette(middleware=[Middleware(SessionMiddleware, store=store, settings=settings)])
app.build_middleware_stack()

print(json.dumps(sorted(set(sys.modules) - before)))
"""

#: Libraries, and parts of the standard library, that take long to import.
LIBRARIES = (
    "anyio.from_thread",
    "attrs",
    "click",
    "configparser",
    "cryptography",
    "difflib",
    "django",
    "encodings.idna",
    "fastapi",
    "flask",
    "itsdangerous",
    "jwt",
    "opentelemetry.sdk",
    "pydantic",
    "redis",
    "rich",
    "sqlalchemy",
    "starlette.config",
    "starlette.middleware.base",
    "typer",
)

#: Parts of pgsession that most applications do not use.
PARTS = (
    "alembic",
    "asgi.csrf",
    "asgi.device_binding",
    "asgi.flash",
    "asgi.interruption",
    "asgi.old_cookies",
    "asgi.probes",
    "asgi.replacement",
    "asgi.reposting",
    "asgi.sockets",
    "asgi.sources",
    "asgi.takeover",
    "asgi.unavailable_response",
    "cli",
    "cookie_settings",
    "core.adoption",
    "core.attachment",
    "core.bound",
    "core.codec",
    "core.devices",
    "core.flash",
    "core.models",
    "core.old_cookie",
    "core.origins",
    "core.overview",
    "core.predecessor",
    "core.typed",
    "core.typed_object",
    "dbsc",
    "embedded",
    "environment",
    "memory",
    "postgres.blocks",
    "postgres.clearance",
    "postgres.embedded",
    "postgres.schema",
    "postgres.statements.adopting",
    "postgres.statements.binding",
    "postgres.statements.clearing",
    "postgres.statements.listing",
    "postgres.statements.numbering",
    "postgres.statements.overview",
    "postgres.sweeping.statements",
    "postgres.sweeping.sweep",
    "postgres.within",
    "predecessors",
    "testing",
)

#: Each costs about a quarter of a millisecond. Eleven are for telemetry, where OpenTelemetry is
#: installed.
MOST_MODULES = 137


@pytest.fixture(scope="module")
def imported() -> frozenset[str]:
    command = [sys.executable, "-c", APPLICATION]
    shown = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    return frozenset(json.loads(shown))


@pytest.mark.parametrize("name", [*LIBRARIES, *(f"pgsession.{part}" for part in PARTS)])
def test_not_imported(imported: frozenset[str], name: str) -> None:
    """An application does not import what only other applications need."""
    assert not [each for each in imported if each == name or each.startswith(f"{name}.")]


def test_number(imported: frozenset[str]) -> None:
    """The number of modules that an application imports is bounded."""
    assert len([each for each in imported if each.partition(".")[0] == "pgsession"]) <= MOST_MODULES


@pytest.mark.parametrize("name", rare.PLACES)
def test_rare(name: str) -> None:
    """Each rare name is found in its module, and is known to type checkers."""
    stub = Path(rare.__file__).with_suffix(".pyi").read_text("utf-8")

    assert getattr(rare, name) is not None
    assert f"from pgsession.{rare.PLACES[name]} import {name} as {name}\n" in stub


def test_rare_rooms() -> None:
    """A module takes from `rare` only what is in its own room or below: no contract sees that."""
    contracts = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    layers = contracts["contracts"][0]["layers"]
    floors = {room: floor for floor, layer in enumerate(layers) for room in layer.split(" | ")}
    source = Path(rare.__file__).parent

    for path in source.rglob("*.py"):
        room = path.relative_to(source).with_suffix("").parts[0]
        for name in re.findall(r"\brare\.([A-Za-z_]+)", path.read_text("utf-8")):
            if room not in {"__init__", "rare"} and name in rare.PLACES:
                assert floors[rare.PLACES[name].partition(".")[0]] >= floors[room], (room, name)


#: What is imported when the settings, the store or its engine are made, as they ask for it.
AT_SETUP = {
    "asgi.csrf",
    "asgi.device_binding",
    "asgi.observed",
    "asgi.takeover",
    "asgi.unavailable_response",
    "core.adoption",
    "core.bound",
    "core.origins",
    "dbsc.headers",
    "postgres.observing",
}


def test_rest() -> None:
    """What functions of the rooms that serve requests import is imported at the start."""
    source = Path(rare.__file__).parent
    late = {
        place
        for room in ("asgi", "core", "postgres")
        for path in (source / room).rglob("*.py")
        for place in imported_in_functions(path)
    }

    late |= {"asgi.flash", "asgi.reposting"}  # `pgsession.flashes`, named in a handler
    assert late == AT_SETUP | set(rare._REST)  # noqa: SLF001 - none that is not needed either


def imported_in_functions(path: Path) -> Iterator[str]:
    """Yield the modules that the functions of a module import, by themselves or through `rare`."""
    tree = ast.parse(path.read_text("utf-8"))
    functions = [
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    nodes = [
        node
        for function in functions
        for statement in function.body
        for node in ast.walk(statement)
    ]
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pgsession."):
            yield str(node.module).removeprefix("pgsession.")
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "rare":
            yield from {rare.PLACES[node.attr]} if node.attr in rare.PLACES else ()


def test_rare_unknown() -> None:
    """A name that is not rare is an `AttributeError` that says so."""
    with pytest.raises(AttributeError, match=r"module 'pgsession\.rare' has no attribute 'Devise'"):
        getattr(rare, "Devise")  # noqa: B009 - a type checker would reject it


@pytest.mark.parametrize("name", pgsession.__all__)
def test_hints(name: str) -> None:
    """The annotations of public methods can be evaluated, whatever has been imported."""
    public = getattr(pgsession, name)
    methods = (
        [each for each in vars(public).values() if isfunction(each)] if isclass(public) else []
    )

    for method in methods:
        if not method.__name__.startswith("_"):
            assert "return" in get_type_hints(method, localns={"TrackedDict": dict})


@pytest.mark.parametrize("name", pgsession.__all__)
def test_public(name: str) -> None:
    """Each public name is there, whether its module is imported with the package or later."""
    assert name in dir(pgsession)
    assert getattr(pgsession, name) is not None


def test_unknown() -> None:
    """A name that the package does not have is an `AttributeError` that says so."""
    with pytest.raises(AttributeError, match="module 'pgsession' has no attribute 'Sesion'"):
        getattr(pgsession, "Sesion")  # noqa: B009 - a type checker would reject it


def test_starred() -> None:
    """A star import has all public names."""
    program = "from pgsession import *; print(MemoryStore.__name__, flashes.__name__)"
    command = [sys.executable, "-c", program]
    shown = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    assert shown == "MemoryStore flashes\n"
