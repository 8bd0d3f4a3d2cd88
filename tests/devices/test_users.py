"""The pages of administrators: who is signed in, and the buttons that end sessions of others."""

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from starlette.testclient import TestClient

from examples.devices import agents, users
from examples.devices.site import make_app
from pgsession import SessionSettings
from tests.devices.conftest import Database
from tests.devices.visiting import (
    FIREFOX,
    PASSWORD,
    Page,
    beside,
    is_signed_in,
    post,
    register,
    said,
    sign_in,
)

ADMIN_PASSWORD = "the administrator's horse"


@pytest.fixture
def admin(settings: SessionSettings) -> Iterator[TestClient]:
    """A browser in which an administrator is signed in."""
    app = make_app(settings, admin_password=ADMIN_PASSWORD)
    agent = {"User-Agent": FIREFOX}
    with TestClient(app, base_url="https://testserver", headers=agent) as client:
        sign_in(client, "admin", ADMIN_PASSWORD)
        yield client


@pytest.fixture
def other(admin: TestClient) -> TestClient:
    """Another browser, in which Ann is signed in."""
    client = beside(admin)
    register(client)
    return client


def page_of(admin: TestClient, name: str) -> str:
    """Return the path of the page of a user, as the list links to it."""
    link = re.search(rf'href="(/users/[0-9a-f]+)">{name}<', admin.get("/users").text)
    assert link is not None
    return link[1]


def listed(page: Page) -> list[str]:
    """Return the names of the users that a page lists."""
    return re.findall(r'href="/users/[0-9a-f]+">(.*?)<', page.text)


def handles(page: Page) -> list[str]:
    return re.findall(r'name="handle" value="([^"]+)"', page.text)


def later(database: Database) -> None:
    """Let it be eleven minutes since all users signed in."""
    database.execute("UPDATE session SET login_on = login_on - %s", [timedelta(minutes=11)])


@pytest.mark.usefixtures("other")
def test_list(admin: TestClient) -> None:
    """The list has each user who is signed in, with the browsers and the number of devices."""
    register(beside(admin), "bob")
    sign_in(beside(admin))
    page = admin.get("/users")

    assert listed(page) == ["ann", "bob", "admin"]
    row = page.text.partition('">ann<')[2]
    assert re.findall(r'<td class="number">(\d+)<', row)[0] == "2"
    assert "Firefox on Linux" in page.text


@pytest.mark.usefixtures("other")
def test_search(admin: TestClient) -> None:
    """A search finds the users who are signed in and whose name begins so, in any case."""
    register(beside(admin), "Anton")
    gone = beside(admin)
    register(gone, "anna")
    post(gone, "/", "/sign-out")

    assert listed(admin.get("/users?name=AN")) == ["Anton", "ann"]
    for name in ("%", "n", "nobody", "\0", "an\0", "\t", "\x1f"):
        assert listed(admin.get("/users", params={"name": name})) == []
    for name in ("", " "):
        assert listed(admin.get("/users", params={"name": name})) == ["Anton", "ann", "admin"]


@pytest.mark.usefixtures("other")
def test_search_of_many(admin: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that finds too many accounts says so, and lists the first."""
    register(beside(admin), "anna")
    hint = "More than 1 accounts"
    assert hint not in admin.get("/users?name=an").text
    monkeypatch.setattr(users, "FOUND", 1)
    page = admin.get("/users?name=an")

    assert listed(page) == ["ann"]
    assert hint in page.text
    assert hint not in admin.get("/users?name=anna").text


@pytest.mark.usefixtures("other")
def test_many_browsers(admin: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list names the browsers of the devices used last only, and each text is parsed once."""
    monkeypatch.setattr(users, "NAMED", 1)
    sign_in(beside(admin))
    row = admin.get("/users").text.partition('">ann<')[2].partition("</p>")[0]
    assert row.endswith(" and more")

    parsed = agents.parse.cache_info().misses
    admin.get("/users")
    admin.get(page_of(admin, "ann"))
    assert agents.parse.cache_info().misses == parsed


@pytest.mark.usefixtures("other")
def test_pages(admin: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page has so many users, and links to the next one and the one before."""
    monkeypatch.setattr(users, "SIZE", 1)
    first, second = admin.get("/users?page=x"), admin.get("/users?page=2")

    assert listed(first) + listed(second) == ["ann", "admin"]
    assert ("page=2" in first.text, "page=0" in first.text) == (True, False)
    assert ("page=3" in second.text, "page=1" in second.text) == (False, True)
    assert "Nobody is signed in here." in admin.get("/users?page=999").text


@pytest.mark.usefixtures("other")
def test_many_devices(admin: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page of a user with many devices shows those used last, and how many there are more."""
    monkeypatch.setattr(users, "DEVICES", 1)
    sign_in(beside(admin))

    assert "And on 1 more" in admin.get(page_of(admin, "ann")).text


def test_end(admin: TestClient, other: TestClient) -> None:
    """A button signs one device of a user out, and no other."""
    third = beside(admin)
    sign_in(third)
    path = page_of(admin, "ann")
    handle = handles(admin.get(path))[1]
    page = post(admin, path, f"{path}/end", handle=handle)

    assert said(page, "notice") == "The device is signed out."
    assert [is_signed_in(it) for it in (admin, other, third)] == [True, False, True]
    again = post(admin, path, f"{path}/end", handle=handle)
    assert said(again, "notice") == "The device was signed out already."


def test_end_all(admin: TestClient, other: TestClient) -> None:
    """A button signs all devices of a user out, and nobody else."""
    stranger = beside(admin)
    register(stranger, "bob")
    path = page_of(admin, "ann")
    page = post(admin, path, f"{path}/end-all")

    assert said(page, "notice") == "1 device is signed out."
    assert [is_signed_in(it) for it in (admin, other, stranger)] == [True, False, True]
    assert "signed in nowhere" in page.text
    assert listed(admin.get("/users")) == ["bob", "admin"]


@pytest.mark.parametrize("form", ["end", "end-all"])
def test_end_own(admin: TestClient, database: Database, form: str) -> None:
    """An administrator who ends the own session is signed out, as by the button at the top."""
    path = page_of(admin, "admin")
    [handle] = handles(admin.get(path))
    page = post(admin, path, f"{path}/{form}", handle=handle)

    assert page.url.path == "/sign-in"
    assert not is_signed_in(admin)
    assert database.execute("SELECT FROM session WHERE user_id IS NOT NULL").rowcount == 0


def test_log(
    admin: TestClient, other: TestClient, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says which administrator has ended how many sessions of whom, by their ids."""
    path = page_of(admin, "ann")
    assert is_signed_in(other)
    with caplog.at_level("INFO", "examples.devices"):
        post(admin, path, f"{path}/end-all")

    query = "SELECT id FROM account ORDER BY name"
    admin_id, user_id = (each for (each,) in database.execute(query))
    assert caplog.messages == [f"{admin_id} has signed 1 devices of {user_id} out."]


def test_foreign_handle(admin: TestClient, other: TestClient) -> None:
    """The own handle on the page of another user ends nothing."""
    [handle] = handles(admin.get(page_of(admin, "admin")))
    path = page_of(admin, "ann")
    post(admin, path, f"{path}/end", handle=handle)

    assert is_signed_in(admin)
    assert is_signed_in(other)


@pytest.mark.parametrize("form", ["end", "end-all"])
def test_forged(admin: TestClient, other: TestClient, form: str) -> None:
    """A form without the token of the administrator's session ends nothing."""
    path = page_of(admin, "ann")
    [handle] = handles(admin.get(path))
    page = admin.post(f"{path}/{form}", data={"token": "guessed", "handle": handle})

    assert page.status_code == 403
    assert is_signed_in(other)


def test_other_users(admin: TestClient, other: TestClient) -> None:
    """A user who is no administrator sees no list, and signs nobody else out."""
    path = page_of(admin, "admin")
    [handle] = handles(admin.get(path))

    assert "/users" not in other.get("/").text
    for page in ("/users", path):
        assert other.get(page).status_code == 403
    for form in ("end", "end-all"):
        assert post(other, "/", f"{path}/{form}", handle=handle).status_code == 403
    assert is_signed_in(admin)


def test_step_up(admin: TestClient, other: TestClient, database: Database) -> None:
    """Ten minutes after the sign-in nothing is shown or ended before the password is given."""
    path = page_of(admin, "ann")
    [handle] = handles(admin.get(path))
    later(database)

    assert [admin.get(it).url.path for it in ("/users", path)] == ["/confirm", "/confirm"]
    for form in ("end", "end-all"):
        assert post(admin, "/", f"{path}/{form}", handle=handle).url.path == "/confirm"
    assert is_signed_in(other)
    page = post(admin, "/confirm", "/confirm", password=ADMIN_PASSWORD, after="users")
    assert page.url.path == "/users"
    assert is_signed_in(other)
    post(admin, path, f"{path}/end", handle=handle)
    assert not is_signed_in(other)


@pytest.mark.parametrize("form", ["end", "end-all"])
def test_after_step_up(admin: TestClient, other: TestClient, database: Database, form: str) -> None:
    """After the step-up the administrator is at the page that has the button, and no session has
    ended; a wrong password does not lose the page.
    """
    path = page_of(admin, "ann")
    later(database)
    page = post(admin, "/", f"{path}/{form}")
    for password in ("guessed", ADMIN_PASSWORD):
        assert re.search(r'href="/users" aria-current', page.text)
        after = re.search(r'name="after" value="([^"]*)"', page.text)
        assert after is not None
        page = post(admin, "/confirm", "/confirm", password=password, after=after[1])

    assert (page.url.path, page.status_code) == (path, 200)
    assert is_signed_in(other)


@pytest.mark.usefixtures("admin")
@pytest.mark.parametrize("user", ["%00", "elsewhere.example", "%F0%9F"])
def test_odd_address(admin: TestClient, database: Database, user: str) -> None:
    """From an address that names no account the step-up leads to the list."""
    later(database)

    page = admin.get(f"/users/{user}")
    assert [it.headers["location"] for it in page.history] == ["/confirm?after=users"]


@pytest.mark.parametrize(
    "after",
    [
        "//elsewhere.example",
        "https://elsewhere.example",
        "users//elsewhere.example",
        f"users/{'f' * 32}/end",
        f"users/{'f' * 32}\n",
        "<",
    ],
)
def test_elsewhere(admin: TestClient, after: str) -> None:
    """The step-up leads to no other site."""
    page = post(admin, "/confirm", "/confirm", password=ADMIN_PASSWORD, after=after)

    assert str(page.url) == "https://testserver/delete-account"
    assert "&lt;" in admin.get("/confirm?after=<").text


@pytest.mark.parametrize("user", ["1", "%00", "f" * 32, "%F0%9F"])
def test_no_such_user(admin: TestClient, user: str) -> None:
    """What is no account is a 404."""
    assert admin.get(f"/users/{user}").status_code == 404
    assert post(admin, "/", f"/users/{user}/end-all").status_code == 404


@pytest.mark.usefixtures("admin")
def test_account_is_kept(settings: SessionSettings) -> None:
    """A start with another password changes no account, and nobody becomes an administrator."""
    for password in (None, PASSWORD):
        with TestClient(
            make_app(settings, admin_password=password), base_url="https://testserver"
        ) as client:
            assert sign_in(client, "admin", PASSWORD).status_code == 401
            assert sign_in(client, "admin", ADMIN_PASSWORD).status_code == 200


def test_name_is_taken(visitor: TestClient, settings: SessionSettings) -> None:
    """A user who has registered as "admin" before does not become an administrator."""
    register(visitor, "admin")
    with TestClient(
        make_app(settings, admin_password=ADMIN_PASSWORD), base_url="https://testserver"
    ) as client:
        sign_in(client, "admin")

        assert client.get("/users").status_code == 403
