"""The programs of docs/how-to/from-django.md: a Django project and Starlette with one login."""

import runpy
import secrets
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from psycopg import Connection, sql
from psycopg.conninfo import make_conninfo
from starlette.testclient import TestClient

from pgsession.postgres.schema import migrate
from tests.guides.accounts import execute
from tests.guides.django_site import write_site
from tests.guides.figures import missing, words
from tests.pages import NAME
from tests.project.documents import Document

PROGRAM, ONE_LOGIN, MIDDLEWARE = Document("docs/how-to/from-django.md").programs

auth = pytest.importorskip("django.contrib.auth", reason="Django is not installed")
sessions = pytest.importorskip("django.contrib.sessions.backends.db")
management = pytest.importorskip("django.core.management")
db = pytest.importorskip("django.db")


@pytest.fixture(scope="module")
def url(database_url: str, schema_connection: Connection) -> Iterator[str]:
    """A database for the tests of this module: Django is set up once in a process."""
    name = f"pgsession_test_{secrets.token_hex(8)}"
    schema_connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
    migrate(database_url, schema=name)
    yield make_conninfo(database_url, options=f"-csearch_path={name}")
    schema_connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))


@pytest.fixture(scope="module")
def page(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The names of the program, with the users ann and bob in Django's table."""
    folder = tmp_path_factory.mktemp("site")
    write_site(folder, ONE_LOGIN, MIDDLEWARE)
    (folder / "app.py").write_text(PROGRAM, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("SESSION_DATABASE_URL", url)
        patch.setenv("SESSION_SECRET_KEY", "a secret of more than thirty-two bytes")
        patch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
        found = runpy.run_path(str(folder / "app.py"))

        management.call_command("migrate", run_syncdb=True, verbosity=0)
        for name in ("ann", "bob"):
            auth.get_user_model().objects.create_user(name, password="sesame")
        db.connections.close_all()
        yield found
        for name in [each for each in sys.modules if each.partition(".")[0] == "mysite"]:
            del sys.modules[name]


@pytest.fixture(scope="module")
def client(page: dict[str, Any]) -> Iterator[TestClient]:
    """The site, while it runs: its pool can be opened once."""
    with TestClient(page["app"], base_url="https://testserver") as client:
        yield client


@pytest.fixture
def visitor(client: TestClient) -> TestClient:
    """A new browser at the site."""
    client.cookies.clear()
    return client


def test_taken_over(visitor: TestClient) -> None:
    """Who has signed in at Django before is known to the new pages, until a logout there."""
    old = signed_in_before("ann")
    visitor.cookies.set("sessionid", old)

    assert visitor.get("/account").text == "Hello, user 1."
    assert visitor.get("/").text == "ann"

    response = visitor.post("/sign-out", follow_redirects=False)

    deleted = response.headers.get_list("set-cookie")
    assert {each.partition("=")[0] for each in deleted} == {"sessionid", NAME}
    visitor.cookies.set("sessionid", old)
    assert visitor.get("/account").text == "Hello, user None."
    assert visitor.get("/").text == "nobody"


def signed_in_before(name: str) -> str:
    """Return the cookie of a session of Django, made without ours."""
    user = auth.get_user_model().objects.get(username=name)
    session = sessions.SessionStore()
    session["_auth_user_id"] = str(user.pk)
    session["_auth_user_backend"] = "django.contrib.auth.backends.ModelBackend"
    session["_auth_user_hash"] = user.get_session_auth_hash()
    session.save()
    db.connections.close_all()
    return str(session.session_key)


def test_one_login(visitor: TestClient) -> None:
    """A login and a logout at Django are those of the new pages too, with a new key."""
    assert visitor.get("/login", params={"user": "bob"}).text == "2"
    assert visitor.get("/account").text == "Hello, user 2."
    first = visitor.cookies[NAME]
    visitor.get("/login", params={"user": "ann"})
    assert visitor.cookies[NAME] != first
    assert visitor.get("/account").text == "Hello, user 1."

    visitor.get("/logout")

    assert visitor.get("/account").text == "Hello, user None."


def test_defaults() -> None:
    """Django's sessions last as long as the page says: two weeks in seconds."""
    settings = pytest.importorskip("django.conf.global_settings")
    age = settings.SESSION_COOKIE_AGE
    said = f"`SESSION_COOKIE_AGE={age}`, {words(age)} after the last change"

    assert missing("docs/how-to/from-django.md", [said]) == []


def test_ended_here(visitor: TestClient, url: str) -> None:
    """A session that was ended on the new side is signed out at Django with its next request."""
    visitor.get("/login", params={"user": "bob"})
    execute(url, "DELETE FROM session WHERE user_id = '2'")

    assert visitor.get("/").text == "nobody"


@pytest.mark.parametrize("is_taken_over", [False, True], ids=["login", "taken-over"])
def test_stolen(visitor: TestClient, *, is_taken_over: bool) -> None:
    """A change of the password at Django ends the other devices on the new pages too."""
    if is_taken_over:
        visitor.cookies.set("sessionid", signed_in_before("ann"))
    else:
        visitor.get("/login", params={"user": "ann"})
    assert visitor.get("/account").text == "Hello, user 1."
    thief = dict(visitor.cookies)
    visitor.cookies.clear()
    visitor.get("/login", params={"user": "ann"})

    visitor.get("/change")

    assert visitor.get("/account").text == "Hello, user 1."
    visitor.cookies.clear()
    visitor.cookies.update(thief)
    assert visitor.get("/account").text == "Hello, user None."
    assert visitor.get("/").text == "nobody"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE auth_user SET is_active = false WHERE username = 'eve'",
        "DELETE FROM auth_user WHERE username = 'eve'",
    ],
    ids=["inactive", "deleted"],
)
def test_gone(visitor: TestClient, url: str, statement: str) -> None:
    """A user who is deactivated or deleted at Django is signed out on the new pages."""
    execute(url, "DELETE FROM auth_user WHERE username = 'eve'")
    eve = auth.get_user_model().objects.create_user("eve", password="sesame")
    db.connections.close_all()
    visitor.get("/login", params={"user": "eve"})
    assert visitor.get("/account").text == f"Hello, user {eve.pk}."

    execute(url, statement)

    assert visitor.get("/account").text == "Hello, user None."


def test_password_changed(visitor: TestClient, url: str) -> None:
    """The session of a user who has changed the password, or is inactive, is not taken over."""
    for change in (
        "UPDATE auth_user SET password = password || 'x' WHERE username = 'bob'",
        "UPDATE auth_user SET is_active = false WHERE username = 'bob'",
    ):
        cookie = signed_in_before("bob")
        execute(url, change)
        visitor.cookies.clear()
        visitor.cookies.set("sessionid", cookie)
        assert visitor.get("/account").text == "Hello, user None."
