"""A settings class of pydantic from which the sessions get theirs."""

import runpy
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import PostgresDsn, SecretStr, ValidationError
from starlette.applications import Starlette
from starlette.testclient import TestClient

from pgsession import PostgresStore, SessionSettings, SettingsError
from tests.hostile.secret import PASSWORD, SECRET
from tests.hostile.test_frames import assert_hidden
from tests.project.documents import Document

SETTINGS, APPLICATION = Document("docs/how-to/pydantic-settings.md").programs

URL = f"postgresql://ann:{PASSWORD}@127.0.0.1:1/app"

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the program of the page with these APP_ variables; returns its names."""
    monkeypatch.chdir(tmp_path)
    program = tmp_path / "settings.py"
    program.write_text(SETTINGS + APPLICATION, encoding="utf-8")

    def run(**variables: str) -> dict[str, Any]:
        for name, text in variables.items():
            monkeypatch.setenv(f"APP_{name}", text)
        return runpy.run_path(str(program))

    return run


def test_page(run: Run) -> None:
    """The settings of the page become those of the sessions, and an application starts."""
    names = run(DATABASE_URL=URL, SESSION_SECRET_KEY=SECRET, SESSION_PERIOD="PT12H")

    settings = names["session_settings"]
    assert settings.database_url == URL
    assert settings.default_period == timedelta(hours=12)
    assert settings.make_cookie().secret_keys == (SECRET,)
    app = names["app"]
    assert isinstance(app, Starlette)
    with TestClient(app) as client:
        assert client.get("/").status_code == 404


@pytest.mark.parametrize(
    ("error", "told", "wrong"),
    [
        pytest.param(
            SettingsError, "secret_key is 9", {"SESSION_SECRET_KEY": SECRET[:9]}, id="key"
        ),
        pytest.param(
            ValidationError, "database_url", {"DATABASE_URL": f"x://{PASSWORD}"}, id="URL"
        ),
        pytest.param(
            SettingsError,
            "driver asyncpg",
            {"DATABASE_URL": URL.replace("://", "+asyncpg://")},
            id="driver",
        ),
        pytest.param(ValidationError, "session_period", {"SESSION_PERIOD": "12h"}, id="period"),
        pytest.param(SettingsError, "default_period", {"SESSION_PERIOD": "-P1D"}, id="negative"),
    ],
)
def test_wrong(run: Run, error: type[Exception], told: str, wrong: dict[str, str]) -> None:
    """A wrong setting is an error that names it, and quotes neither secret nor password."""
    with pytest.raises(error, match=told) as caught:
        run(**{"DATABASE_URL": URL, "SESSION_SECRET_KEY": SECRET, **wrong})

    assert SECRET[:9] not in str(caught.value)
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("url", [PostgresDsn(URL), SecretStr(URL)], ids=["dsn", "secret"])
def test_objects(url: Any) -> None:
    """Objects of pydantic are taken as they are, and no frame shows what is in them."""
    settings = SessionSettings(secret_key=[SecretStr(SECRET)], database_url=url)
    assert settings.make_cookie().secret_keys == (SECRET,)
    assert settings.database_url == URL
    assert PASSWORD not in repr(vars(settings.make_store()))

    with pytest.raises(SettingsError) as caught:
        SessionSettings(secret_key=[SecretStr(SECRET)], database_url=url, path="x")
    assert_hidden(caught.value, SECRET, PASSWORD)
    with pytest.raises(SettingsError) as caught:
        PostgresStore(url, sweep_every=-1)
    assert_hidden(caught.value, PASSWORD)
