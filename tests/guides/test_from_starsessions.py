"""The programs of docs/how-to/from-starsessions.md, before and after, on a real Redis."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.guides.changes import change_of
from tests.guides.redis_server import PROGRAM, REASON, redis_server
from tests.pages import NAME
from tests.project.conftest import Names
from tests.project.documents import Document

PAGE = Document("docs/how-to/from-starsessions.md")
BEFORE, AFTER = change_of(PAGE)

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=REASON)
pytest.importorskip("redis", reason="redis is not installed")


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    """A Redis for the tests of this module."""
    with (
        tempfile.TemporaryDirectory(prefix="pgsession-") as folder,
        redis_server(Path(folder)) as url,
    ):
        yield url


@pytest.fixture
def apps(
    names: Names, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[TestClient, TestClient]]:
    """Browsers of the application before and after."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    old, new = (
        TestClient(names(text)["app"], base_url="https://testserver") for text in (BEFORE, AFTER)
    )
    with old, new:
        yield old, new


def test_diff() -> None:
    """The program after the diff is the one that the page shows."""
    assert PAGE.programs == [AFTER]


def test_there_and_back(apps: tuple[TestClient, TestClient]) -> None:
    """A visitor stays signed in through the switch, and through the way back."""
    old, new = apps
    old.post("/sign-in", json={"user": "ann"})
    assert [old.get("/").text for _ in range(3)][-1] == "ann: visit 3"

    new.cookies.update({"session": old.cookies["session"]})
    assert [new.get("/").text for _ in range(2)] == ["ann: visit 4", "ann: visit 5"]
    assert set(new.cookies) == {"session", NAME}

    assert old.get("/").text == "ann: visit 4"


def test_logout(apps: tuple[TestClient, TestClient]) -> None:
    """A logout deletes the old cookie; a copy of it opens the session on the old side only."""
    old, new = apps
    old.post("/sign-in", json={"user": "ann"})
    copy = old.cookies["session"]
    new.cookies.update({"session": copy})
    assert new.get("/").text == "ann: visit 1"

    deleted = new.post("/sign-out").headers.get_list("set-cookie")

    assert {each.split("=")[0] for each in deleted if "Max-Age=0" in each} == {"session", NAME}
    new.cookies.update({"session": copy})
    assert new.get("/").text == "None: visit 1"
    assert old.get("/").text == "ann: visit 1"


def test_key_of_old(apps: tuple[TestClient, TestClient]) -> None:
    """The old side keeps a session under the id of before a login; ours opens nothing then."""
    old, new = apps
    for browser, name, left in ((old, "session", "None: visit 2"), (new, NAME, "None: visit 1")):
        browser.get("/")
        before = browser.cookies[name]
        browser.post("/sign-in", json={"user": "ann"})
        browser.cookies.clear()
        browser.cookies.update({name: before})
        assert browser.get("/").text == left


def test_redis_down(names: Names, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Redis, only a visitor with an old cookie and none of ours gets a 503."""
    monkeypatch.setenv("REDIS_URL", f"unix://{tmp_path}/none.sock")
    with TestClient(names(AFTER)["app"], base_url="https://testserver") as new:
        assert new.get("/").text == "None: visit 1"
        new.cookies.update({"session": "0" * 32})
        assert new.get("/").text == "None: visit 2"
        new.cookies.delete(NAME)
        assert new.get("/").status_code == 503
