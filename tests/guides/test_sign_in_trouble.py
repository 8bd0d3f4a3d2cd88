"""The causes of users who are signed out, and of those who are not."""

import secrets

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from pgsession import MemoryStore, Session, SessionSettings, get_session
from pgsession.testing import age
from tests.applications import SECRET
from tests.guides.troubled import NAME, browser, page, site, visits

SIGNED_IN, STRANGER = "'ann'", "None"


def sign_in(session: Session) -> None:
    session.login("ann")
    session["user"] = "ann"


async def delete_cookie(_request: Request) -> Response:
    response = PlainTextResponse()
    response.delete_cookie(NAME, secure=True, httponly=True)
    return response


async def fail_to_sign_out(request: Request) -> Response:
    get_session(request).logout()
    return PlainTextResponse(status_code=500)


ROUTES = (
    page("/in", sign_in),
    page("/in-as-bob", lambda session: session.login("bob")),
    page("/who", lambda session: session.user_id),
    page("/out", lambda session: session.logout()),
    page("/pop", lambda session: session.pop("user")),
    Route("/delete", delete_cookie),
    Route("/fail", fail_to_sign_out),
)


def copy_of(client: TestClient) -> TestClient:
    """Return a client of the same application that has a copy of the cookies."""
    copy = TestClient(client.app, base_url=str(client.base_url))
    copy.cookies.update(client.cookies)
    return copy


@pytest.mark.parametrize(
    ("path", "is_out"),
    [("/delete", False), ("/pop", False), ("/fail", False), ("/out", True)],
)
def test_logout(path: str, *, is_out: bool) -> None:
    """Only `session.logout()`, in a response that is no error, ends the session."""
    client = browser(site(*ROUTES))
    client.get("/in")
    copy = copy_of(client)

    client.get(path)

    assert visits(copy, "/who") == [STRANGER if is_out else SIGNED_IN]


def test_most_sessions() -> None:
    """With `max_sessions` a sign-in ends the one of longest ago."""
    settings = SessionSettings(secret_key=SECRET, max_sessions=1)
    app = site(*ROUTES, settings=settings)
    laptop, phone = browser(app), browser(app)

    visits(laptop, "/in")
    visits(phone, "/in")

    assert [visits(it, "/who") for it in (laptop, phone)] == [[STRANGER], [SIGNED_IN]]


def test_tabs() -> None:
    """Two tabs have one session: a sign-in in one is that of both."""
    client = browser(site(*ROUTES))
    visits(client, "/in")
    other_tab = copy_of(client)

    visits(client, "/in-as-bob")
    other_tab.cookies = client.cookies  # a browser has one jar for all tabs

    assert visits(other_tab, "/who") == ["'bob'"]


def test_revoked() -> None:
    """Who signs out everywhere is signed out here."""
    store = MemoryStore()

    async def revoke(_request: Request) -> Response:
        await store.revoke_all("ann")
        return PlainTextResponse()

    client = browser(site(*ROUTES, Route("/revoke", revoke), store=store))

    assert visits(client, "/in", "/who", "/revoke", "/who")[1::2] == [SIGNED_IN, STRANGER]


def test_expired() -> None:
    """A session that nobody uses ends after a week, and the client still sends its cookie."""
    client = browser(site(*ROUTES))
    visits(client, "/in")
    age(client, days=7)

    response = client.get("/who")

    assert NAME in response.request.headers["cookie"]
    assert response.text == STRANGER


def test_new_secret() -> None:
    """A new secret signs all users out, and one beside the old one does not."""
    store, new = MemoryStore(), secrets.token_urlsafe(48)
    client = browser(site(*ROUTES, store=store))
    client.get("/in")

    found = []
    for secret_key in (new, [new, SECRET]):
        deployed = browser(site(*ROUTES, store=store, secret_key=secret_key))
        deployed.cookies.update(client.cookies)
        found += visits(deployed, "/who")
    assert found == [STRANGER, SIGNED_IN]


def begin(session: Session) -> None:
    session["state"] = "random"


async def call_back(request: Request) -> Response:
    state = await get_session(request).take("state")
    return PlainTextResponse("signed in" if state == "random" else "mismatching_state")


@pytest.mark.parametrize(
    ("host", "answers"),
    [
        ("localhost", ["signed in", "mismatching_state"]),
        ("127.0.0.1", ["mismatching_state", "mismatching_state"]),
    ],
    ids=["same host", "another host"],
)
def test_state(host: str, answers: list[str]) -> None:
    """A state is found once, by a callback on the host where the sign-in began."""
    client = browser(site(page("/begin", begin), Route("/callback", call_back)))
    client.get("https://localhost/begin")

    assert visits(client, *[f"https://{host}/callback"] * 2) == answers
