"""When there is telemetry: what is installed, and what is set."""

import subprocess
import sys
from typing import Any

import pytest
from opentelemetry.metrics import MeterProvider

from pgsession import (
    MemoryStore,
    PostgresStore,
    SessionMiddleware,
    SessionSettings,
    SettingsError,
    Telemetry,
)
from pgsession.asgi.policy import Policy
from tests.applications import SECRET
from tests.telemetry.reported import Reported

#: Blocks the import, as if the package were missing, and serves one request.
WITHOUT = """
import asyncio, sys
sys.modules["opentelemetry"] = None
from pgsession import MemoryStore, SessionMiddleware, SessionSettings, SettingsError

async def app(scope, receive, send):
    scope["session"]["n"] = 1
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})

async def send(message):
    print(message.get("status", ""))

async def main():
    secret = "a secret of the tests that is long enough for HMAC"
    site = SessionMiddleware(app, MemoryStore(), secret)
    scope = {"type": "http", "method": "GET", "path": "/", "scheme": "https", "headers": []}
    await site(scope, None, send)
    try:
        SessionSettings(secret_key=secret, telemetry=True)
    except SettingsError as error:
        print(error)

asyncio.run(main())
assert not [name for name in sys.modules if name.startswith("pgsession.telemetry.requests")]
"""


def test_missing() -> None:
    """Without the package everything works, and asking for telemetry is an error that names the
    extra.
    """
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "200",
        "",
        "telemetry needs the extra otel: pip install 'pgsession[otel]'. Or set it to False.",
    ]


@pytest.mark.parametrize("wrong", ["yes", 1, object()], ids=["text", "number", "object"])
def test_wrong(wrong: Any) -> None:
    """A value that is no choice is rejected, by the settings and by the store."""
    with pytest.raises(SettingsError, match=r"^telemetry must be True, False, None or a"):
        SessionSettings(secret_key=SECRET, telemetry=wrong)
    with pytest.raises(SettingsError, match=r"^telemetry must be True, False, None or a"):
        PostgresStore(telemetry=wrong)


def test_wrong_provider() -> None:
    """A provider that cannot make instruments is rejected at the start."""
    provider: MeterProvider = object()  # type: ignore[assignment] # wrong on purpose

    with pytest.raises(SettingsError, match="AttributeError"):
        SessionSettings(secret_key=SECRET, telemetry=Telemetry(meter_provider=provider))


@pytest.mark.parametrize(("choice", "is_on"), [(None, True), (True, True), (False, False)])
def test_installed(choice: bool | None, is_on: bool) -> None:
    """With the package there is telemetry, unless it is turned off."""
    settings = SessionSettings(secret_key=SECRET, telemetry=choice)

    assert (Policy.from_settings(settings, MemoryStore()).observer is not None) is is_on


def test_same(reported: Reported) -> None:
    """Middlewares with the same providers share their instruments."""
    settings = SessionSettings(secret_key=SECRET, telemetry=reported.telemetry)
    others = SessionSettings(secret_key=SECRET, telemetry=Telemetry())

    first, second, other = (
        Policy.from_settings(each, MemoryStore()).observer for each in (settings, settings, others)
    )

    assert first is second is not other


def test_middleware_alone() -> None:
    """A middleware without settings has the default."""
    site = SessionMiddleware(lambda *_: None, MemoryStore(), SECRET)  # type: ignore[arg-type] # is not called

    assert site._policy.observer is not None  # noqa: SLF001 - no other way to see it
