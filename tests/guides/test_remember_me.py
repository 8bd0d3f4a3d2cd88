"""The page about "remember me": the box decides over the cookie and over the row."""

from typing import Final

from pgsession.testing import age, session_of
from tests.guides.conftest import Browse, RunTests
from tests.project.conftest import Names
from tests.project.documents import Document

PAGE: Final = Document("docs/how-to/remember-me.md")
PROGRAM, TESTS = PAGE.programs

MONTH: Final = 30 * 24 * 60 * 60


def test_page(run_tests: RunTests) -> None:
    """The tests of the page pass."""
    assert run_tests(PROGRAM, TESTS) == ["test_forgotten", "test_remembered"]


def test_form(names: Names, browse: Browse) -> None:
    """The form signs in and out; a wrong password does not."""
    visitor = browse(names(PROGRAM))

    assert visitor.post("/sign-in", data={"user": "ann", "password": "guessed"}).status_code == 403
    assert "Remember me" in visitor.get("/").text
    visitor.post("/sign-in", data={"user": "ann", "password": "sesame", "remember": "on"})
    assert "Hello, ann" in visitor.get("/").text
    assert "Max-Age=0;" in visitor.post("/sign-out").headers["set-cookie"]
    assert "Remember me" in visitor.get("/").text
    assert f"Max-Age={MONTH}`" in PAGE.text


def test_later(names: Names, browse: Browse) -> None:
    """A period that is set later remembers the browser, and None forgets it again."""
    visitor = browse(names(PROGRAM))
    visitor.post("/sign-in", data={"user": "ann", "password": "sesame"})
    with session_of(visitor) as session:
        assert session.granted is None
        session.period = MONTH
    assert [cookie.expires is None for cookie in visitor.cookies.jar] == [False]
    with session_of(visitor) as session:
        session.period = None
    assert [cookie.expires for cookie in visitor.cookies.jar] == [None]


def test_box_off_again(names: Names, browse: Browse) -> None:
    """A login without the box forgets what the one before had remembered."""
    visitor = browse(names(PROGRAM))
    form = {"user": "ann", "password": "sesame"}
    visitor.post("/sign-in", data={**form, "remember": "on"})

    assert "Max-Age" not in visitor.post("/sign-in", data=form).headers["set-cookie"]


def test_fixed_end(names: Names, browse: Browse) -> None:
    """With a `max_lifetime` as long as the period, no visit extends the session."""
    program = PROGRAM.replace("timedelta(days=90)", "timedelta(hours=12)")
    visitor = browse(names(program.replace("max_age=None,", "")))
    response = visitor.post("/sign-in", data={"user": "ann", "password": "sesame"})
    assert "Max-Age=43200;" in response.headers["set-cookie"]
    age(visitor, hours=11)
    home = visitor.get("/")
    assert "Hello, ann" in home.text
    assert "set-cookie" not in home.headers
    age(visitor, hours=2)
    assert "Hello, ann" not in visitor.get("/").text


def test_max_lifetime(names: Names, browse: Browse) -> None:
    """After `max_lifetime` a remembered user signs in again; the cookie does not outlive it."""
    visitor = browse(names(PROGRAM.replace("timedelta(days=90)", "timedelta(days=40)")))
    visitor.post("/sign-in", data={"user": "ann", "password": "sesame", "remember": "on"})
    age(visitor, days=25)
    cookie = visitor.get("/").headers["set-cookie"]
    assert f"Max-Age={MONTH // 2};" in cookie
    age(visitor, days=16)

    assert "Remember me" in visitor.get("/").text
