"""What Sentry's SDK would send of a site with sessions; see `sentry_program.py`."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex
from typing import Any, Final

import pytest
from psycopg import Connection

from pgsession.postgres.schema import migrate
from tests.hostile.overhearing import Ear
from tests.hostile.secret import PASSWORD, SECRET, VALUE
from tests.programs import STRICTLY, environment

PROGRAM: Final = Path(__file__).with_name("sentry_program.py")

#: The other parts of a cookie are the key and the signature.
LONGEST_NUMBER: Final = 12


@pytest.fixture(scope="module")
def variables(database_url: str, schema_connection: Connection) -> Iterator[dict[str, str]]:
    """The variables of the page's program, for a schema of this module."""
    name = f"pgsession_test_{token_hex(8)}"
    schema_connection.execute(f"CREATE SCHEMA {name}".encode())
    migrate(database_url, schema=name)
    yield {
        "SESSION_DATABASE_URL": database_url,
        "SESSION_SCHEMA": name,
        "SESSION_SECRET_KEY": SECRET,
    }
    schema_connection.execute(f"DROP SCHEMA {name} CASCADE".encode())


@pytest.fixture(scope="module")
def recorded(variables: dict[str, str]) -> Any:
    """What would be sent, by the way of recording."""
    root = PROGRAM.parents[2]
    done = subprocess.run(
        [sys.executable, *STRICTLY, "-m", "tests.beside.sentry_program"],
        check=False,
        cwd=root,
        capture_output=True,
        env=environment(variables),
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def leaks(recorded: Any, way: str) -> list[str]:
    parts = recorded[way]["cookie"].split(".")
    ear = Ear(SECRET, VALUE, PASSWORD, *(part for part in parts if len(part) > LONGEST_NUMBER))
    ear.note(*texts(recorded[way]["sent"]))
    return ear.leaks()


def texts(part: Any) -> list[str]:
    """Return all texts in a JSON value, each with the name of its member."""
    if isinstance(part, dict):
        return [f"{name}: {text}" for name, it in part.items() for text in texts(it)]
    if isinstance(part, list):
        return [text for it in part for text in texts(it)]
    return [str(part)]


@pytest.mark.parametrize("way", ["filtered", "filtered, with all else", "without variables"])
def test_secrecy(recorded: Any, way: str) -> None:
    """As the page sets Sentry up, nothing that is sent has a cookie, a key, a value or a secret."""
    assert leaks(recorded, way) == []


def test_defaults(recorded: Any) -> None:
    """By default Sentry sends the cookie and values, but only as variables in frames."""
    found = leaks(recorded, "default")

    assert any(": headers: " in it for it in found)
    assert [it for it in found if ": vars: " not in it] == []


def test_error(recorded: Any) -> None:
    """An error of a handler is one event; its frames keep the other variables, but for ours."""
    error, _ = (it for it in recorded["filtered"]["sent"] if it.get("exception"))
    (raised,) = error["exception"]["values"]
    frames = {it["module"]: it["vars"] for it in raised["stacktrace"]["frames"]}

    assert raised["type"] == "LookupError"
    assert error["transaction"].endswith("fail")
    assert error["request"]["headers"]["cookie"] == "[Filtered]"
    assert frames["pgsession.asgi.middleware"] == {}
    assert frames["starlette.applications"]["scope"]["headers"] == "[Filtered]"
    assert frames["starlette.applications"]["scope"]["path"] == "'/fail'"


def test_spans(recorded: Any) -> None:
    """Each request has a span of our middleware, and messages go through it."""
    transactions = [it for it in recorded["default"]["sent"] if it.get("type") == "transaction"]
    spans = [{span["description"] for span in it["spans"]} for it in transactions]

    assert len(transactions) == 6
    assert all("SessionMiddleware" in it for it in spans)
    assert any("Exchange.send" in it for it in spans)


def test_outage(recorded: Any) -> None:
    """While the database is away, Sentry gets our log lines, and no error for each request."""
    said = [it["logentry"]["message"] for it in recorded["default"]["sent"] if "logentry" in it]

    assert [it.split()[:4] for it in said] == [
        ["The", "application", "starts", "without"],
        ["The", "store", "is", "unavailable;"],
    ]


def test_page(recorded: Any) -> None:
    """The program of the page sends one error, and no variables."""
    (error,) = (it for it in recorded["page"] if it.get("exception"))
    (raised,) = error["exception"]["values"]

    assert (raised["type"], raised["value"]) == ("LookupError", "a bug")
    assert [frame for frame in raised["stacktrace"]["frames"] if "vars" in frame] == []
