"""Registering, signing in and signing out."""

from dataclasses import replace

import pytest
from psycopg.conninfo import make_conninfo
from starlette.testclient import TestClient

from examples.devices import accounts
from examples.devices.passwords import is_password
from examples.devices.site import make_app
from pgsession import SessionSettings
from tests.devices.conftest import Database
from tests.devices.visiting import PASSWORD, beside, is_signed_in, post, register, said, sign_in


def test_register(visitor: TestClient) -> None:
    """A new user is signed in, and sees this device in words."""
    page = register(visitor)

    assert page.url.path == "/"
    assert "Firefox on Linux" in page.text
    assert "This device" in page.text


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("", PASSWORD),
        ("n" * 41, PASSWORD),
        ("a\0b", PASSWORD),
        ("ann", "short"),
        ("ann", "p" * 201),
    ],
    ids=["no-name", "long-name", "unprintable-name", "short-password", "long-password"],
)
def test_register_rejected(visitor: TestClient, name: str, password: str) -> None:
    """A name or a password that does not do gives the form again, with the reason."""
    page = register(visitor, name, password)

    assert page.status_code == 422
    assert said(page, "error").startswith("Choose a ")
    assert not is_signed_in(visitor)


def test_register_taken(visitor: TestClient, other: TestClient) -> None:
    """A name that is taken, in any case, cannot be registered again."""
    register(visitor, "ann")
    page = register(other, "Ann")

    assert page.status_code == 422
    assert said(page, "error") == "This name is taken. Choose another one."


@pytest.mark.parametrize(
    ("name", "password"),
    [("ann", "wrong horse"), ("bob", PASSWORD), ("ann", "p" * 201), ("a\0b", PASSWORD)],
    ids=["password", "name", "long-password", "unprintable-name"],
)
def test_wrong(visitor: TestClient, other: TestClient, name: str, password: str) -> None:
    """A wrong name and a wrong password get the same answer, and sign nobody in."""
    register(other)
    page = sign_in(visitor, name, password)

    assert page.status_code == 401
    assert said(page, "error") == "The name or the password is wrong."
    assert not is_signed_in(visitor)


def test_hashed(visitor: TestClient, database: Database) -> None:
    """The table of accounts has no password, and one password has two hashes."""
    register(visitor, "ann")
    register(visitor, "bob")
    stored = database.execute("SELECT password FROM account").fetchall()

    assert len(set(stored)) == 2
    assert PASSWORD not in str(stored)


def test_sign_out(visitor: TestClient) -> None:
    """The sign-out ends the session: a copy of its cookie opens nothing."""
    register(visitor)
    thief = beside(visitor)
    thief.cookies.update(visitor.cookies)
    assert is_signed_in(thief)
    post(visitor, "/", "/sign-out")

    assert not is_signed_in(visitor)
    assert not is_signed_in(thief)


def test_late_sign_in(visitor: TestClient, database: Database) -> None:
    """A sign-in with the old password that commits after its change opens nothing."""
    register(visitor)
    database.execute("UPDATE account SET password_number = password_number + 1")

    assert visitor.get("/").url.path == "/sign-in"
    # It is no device in the list of the user who changed the password.
    assert database.execute("SELECT FROM session WHERE user_id IS NOT NULL").rowcount == 0


def test_late_socket(visitor: TestClient, database: Database) -> None:
    """The badge ends such a session too."""
    register(visitor)
    database.execute("UPDATE account SET password_number = password_number + 1")
    with visitor.websocket_connect("wss://testserver/badge") as badge:
        assert badge.receive()["code"] == 4401

    assert not is_signed_in(visitor)
    assert database.execute("SELECT FROM session WHERE user_id IS NOT NULL").rowcount == 0


@pytest.mark.parametrize(
    "statement",
    ["DELETE FROM account", "UPDATE account SET password_number = password_number + 1"],
    ids=["deleted", "changed"],
)
def test_overtaken(
    visitor: TestClient,
    other: TestClient,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    statement: str,
) -> None:
    """A sign-in shows the form again if the account is changed while the password is checked."""
    register(other)
    post(other, "/", "/sign-out")

    async def check_late(password: str, stored: str) -> bool:
        database.execute(statement)
        return await is_password(password, stored)

    monkeypatch.setattr(accounts, "is_password", check_late)
    page = sign_in(visitor)

    assert (page.status_code, page.url.path) == (200, "/sign-in")
    assert database.execute("SELECT FROM session WHERE user_id IS NOT NULL").rowcount == 0
    assert not is_signed_in(visitor)


def test_database_restarted(
    settings: SessionSettings, database: Database, migrated_schema: str
) -> None:
    """The first page after all connections were closed is served."""
    url = make_conninfo(str(settings.database_url), application_name=migrated_schema)
    app = make_app(replace(settings, database_url=url))
    with TestClient(app, base_url="https://testserver") as visitor:
        register(visitor)
        closed = database.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name = %s",
            [migrated_schema],
        )
        assert closed.rowcount > 0

        assert visitor.get("/").status_code == 200


def test_starts_again(settings: SessionSettings, visitor: TestClient) -> None:
    """A second process starts beside the first, with the same tables."""
    register(visitor)
    with TestClient(make_app(settings), base_url="https://testserver") as second:
        assert sign_in(second).status_code == 200
