"""The example with SESSION_DEVICE_BINDING: sessions that are bound to their device."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from httpx import ASGITransport, AsyncClient, Response
from starlette.types import ASGIApp, Message

from examples.devices.site import make_app
from pgsession import SessionSettings
from tests.dbsc.browser import BindingBrowser
from tests.devices.conftest import Database
from tests.devices.visiting import PASSWORD

NAME = "__Host-session"
THIS = '<span class="tag">Bound to this device</span>'
ITS = '<span class="tag">Bound to its device</span>'
REASON = "This browser gave no proof that it is the device that signed in"

#: What the browsers that bind sessions send with a form of the site's own.
OWN = {"sec-fetch-site": "same-origin"}


@pytest.fixture
async def app(settings: SessionSettings) -> AsyncIterator[ASGIApp]:
    """The site, with device binding."""
    site = make_app(replace(settings, device_binding=timedelta(minutes=10)))
    async with started(site):
        yield site


@asynccontextmanager
async def started(app: ASGIApp) -> AsyncIterator[None]:
    """Start an application for a block, as a server does."""
    asked: asyncio.Queue[Message] = asyncio.Queue()
    said: asyncio.Queue[Message] = asyncio.Queue()
    life = asyncio.ensure_future(app({"type": "lifespan", "state": {}}, asked.get, said.put))
    await asked.put({"type": "lifespan.startup"})
    assert (await said.get())["type"] == "lifespan.startup.complete"
    yield
    await asked.put({"type": "lifespan.shutdown"})
    await life


async def post(client: AsyncClient, form: str, path: str, **fields: str) -> Response:
    """Post a form to `path` with the token of the page `form`."""
    token = re.search(r'name="token" value="([^"]*)"', (await client.get(form)).text)
    assert token is not None
    data = {"token": token[1], "name": "ann", "password": PASSWORD, **fields}
    return await client.post(path, data=data, headers=OWN)


async def enter(app: ASGIApp, path: str, *, registers: bool = True) -> BindingBrowser:
    """Register or sign in with another browser, which binds its session if `registers`."""
    browser = BindingBrowser(app, registers=registers)
    answer = await post(browser, path, path)
    assert answer.headers["location"] == "/"
    if registers:
        await browser.register(answer.headers["secure-session-registration"])
    await browser.get("/")  # brings the bound cookie
    return browser


async def without_proof(app: ASGIApp) -> AsyncClient:
    """Return a client with a copy of the cookie of a session that is bound, and no proof."""
    cookie = (await enter(app, "/register")).copy_of_cookies()[NAME]
    transport = ASGITransport(app)
    return AsyncClient(
        transport=transport, base_url="https://testserver", headers={"cookie": f"{NAME}={cookie}"}
    )


async def test_tags(app: ASGIApp) -> None:
    """The list says which devices their sessions are bound to, and of which it is this one."""
    browser = await enter(app, "/register")
    unbound = await enter(app, "/sign-in", registers=False)
    page, other = (await browser.get("/")).text, (await unbound.get("/")).text

    assert (page.count(THIS), page.count(ITS)) == (1, 0)
    assert (other.count(THIS), other.count(ITS)) == (0, 1)


async def test_unbound(settings: SessionSettings) -> None:
    """Without the setting nothing is offered, and the list says nothing of it."""
    site = make_app(settings)
    async with started(site):
        browser = BindingBrowser(site)
        answer = await post(browser, "/register", "/register")

        assert "secure-session-registration" not in answer.headers
        assert "Bound to" not in (await browser.get("/")).text


@pytest.mark.parametrize("path", ["/", "/password", "/confirm", "/delete-account", "/users"])
async def test_without_proof(app: ASGIApp, path: str) -> None:
    """Without proof a page shows the form that signs in and says why. The cookie stays."""
    client = await without_proof(app)
    page = await client.get(path)

    assert page.status_code == 401
    assert page.text.count(REASON) == 1
    assert "ann" not in page.text
    assert "set-cookie" not in page.headers


@pytest.mark.parametrize("path", ["/sign-in", "/register"])
async def test_form_without_proof(app: ASGIApp, path: str) -> None:
    """The forms for visitors are there without proof too."""
    client = await without_proof(app)

    assert (await client.get(path)).status_code == 200


@pytest.mark.parametrize(
    "path", ["/devices/end", "/devices/end-others", "/password", "/confirm", "/delete-account"]
)
async def test_posted_without_proof(app: ASGIApp, path: str) -> None:
    """A form for users does nothing without proof, and says why."""
    client = await without_proof(app)
    page = await client.post(path, data={"token": "one with proof"}, headers=OWN)

    assert page.status_code == 401
    assert REASON in page.text


@pytest.mark.parametrize("site", ["same-site", "cross-site", ""])
@pytest.mark.parametrize("path", ["/sign-in", "/sign-out"])
async def test_forged_without_proof(app: ASGIApp, path: str, site: str) -> None:
    """Without proof a form that the site did not send signs nobody in or out."""
    client = await without_proof(app)
    data = {"token": "", "name": "ann", "password": PASSWORD}
    page = await client.post(path, data=data, headers={"sec-fetch-site": site})

    assert page.status_code == 403
    assert "set-cookie" not in page.headers


async def test_signs_in_without_proof(app: ASGIApp, database: Database) -> None:
    """A user without proof signs in again. That ends the session before."""
    client = await without_proof(app)
    answer = await post(client, "/", "/sign-in")
    cookie = answer.headers["set-cookie"].partition(";")[0]
    page = await client.get("/", headers={"cookie": cookie})

    assert answer.headers["location"] == "/"
    assert "Your devices" in page.text
    assert database.execute("SELECT FROM session WHERE user_id IS NOT NULL").rowcount == 1


async def test_signs_out_without_proof(app: ASGIApp, database: Database) -> None:
    """A user without proof signs out: that ends the session."""
    client = await without_proof(app)
    answer = await post(client, "/", "/sign-out")

    assert answer.headers["location"] == "/sign-in"
    assert database.execute("SELECT FROM session WHERE user_id IS NOT NULL").rowcount == 0


async def test_badge_without_proof(app: ASGIApp) -> None:
    """The badge is not told that nobody is signed in, as that is not known: it asks again."""
    answer = await (await without_proof(app)).get("/session")

    assert answer.status_code == 401


async def test_proof_comes_late(app: ASGIApp) -> None:
    """A sign-in form that was shown without proof is accepted if the proof has come meanwhile."""
    browser = await enter(app, "/register")
    data = {"token": "", "name": "ann", "password": PASSWORD}
    answer = await browser.post("/sign-in", data=data, headers=OWN)

    assert answer.headers["location"] == "/"
