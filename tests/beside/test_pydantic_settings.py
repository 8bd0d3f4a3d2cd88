"""A settings class of pydantic from which the sessions get theirs."""

import runpy
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from psycopg.conninfo import conninfo_to_dict
from pydantic import PostgresDsn, SecretStr, ValidationError
from starlette.testclient import TestClient

from pgsession import PostgresStore, SessionSettings, SettingsError
from pgsession.postgres.schema import migrate
from tests.hostile.secret import PASSWORD, SECRET
from tests.hostile.test_frames import assert_hidden
from tests.project.documents import Document

(PROGRAM,) = Document("docs/how-to/pydantic-settings.md").programs

URL = f"postgresql://ann:{PASSWORD}@127.0.0.1:1/app"

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the program of the page with these APP_ variables; returns its names."""
    monkeypatch.chdir(tmp_path)
    program = tmp_path / "settings.py"
    program.write_text(PROGRAM, encoding="utf-8")

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
    with TestClient(names["app"]) as client:
        assert client.get("/docs").status_code == 200


def test_counter(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str, schema: str
) -> None:
    """The program counts, with the period of the file `.env`."""
    it = conninfo_to_dict(database_url)
    place = {name: str(it[name]) for name in ("host", "port") if it.get(name)}
    user, password, name = it["user"], it.get("password") or "", it["dbname"]
    url = f"postgresql://{user}:{password}@localhost/{name}?{urlencode(place)}"
    monkeypatch.setenv("PGOPTIONS", f"-csearch_path={schema}")
    migrate(database_url, schema=schema)
    lines = f"APP_DATABASE_URL={url}\nAPP_SESSION_SECRET_KEY={SECRET}\nAPP_SESSION_PERIOD=30d\n"
    (tmp_path / ".env").write_text(lines, encoding="utf-8")

    with TestClient(run()["app"], base_url="https://testserver") as client:
        assert "Max-Age=2592000;" in client.get("/").headers["set-cookie"]
        assert client.get("/").json() == 2


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
