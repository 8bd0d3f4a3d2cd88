"""Changing the password, and deleting the account after a step-up."""

from datetime import timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from examples.devices import accounts
from examples.devices.passwords import hash_password
from tests.devices.conftest import Database
from tests.devices.visiting import PASSWORD, is_signed_in, post, register, said, sign_in


def test_change_password(visitor: TestClient, other: TestClient) -> None:
    """A new password signs all other devices out, and is the only one that works then."""
    register(visitor)
    sign_in(other)
    page = post(visitor, "/password", "/password", password=PASSWORD, new="longer horse")

    assert said(page, "notice") == "The password is changed. All other devices are signed out."
    assert [is_signed_in(it) for it in (visitor, other)] == [True, False]
    assert sign_in(other).status_code == 401
    assert sign_in(other, password="longer horse").status_code == 200


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [("wrong horse", "longer horse", 401), (PASSWORD, "short", 422)],
    ids=["wrong", "short"],
)
def test_change_rejected(
    visitor: TestClient, other: TestClient, old: str, new: str, status: int
) -> None:
    """A change that is rejected signs nothing out."""
    register(visitor)
    sign_in(other)
    page = post(visitor, "/password", "/password", password=old, new=new)

    assert page.status_code == status
    assert said(page, "error")
    assert is_signed_in(other)


def test_change_keeps_the_period(visitor: TestClient) -> None:
    """A device that is remembered is remembered after a change of the password."""
    post(visitor, "/register", "/register", name="ann", password=PASSWORD, remember="on")
    post(visitor, "/password", "/password", password=PASSWORD, new="longer horse")
    [cookie] = visitor.cookies.jar

    assert cookie.expires is not None


def test_step_up(visitor: TestClient, database: Database) -> None:
    """Ten minutes after the sign-in, deleting the account needs the password again."""
    register(visitor)
    later = "UPDATE session SET login_on = login_on - %s"
    database.execute(later, [timedelta(minutes=11)])
    page = post(visitor, "/", "/delete-account")

    assert page.url.path == "/confirm"
    assert visitor.get("/delete-account").url.path == "/confirm"
    assert post(visitor, "/confirm", "/confirm", password="wrong horse").status_code == 401
    page = post(visitor, "/confirm", "/confirm", password=PASSWORD)
    assert page.url.path == "/delete-account"


def test_delete_account(visitor: TestClient, other: TestClient, database: Database) -> None:
    """With the account all its sessions end, by the foreign key."""
    register(visitor)
    sign_in(other)
    page = post(visitor, "/delete-account", "/delete-account")

    assert page.url.path == "/sign-in"
    assert [is_signed_in(it) for it in (visitor, other)] == [False, False]
    users = database.execute("SELECT FROM session WHERE user_id IS NOT NULL").rowcount
    assert users == 0
    assert sign_in(visitor).status_code == 401


#: What may happen while a new password is hashed.
MEANWHILE = {
    "changed": "UPDATE account SET password_number = password_number + 1",
    "signed-out": "DELETE FROM session WHERE user_id IS NOT NULL AND login_label = 'this one'",
    "deleted": "DELETE FROM account",
}


@pytest.mark.parametrize("statement", MEANWHILE.values(), ids=MEANWHILE)
def test_late_change(
    visitor: TestClient, database: Database, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    """A device that was signed out, or was not the first to change the password, changes nothing.

    It is not signed in again either.
    """
    post(visitor, "/register", "/register", name="ann", password=PASSWORD, label="this one")
    before = database.execute("SELECT password FROM account").fetchall()

    async def hash_late(password: str) -> str:
        database.execute(statement)
        return await hash_password(password)

    monkeypatch.setattr(accounts, "hash_password", hash_late)
    page = post(visitor, "/password", "/password", password=PASSWORD, new="longer horse")

    assert page.url.path == "/sign-in"
    assert not is_signed_in(visitor)
    after = database.execute("SELECT password FROM account").fetchall()
    assert after == (before if statement != MEANWHILE["deleted"] else [])
    assert database.execute("SELECT FROM session WHERE user_id IS NOT NULL").rowcount == 0


def test_ended_after_change(
    visitor: TestClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that is signed out between its change and the response stays signed out."""
    register(visitor)
    change = accounts.Accounts.change_password

    async def change_and_end(*arguments: Any) -> bool:
        is_changed = await change(*arguments)
        database.execute("DELETE FROM session WHERE user_id IS NOT NULL")
        return is_changed

    monkeypatch.setattr(accounts.Accounts, "change_password", change_and_end)
    post(visitor, "/password", "/password", password=PASSWORD, new="longer horse")

    assert not is_signed_in(visitor)


def test_page_during_change(
    visitor: TestClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that read the session before a change of the password keeps it signed in."""
    register(visitor)
    fetch = accounts.Accounts._fetch  # noqa: SLF001 - a request between two statements

    async def fetch_late(*arguments: Any) -> accounts.Account | None:
        database.execute("UPDATE account SET password_number = 2")
        database.execute("UPDATE session SET login_stamp = '2' WHERE user_id IS NOT NULL")
        return await fetch(*arguments)

    monkeypatch.setattr(accounts.Accounts, "_fetch", fetch_late)

    assert is_signed_in(visitor)
    assert visitor.get("/").url.path == "/"
