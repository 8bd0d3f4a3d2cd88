"""Authlib's OAuth login keeps its state in our session and needs nothing else."""

import base64
import hashlib
from collections.abc import Callable

import httpx2
import pytest
from authlib.integrations.starlette_client import OAuth, OAuthError
from httpx import ASGITransport, AsyncClient
from starlette.applications import Starlette
from starlette.datastructures import URL
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from pgsession import PostgresStore
from tests.pages import read

PROVIDER = "https://provider.example"
CODE = "the code that this provider gives"


class Provider:
    """An OAuth provider whose only user is Ann. It checks the code and its PKCE verifier."""

    def __init__(self) -> None:
        self._challenge = ""
        self.app = Starlette(
            routes=[
                Route("/authorize", self.authorize),
                Route("/token", self.give_token, methods=["POST"]),
                Route("/me", self.tell_user),
            ]
        )

    async def authorize(self, request: Request) -> Response:
        query = request.query_params
        self._challenge = query["code_challenge"]
        back = URL(query["redirect_uri"]).include_query_params(code=CODE, state=query["state"])
        return RedirectResponse(back, status_code=302)

    async def give_token(self, request: Request) -> Response:
        async with request.form() as form:
            code, verifier = str(form["code"]), str(form["code_verifier"])
        digest = hashlib.sha256(verifier.encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if (code, challenge) != (CODE, self._challenge):
            return JSONResponse({"error": "invalid_grant"}, status_code=400)
        return JSONResponse({"access_token": "a token", "token_type": "bearer"})

    async def tell_user(self, request: Request) -> Response:
        assert request.headers["authorization"] == "Bearer a token"
        return JSONResponse({"name": "ann"})


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def oauth(provider: Provider) -> OAuth:
    registry = OAuth()
    registry.register(
        "provider",
        client_id="the client",
        client_secret="the client's secret",
        authorize_url=f"{PROVIDER}/authorize",
        access_token_url=f"{PROVIDER}/token",
        userinfo_endpoint=f"{PROVIDER}/me",
        client_kwargs={
            "code_challenge_method": "S256",
            "transport": httpx2.ASGITransport(provider.app),
        },
    )
    return registry


@pytest.fixture
def browser(
    visit: Callable[..., AsyncClient], postgres: PostgresStore, oauth: OAuth
) -> AsyncClient:
    """A client of a site that logs its visitors in through the provider."""

    async def login(request: Request) -> Response:
        response: Response = await oauth.provider.authorize_redirect(
            request, request.url_for("callback")
        )
        return response

    async def callback(request: Request) -> Response:
        try:
            token = await oauth.provider.authorize_access_token(request)
        except OAuthError as error:
            return JSONResponse(error.error, status_code=400)
        request.session["user"] = await oauth.provider.userinfo(token=token)
        request.session.renew()  # type: ignore[attr-defined]  # typed as dict by Starlette
        return RedirectResponse("/read", status_code=302)

    return visit(postgres, read, routes=(Route("/login", login), Route("/callback", callback)))


async def ask(provider: Provider, url: str) -> str:
    """Send a request to the provider as a browser does, and return the redirect location."""
    async with AsyncClient(transport=ASGITransport(provider.app)) as client:
        return (await client.get(url)).headers["location"]


async def test_login(browser: AsyncClient, provider: Provider) -> None:
    """A visitor goes to the provider and comes back logged in, under a new key."""
    leaving = await browser.get("/login")
    key_before = browser.cookies["__Host-session"]

    back = await ask(provider, leaving.headers["location"])
    response = await browser.get(back, follow_redirects=True)

    assert response.json() == {"user": {"name": "ann"}}
    assert browser.cookies["__Host-session"] != key_before


async def test_state_kept(browser: AsyncClient) -> None:
    """Between the redirect and the callback, the session contains Authlib's state."""
    await browser.get("/login")

    (name,) = (await browser.get("/read")).json()

    assert name.startswith("_state_provider_")


async def test_other_browser(browser: AsyncClient, provider: Provider) -> None:
    """A browser that did not start the login cannot finish it: its session has no state."""
    leaving = await browser.get("/login")
    back = await ask(provider, leaving.headers["location"])
    browser.cookies.clear()

    response = await browser.get(back)

    assert response.status_code == 400
    assert "set-cookie" not in response.headers


async def test_twice(browser: AsyncClient, provider: Provider) -> None:
    """A state is valid for one callback only."""
    leaving = await browser.get("/login")
    back = await ask(provider, leaving.headers["location"])
    await browser.get(back)

    response = await browser.get(back)

    assert response.status_code == 400
    assert (await browser.get("/read")).json() == {"user": {"name": "ann"}}
