"""What an application imports with pgsession: nothing that it does not use."""

import json
import subprocess
import sys

import pytest

import pgsession

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
    "django",
    "encodings.idna",
    "fastapi",
    "flask",
    "jwt",
    "opentelemetry.sdk",
    "pydantic",
    "redis",
    "rich",
    "sqlalchemy",
    "typer",
)

#: Parts of pgsession that most applications do not use.
PARTS = (
    "alembic",
    "asgi.csrf",
    "asgi.device_binding",
    "asgi.flash",
    "asgi.old_cookies",
    "asgi.probes",
    "asgi.reposting",
    "asgi.takeover",
    "cli",
    "core.codec",
    "core.models",
    "core.old_cookie",
    "core.origins",
    "core.typed",
    "core.typed_object",
    "dbsc",
    "embedded",
    "memory",
    "postgres.embedded",
    "postgres.schema",
    "postgres.within",
    "predecessors",
    "testing",
)

#: Each costs about a tenth of a millisecond. Telemetry has six, where OpenTelemetry is installed.
MOST_MODULES = 156


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
