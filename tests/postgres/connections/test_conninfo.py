"""A conninfo is completed by what neither it nor libpq's environment says."""

from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from pgsession import SettingsError
from pgsession.postgres.connections.conninfo import address_in, as_url, complete_conninfo

PRIVATE = "hunter2"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of libpq's environment is set, and there is no service file."""
    for name in ("PGHOST", "PGAPPNAME", "PGCONNECT_TIMEOUT", "PGTARGETSESSIONATTRS", "PGSERVICE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services.conf"))


def completed(conninfo: str = "", **keywords: str | int) -> dict[str, Any]:
    """Return the parameters of a completed conninfo."""
    return dict(conninfo_to_dict(complete_conninfo(conninfo, keywords, timeout=6)))


def test_defaults() -> None:
    """One host gets all the time, and any server will do."""
    given = completed("host=one")

    assert given["application_name"] == "pgsession"
    assert given["connect_timeout"] == "6"
    assert given["client_encoding"] == "UTF8"
    assert "target_session_attrs" not in given


@pytest.mark.parametrize("where", ["conninfo", "URL", "environment", "service", "PGSERVICE"])
def test_several_hosts(where: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of several hosts, wherever they are named, the one that takes writes is wanted."""
    (tmp_path / "services.conf").write_text("[two]\nhost=one,two\n# a comment\n[other]\nhost=x\n")
    conninfo = {"conninfo": "host=one,two", "URL": "postgresql://one,two/app"}.get(where, "")
    if where == "environment":
        monkeypatch.setenv("PGHOST", "one,two")
    elif where == "service":
        conninfo = "service=two"
    elif where == "PGSERVICE":
        monkeypatch.setenv("PGSERVICE", "two")

    given = completed(conninfo)

    assert given["target_session_attrs"] == "read-write"
    assert given["connect_timeout"] == "3"


def test_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the environment or a service says is not overridden by a default of ours."""
    (tmp_path / "services.conf").write_text("[web]\napplication_name=shop\n")
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "9")

    given = completed("service=web host=one")

    assert "connect_timeout" not in given
    assert "application_name" not in given


def test_conninfo_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the conninfo says goes before the environment, but text is UTF-8."""
    monkeypatch.setenv("PGAPPNAME", "theirs")

    given = completed("application_name=ours client_encoding=LATIN1")

    assert given["application_name"] == "ours"
    assert given["client_encoding"] == "UTF8"


@pytest.mark.parametrize(
    ("conninfo", "name", "expected"),
    [
        pytest.param("postgresql://ann:a%40b%2Fc@one/app", "password", "a@b/c", id="escaped"),
        pytest.param("postgresql://ann:a?b@one/app", "password", "a?b", id="bare ?"),
        pytest.param("postgresql://ann@one/a%40b", "dbname", "a@b", id="database"),
        pytest.param("postgresql:///app?host=@socket", "host", "@socket", id="abstract socket"),
        pytest.param("postgresql://one/app?user=ann@corp", "user", "ann@corp", id="user behind ?"),
        pytest.param("host=one password=a@b/c@d", "password", "a@b/c@d", id="keywords"),
        pytest.param("host=one dbname=a@b", "dbname", "a@b", id="database as a keyword"),
    ],
)
def test_at_sign(conninfo: str, name: str, expected: str) -> None:
    """An @ that is part of no password, or escaped, is what libpq takes it for."""
    assert completed(conninfo)[name] == expected


@pytest.mark.parametrize("text", ["[torn", "[web\nhost=one", "\xff"])
def test_odd_service_file(text: str, tmp_path: Path) -> None:
    """A service file that cannot be read is left to libpq, which says so when it connects."""
    (tmp_path / "services.conf").write_text(text, encoding="latin-1")

    assert completed("service=web")["service"] == "web"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://one/app\n",
        "  postgresql://one/app ",
        "postgres://one/app",
        "postgresql+psycopg://one/app",
        "postgresql+psycopg_async://one/app",
        "host=one dbname=app\r\n",
    ],
)
def test_spellings(url: str) -> None:
    """Blanks around a URL do not matter, nor does SQLAlchemy's name of the driver."""
    given = completed(url)

    assert (given["host"], given["dbname"]) == ("one", "app")


class Dsn:
    """What pydantic's PostgresDsn is."""

    def __str__(self) -> str:
        return "postgresql://one/app"


class Hidden:
    """What SQLAlchemy's URL is, whose text has no password."""

    def __str__(self) -> str:
        return "postgresql+psycopg://ann:***@one/app"

    def render_as_string(self, *, hide_password: bool) -> str:
        assert not hide_password
        return f"postgresql+psycopg://ann:{PRIVATE}@one/app"


def test_objects() -> None:
    """A URL may be an object of another library."""
    assert as_url(Dsn()) == "postgresql://one/app"
    assert completed(as_url(Hidden()))["password"] == PRIVATE


def test_other_driver() -> None:
    """A URL for another driver is an error that says how to write it."""
    with pytest.raises(SettingsError, match=r"driver asyncpg; write it as postgresql://"):
        completed(f"postgresql+asyncpg://ann:{PRIVATE}@one/app")


@pytest.mark.parametrize(
    ("url", "named"),
    [
        (f"postgresql://ann:{PRIVATE}@one/app?schema=web", "schema"),
        (f"postgresql://ann:{PRIVATE}@one/app?sslmode=require&pgbouncer=true&a1=2", "pgbouncer"),
    ],
)
def test_unknown_parameter(url: str, named: str) -> None:
    """A parameter of a URL that libpq does not know is named in the error."""
    with pytest.raises(SettingsError, match=rf"parameter that is none: {named}\.") as caught:
        completed(url)

    assert PRIVATE not in str(caught.value)


def test_question_mark_in_the_password() -> None:
    """What stands behind a question mark in a password is not taken for parameters."""
    with pytest.raises(SettingsError) as caught:
        completed(f"postgresql://ann:a?{PRIVATE}=b@one/app?bogus=1")

    assert PRIVATE not in str(caught.value)


@pytest.mark.parametrize("host", [".db.internal", "db..internal", "a" * 64, "ok," + "b" * 64])
@pytest.mark.parametrize("where", ["conninfo", "environment"])
def test_no_host_name(host: str, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that cannot be looked up is one clear error at once."""
    if where == "environment":
        monkeypatch.setenv("PGHOST", host)
    with pytest.raises(SettingsError, match="part between two dots is empty or longer"):
        completed(f"host={host}" if where == "conninfo" else "")


@pytest.mark.parametrize(
    "host", ["/run/postgresql", "@abstract", "::1", "db.internal.", "bücher.example"]
)
def test_hosts(host: str) -> None:
    """Sockets, addresses and names in any script are fine."""
    assert completed(f"host={host}")["host"] == host


def test_timeout_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connect_timeout that is no number is an error at once, also in the environment."""
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "abc")
    with pytest.raises(SettingsError, match="PGCONNECT_TIMEOUT"):
        completed()


@pytest.mark.parametrize(
    "url", ["postgresql://ann:a@b/c@one/app", "postgresql://ann:a@b@one/app", "mysql://one"]
)
def test_no_address(url: str) -> None:
    """Nothing is told of the address in the URL of a pool whose password may be torn."""
    assert address_in(url) == {}
