"""Changing the password, and deleting the account after a step-up."""

from datetime import timedelta

import pytest
from starlette.testclient import TestClient

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
