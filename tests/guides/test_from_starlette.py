"""The programs of docs/how-to/from-starlette.md, before and after, in one browser."""

from dataclasses import replace
from datetime import timedelta
from inspect import signature
from typing import Any

import pytest
from starlette.middleware.sessions import SessionMiddleware as StarletteMiddleware
from starlette.testclient import TestClient

from pgsession import InvalidValueError
from pgsession.core.period import DEFAULT_PERIOD
from pgsession.core.value import DEFAULT_VALUE_LIMIT
from tests.guides.changes import change_of
from tests.pages import NAME
from tests.project.conftest import Names
from tests.project.documents import Document

PAGE = Document("docs/how-to/from-starlette.md")
BEFORE, AFTER = change_of(PAGE)
SECRET = "the secret_key of the old middleware"


def test_diff() -> None:
    """The program after the diff is the one that the page shows."""
    assert PAGE.programs == [AFTER]


@pytest.fixture
def apps(names: Names, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """The applications before and after."""
    monkeypatch.setenv("SECRET_KEY", SECRET)
    return names(BEFORE)["app"], names(AFTER)["app"]


def test_there_and_back(apps: tuple[Any, Any]) -> None:
    """A visitor stays signed in through the switch, and through the way back."""
    before, after = apps
    with TestClient(before, base_url="https://testserver") as old:
        old.post("/sign-in", json={"user": "ann"})
        assert [old.get("/").text for _ in range(3)][-1] == "ann: visit 3"
        with TestClient(after, base_url="https://testserver", cookies=dict(old.cookies)) as new:
            assert [new.get("/").text for _ in range(2)][-1] == "ann: visit 5"
            assert set(new.cookies) == {"session", NAME}
        assert old.get("/").text == "ann: visit 4"


def test_logout(apps: tuple[Any, Any]) -> None:
    """A logout deletes the old cookie, and a copy of it opens nothing on the new side."""
    before, after = apps
    with TestClient(before, base_url="https://testserver") as old:
        old.post("/sign-in", json={"user": "ann"})
        copy = old.cookies["session"]
        old.post("/sign-out")
        old.cookies.set("session", copy)
        assert old.get("/").text.startswith("ann")
    with TestClient(after, base_url="https://testserver", cookies={"session": copy}) as new:
        assert new.get("/").text.startswith("ann")
        response = new.post("/sign-out")
        deleted = response.headers.get_list("set-cookie")
        assert {each.split("=")[0] for each in deleted if "Max-Age=0" in each} == {"session", NAME}
    with TestClient(after, base_url="https://testserver", cookies={"session": copy}) as new:
        assert new.get("/").text == "None: visit 1"


def test_keys(apps: tuple[Any, Any]) -> None:
    """A number as a key was silently made a text, and is an error here."""
    before, after = apps
    for app, expected in ((before, None), (after, InvalidValueError)):
        app.router.routes[0].app = _storing
        with TestClient(app, base_url="https://testserver") as visitor:
            if expected is None:
                assert visitor.get("/").status_code == 200
            else:
                with pytest.raises(expected):
                    visitor.get("/")


async def _storing(scope: Any, _receive: Any, send: Any) -> None:
    scope["session"]["names"] = {1: "a"}
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})


def test_same_name(apps: tuple[Any, Any]) -> None:
    """With the name of the old cookie, ours takes its place, and the old side does not know it."""
    before, after = apps
    (ours,) = after.user_middleware
    ours.kwargs["settings"] = replace(ours.kwargs["settings"], session_cookie="session")
    with TestClient(before, base_url="https://testserver") as old:
        cookie = old.post("/sign-in", json={"user": "ann"}).headers["set-cookie"]
    with TestClient(after, base_url="https://testserver") as new:
        response = new.get("/", headers={"cookie": cookie.partition(";")[0]})
        assert response.text == "ann: visit 1"
        assert new.get("/").text == "ann: visit 2"
        assert set(new.cookies) == {"session"}
    with TestClient(before, base_url="https://testserver", cookies=dict(new.cookies)) as old:
        assert old.get("/").text == "None: visit 1"


def test_figures() -> None:
    """The defaults in the table are those of both."""
    default = signature(StarletteMiddleware).parameters["max_age"].default
    assert timedelta(seconds=default) == timedelta(weeks=2) == timedelta(seconds=1209600)
    assert timedelta(weeks=1) == DEFAULT_PERIOD
    assert DEFAULT_VALUE_LIMIT == 1_000_000
