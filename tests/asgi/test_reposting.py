"""A form of another site, posted again by a page of ours."""

import re
from collections.abc import Callable
from html import unescape
from typing import Final

import httpx2
import pytest
from authlib.integrations.starlette_client import OAuth, OAuthError
from httpx import AsyncClient
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from pgsession import MemoryStore, PostgresStore, Session, SessionSettings, repost
from tests import provider

Visit = Callable[..., AsyncClient]

SECRET: Final = "a secret of the tests that is long enough for HMAC"
CROSS: Final = {"sec-fetch-site": "cross-site", "origin": "https://provider.example"}
OWN: Final = {"sec-fetch-site": "same-origin", "origin": "https://testserver"}


def fields_in(page: str) -> dict[str, str]:
    """Return the hidden fields of a page, as a browser reads them."""
    found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page)
    return {unescape(name): unescape(text) for name, text in found}


async def take(request: Request) -> Response:
    """Tell what came, once it has been posted again."""
    if (page := await repost(request)) is not None:
        return page
    async with request.form() as form:
        return JSONResponse(dict(form.items()))


TAKE: Final = Route("/take", take, methods=["GET", "POST"])


async def test_again(visit: Visit) -> None:
    """The page posts the known fields as they came; the second request is let through."""
    client = visit(MemoryStore(), routes=(TAKE,))
    sent = {"code": "a&b \N{SNOWMAN}", "state": "'\"><script>alert(1)</script>"}

    page = await client.post("/take", data=sent, headers=CROSS)
    response = await client.post("/take", data=fields_in(page.text), headers=OWN)

    assert page.text.count("<script>") == 1
    assert response.json() == {**sent, "pgsession-reposted": "1"}


async def test_known_fields(visit: Visit) -> None:
    """Fields that are not known, and files, are dropped."""
    client = visit(MemoryStore(), routes=(TAKE,))

    page = await client.post(
        "/take", data={"code": "1", "amount": "9"}, files={"state": b"file"}, headers=CROSS
    )

    assert set(fields_in(page.text)) == {"code", "pgsession-reposted"}


async def test_other_fields(visit: Visit) -> None:
    """A caller names the fields of another protocol."""

    async def saml(request: Request) -> Response:
        return await repost(request, fields=("SAMLResponse", "RelayState")) or Response()

    client = visit(MemoryStore(), routes=(Route("/saml", saml, methods=["POST"]),))

    page = await client.post("/saml", data={"SAMLResponse": "PHNh", "code": "1"}, headers=CROSS)

    assert fields_in(page.text) == {"SAMLResponse": "PHNh", "pgsession-reposted": "1"}


async def test_page(visit: Visit) -> None:
    """No cache keeps the page, only its own script runs, its form leads nowhere else, and the
    session is not touched.
    """
    client = visit(MemoryStore(), routes=(TAKE,))

    page = await client.post("/take", data={"code": "1"}, headers=CROSS)

    assert page.headers["cache-control"] == "no-store"
    assert page.headers["content-security-policy"].startswith("default-src 'none'; script-src 'sha")
    assert "action=" not in page.text
    assert not {"vary", "set-cookie"} & set(page.headers)


async def test_get(visit: Visit) -> None:
    """A GET has no form to post again."""
    assert (await visit(MemoryStore(), routes=(TAKE,)).get("/take")).json() == {}


@pytest.fixture
def site(visit: Visit, postgres: PostgresStore) -> AsyncClient:
    """A client of a site that signs its visitors in through the provider, as in the example."""
    oauth = OAuth()
    oauth.register(
        "provider",
        client_id="the client",
        client_secret="the client's secret",
        server_metadata_url=f"https://provider.example{provider.METADATA}",
        client_kwargs={
            "code_challenge_method": "S256",
            "transport": httpx2.ASGITransport(provider.app),
        },
    )

    async def login(request: Request) -> Response:
        response: Response = await oauth.provider.authorize_redirect(
            request, request.url_for("callback"), response_mode="form_post"
        )
        return response

    async def callback(request: Request) -> Response:
        if (page := await repost(request)) is not None:
            return page
        try:
            token = await oauth.provider.authorize_access_token(request)
        except OAuthError as error:
            return JSONResponse(error.error, status_code=400)
        assert isinstance(request.session, Session)
        request.session.login((await oauth.provider.userinfo(token=token))["sub"])
        return RedirectResponse("/who", status_code=303)

    async def who(request: Request) -> Response:
        assert isinstance(request.session, Session)
        return JSONResponse(request.session.user_id)

    settings = SessionSettings(secret_key=SECRET, csrf_protection=True, csrf_exempt=["/callback"])
    routes = (
        Route("/login", login),
        Route("/callback", callback, methods=["POST"]),
        Route("/who", who),
    )
    return visit(postgres, routes=routes, settings=settings)


async def answer(site: AsyncClient) -> dict[str, str]:
    """Begin to sign in, and return what the provider makes the browser post."""
    leaving = await site.get("/login")
    transport = httpx2.ASGITransport(provider.app)
    async with httpx2.AsyncClient(transport=transport) as client:
        page = (await client.get(leaving.headers["location"])).text
    return fields_in(page[: page.index("</form>")])


async def test_oauth(site: AsyncClient) -> None:
    """The provider's form comes without the cookie; posted again, it signs the visitor in."""
    fields = await answer(site)
    (before,) = site.cookies.jar
    site.cookies.clear()  # a browser does not send them with the form of the provider

    page = await site.post("/callback", data=fields, headers=CROSS)
    assert "set-cookie" not in page.headers
    site.cookies.jar.set_cookie(before)
    response = await site.post(
        "/callback", data=fields_in(page.text), headers=OWN, follow_redirects=True
    )

    assert response.json() == "ann"
    assert [cookie.value for cookie in site.cookies.jar] != [before.value]


@pytest.mark.parametrize("again", [False, True], ids=["first", "again"])
async def test_login_of_another(site: AsyncClient, *, again: bool) -> None:
    """An attacker cannot sign a visitor in with an answer of the provider to the attacker: the
    visitor's session does not have its state, whichever request the attacker makes.
    """
    fields = await answer(site)
    site.cookies.clear()
    await site.get("/login")  # the visitor has a session, with another state

    if again:
        page = await site.post("/callback", data={**fields, "pgsession-reposted": "1"})
    else:
        page = await site.post("/callback", data=fields, headers=CROSS)
        page = await site.post("/callback", data=fields_in(page.text), headers=OWN)

    assert page.status_code == 400
    assert (await site.get("/who")).json() is None
