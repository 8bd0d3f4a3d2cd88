"""The examples, run as shipped: real processes, real HTTP, a real WebSocket."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg import sql
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.programs import Visitor, eventually, served

EXAMPLES = Path(__file__).parents[2] / "examples"
COOKIE = "__Host-session"
SECRET = "a secret of more than thirty-two bytes"

Serve = Callable[[str], str]


@pytest.fixture
def serve(database_url: str, migrated_schema: str) -> Iterator[Serve]:
    """Serve an example by name until the test ends; return its address."""
    variables = {
        "SESSION_DATABASE_URL": database_url,
        "SESSION_SCHEMA": migrated_schema,
        "SESSION_SECRET_KEY": SECRET,
    }
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(served(EXAMPLES / f"{name}.py", **variables))


@pytest.fixture
def rows(database_url: str, migrated_schema: str) -> Callable[[], int]:
    """Count the rows in the table."""
    query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(migrated_schema, "session"))

    def count() -> int:
        with psycopg.connect(database_url) as connection:
            [(number,)] = connection.execute(query)
        assert isinstance(number, int)
        return number

    return count


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match is not None, text
    return match[1]


def visits(visitor: Visitor) -> str:
    return found(r'id="visits">(\d+)<', visitor.get().text)


def talk(address: str, visitor: Visitor) -> ClientConnection:
    return connect(
        address.replace("http", "ws", 1) + "/socket",
        additional_headers={"Cookie": visitor.cookie_header},
    )


def test_counter_counts_each_browser(serve: Serve) -> None:
    """Each browser has its own count."""
    address = serve("counter")
    one, other = Visitor(address), Visitor(address)

    assert [visits(one), visits(one), visits(other), visits(one)] == ["1", "2", "1", "3"]


def test_counter_outlives_its_process(serve: Serve) -> None:
    """Another process with the same database and secret continues the count."""
    visitor = Visitor(serve("counter"))
    visits(visitor)
    after = Visitor(serve("counter"))
    after.cookies = visitor.cookies

    assert visits(after) == "2"


def test_cart(serve: Serve, rows: Callable[[], int]) -> None:
    """A cart is filled item by item; removing the last item ends the session."""
    visitor = Visitor(serve("fastapi_app"))

    assert visitor.get("/cart").json() == {}
    assert visitor.post("/cart/apple").json() == {"apple": 1}
    assert visitor.post("/cart/apple").json() == {"apple": 2}
    assert visitor.post("/cart/pear").json() == {"apple": 2, "pear": 1}
    assert visitor.request("DELETE", "/cart/apple").json() == {"pear": 1}
    assert rows() == 1
    assert visitor.request("DELETE", "/cart/pear").json() == {}
    assert (rows(), visitor.cookies) == (0, {})


def test_cart_emptied(serve: Serve, rows: Callable[[], int]) -> None:
    """Emptying the cart deletes the row and the cookie; a copy of the cookie opens no session."""
    address = serve("fastapi_app")
    visitor, thief = Visitor(address), Visitor(address)
    visitor.post("/cart/apple")
    thief.cookies = visitor.cookies.copy()

    assert visitor.request("DELETE", "/cart").status_code == 204
    assert (rows(), visitor.cookies) == (0, {})
    assert thief.get("/cart").json() == {}


def test_cart_refuses_odd_items(serve: Serve) -> None:
    """An item that FastAPI rejects gives a 422 and creates no session."""
    visitor = Visitor(serve("fastapi_app"))

    assert visitor.post("/cart/APPLE").status_code == 422
    assert visitor.cookies == {}


def log_in(visitor: Visitor, **form: str) -> int:
    """Submit the login form with its token; return the status."""
    token = found(r'name="token" value="([^"]+)"', visitor.get().text)
    return visitor.post("/login", **{"token": token, "password": "sesame", **form}).status_code


def test_login_renews_the_key(serve: Serve, rows: Callable[[], int]) -> None:
    """Login changes the key; the old key opens no session."""
    address = serve("login")
    visitor, thief = Visitor(address), Visitor(address)
    visitor.get()
    thief.cookies = visitor.cookies.copy()

    assert log_in(visitor, user="ann") == 303
    assert found(r'id="user">(\w+)<', visitor.get().text) == "ann"
    assert visitor.cookies[COOKIE] != thief.cookies[COOKIE]
    assert "ann" not in thief.get().text
    assert rows() == 1  # a key from before the login makes no session either


def test_logout(serve: Serve) -> None:
    """Logout deletes the cookie, and a copy of it is not logged in afterwards."""
    address = serve("login")
    visitor, thief = Visitor(address), Visitor(address)
    log_in(visitor, user="ann")
    thief.cookies = visitor.cookies.copy()
    token = found(r'name="token" value="([^"]+)"', visitor.get().text)

    assert visitor.post("/logout", token=token).status_code == 303
    assert visitor.cookies == {}
    assert "ann" not in thief.get().text


@pytest.mark.parametrize(
    ("form", "max_age"),
    [({}, 7 * 86_400), ({"remember": "on"}, 30 * 86_400)],
    ids=["default", "remembered"],
)
def test_remember_me(serve: Serve, form: dict[str, str], max_age: int) -> None:
    """Remember-me gives the session and its cookie thirty days instead of seven."""
    visitor = Visitor(serve("login"))
    token = found(r'name="token" value="([^"]+)"', visitor.get().text)
    answer = visitor.post("/login", token=token, password="sesame", user="ann", **form)

    assert found(r"Max-Age=(\d+)", answer.headers["set-cookie"]) == str(max_age)


def test_wrong_password(serve: Serve) -> None:
    """A wrong password gives a 401 and does not log in."""
    visitor = Visitor(serve("login"))

    assert log_in(visitor, user="ann", password="sésame") == 401
    assert "ann" not in visitor.get().text


@pytest.mark.parametrize("name", ["", "a\0b", "a" * 256], ids=["empty", "zero", "long"])
def test_unusable_name(serve: Serve, name: str) -> None:
    """A name that cannot be stored gives a 422 and does not log in."""
    visitor = Visitor(serve("login"))

    assert log_in(visitor, user=name) == 422
    assert "Log out" not in visitor.get().text


@pytest.mark.parametrize("path", ["/login", "/logout"])
@pytest.mark.parametrize("token", ["", "None", "guéssed"])
@pytest.mark.parametrize("visited", [True, False], ids=["visited", "new"])
def test_foreign_form(serve: Serve, path: str, token: str, *, visited: bool) -> None:
    """A form without the session's own token gives a 403, with or without a session."""
    visitor = Visitor(serve("login"))
    if visited:
        visitor.get()

    answer = visitor.post(path, token=token, user="ann", password="sesame")
    assert answer.status_code == 403


def test_login_renews_the_token(serve: Serve) -> None:
    """Login changes the token of the forms: that of the visitor does not work any more."""
    visitor = Visitor(serve("login"))
    before = found(r'name="token" value="([^"]+)"', visitor.get().text)
    log_in(visitor, user="ann")

    assert found(r'name="token" value="([^"]+)"', visitor.get().text) != before
    assert visitor.post("/logout", token=before).status_code == 403


@pytest.mark.parametrize(
    ("method", "agent"),
    [("HEAD", "Mozilla/5.0"), ("GET", "Mozilla/5.0 (compatible; Googlebot/2.1)")],
    ids=["HEAD", "crawler"],
)
def test_machines(serve: Serve, rows: Callable[[], int], method: str, agent: str) -> None:
    """A HEAD request or a crawler makes no row and gets no cookie."""
    visitor = Visitor(serve("login"))

    assert visitor.request(method, "/", user_agent=agent).status_code == 200
    assert visitor.cookies == {}
    assert rows() == 0


def test_name_is_escaped(serve: Serve) -> None:
    """A name that contains markup is shown as text."""
    visitor = Visitor(serve("login"))
    log_in(visitor, user="<script>")

    assert "&lt;script&gt;" in visitor.get().text


def test_oauth(serve: Serve, monkeypatch: pytest.MonkeyPatch, rows: Callable[[], int]) -> None:
    """The provider's form leads to a page that posts it again, and that signs the visitor in."""
    with served(EXAMPLES.parent / "tests" / "provider.py") as provider:
        monkeypatch.setenv("OAUTH_CLIENT_ID", "the client")
        monkeypatch.setenv("OAUTH_CLIENT_SECRET", "the client's secret")
        monkeypatch.setenv("OAUTH_METADATA_URL", f"{provider}/.well-known/openid-configuration")
        visitor = Visitor(serve("oauth"))
        form = hidden_fields(httpx.get(visitor.get("/login").headers["location"]).text)
        before, visitor.cookies = visitor.cookies, {}

        page = visitor.request("POST", "/callback", form, sec_fetch_site="cross-site")
        assert rows() == 1  # of the login that has begun
        visitor.cookies = before
        answer = visitor.request(
            "POST", "/callback", hidden_fields(page.text), sec_fetch_site="same-origin"
        )

    assert answer.status_code == 303
    assert found(r'id="user">(\w+)<', visitor.get().text) == "ann"
    assert visitor.request("POST", "/", sec_fetch_site="cross-site").status_code == 403


def hidden_fields(page: str) -> dict[str, str]:
    """Return the hidden fields of the first form in a page."""
    form, _, _ = page.partition("</form>")
    return dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]+)"', form))


def messages(visitor: Visitor) -> int:
    return int(found(r"<output>(\d+)<", visitor.get().text))


def test_websocket_saves_when_it_closes(serve: Serve) -> None:
    """The count of a WebSocket is saved when it is closed, not earlier."""
    address = serve("websocket")
    visitor = Visitor(address)
    assert messages(visitor) == 0

    with talk(address, visitor) as socket:
        for number in (1, 2):
            socket.send("hello")
            assert socket.recv() == str(number)
        assert messages(visitor) == 0
    assert eventually(lambda: messages(visitor) == 2)


def test_websocket_saves_at_once(serve: Serve) -> None:
    """`save` commits while the WebSocket is open; later changes are saved at its end."""
    address = serve("websocket")
    visitor = Visitor(address)
    visitor.get()

    with talk(address, visitor) as socket:
        socket.send("save")
        assert socket.recv() == "1"
        assert messages(visitor) == 1
        socket.send("hello")
        assert socket.recv() == "2"
    assert eventually(lambda: messages(visitor) == 2)


def test_websocket_without_session(serve: Serve) -> None:
    """A WebSocket without a session is rejected, like one from another site."""
    address = serve("websocket")

    with pytest.raises(InvalidStatus, match="403"):
        talk(address, Visitor(address))
