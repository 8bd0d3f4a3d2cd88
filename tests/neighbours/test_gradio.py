"""Gradio adds Starlette's own SessionMiddleware for its sign-in. Its cookie is `session`.

It does so if its page has a LoginButton. In a Space of Hugging Face, that button leads to their
OpenID provider. These tests have a provider of their own.
"""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Literal

import pytest
from starlette.datastructures import URL, QueryParams

from pgsession import (
    MemoryStore,
    PostgresStore,
    SessionSettings,
    Store,
)
from tests.applications import SECRET
from tests.neighbours.sites import Site
from tests.pages import NAME

TOKEN = {
    "access_token": "Ann's token",
    "token_type": "bearer",
    "scope": "profile",
    "expires_at": 9_999_999_999,
}

Run = Callable[..., AbstractAsyncContextManager[Site]]


class Provider(BaseHTTPRequestHandler):
    """An OAuth provider that gives the same token for every code."""

    def do_GET(self) -> None:
        """Tell where the provider's pages are."""
        host = f"http://{self.headers['host']}"
        self._answer(
            {"authorization_endpoint": f"{host}/authorize", "token_endpoint": f"{host}/token"}
        )

    def do_POST(self) -> None:
        """Give the token."""
        self._answer(TOKEN)

    def log_message(self, *_args: Any) -> None:
        pass

    def _answer(self, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def provider() -> Iterator[str]:
    """The URL of a provider."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Provider) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def run(provider: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a site with Gradio below `/gradio`, as in a Space with OAuth."""
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("SYSTEM", "spaces")
    monkeypatch.setenv("SPACE_ID", "ann/space")
    # Gradio reads these from the environment when it is imported.
    monkeypatch.setattr("gradio.oauth.OAUTH_CLIENT_ID", "the client")
    monkeypatch.setattr("gradio.oauth.OAUTH_CLIENT_SECRET", "the client's secret")
    monkeypatch.setattr("gradio.oauth.OAUTH_SCOPES", "profile")
    monkeypatch.setattr("gradio.oauth.OPENID_PROVIDER_URL", provider)
    return run_with_gradio


@asynccontextmanager
async def run_with_gradio(
    store: Store, *, has_button: bool = True, **keywords: Any
) -> AsyncIterator[Site]:
    import gradio  # noqa: PLC0415 - it takes seconds, and each process reads this file

    def show_token(token: gradio.OAuthToken | None) -> str:
        return "none" if token is None else token.token

    site = Site(store, **keywords)
    with gradio.Blocks() as blocks:
        if has_button:
            gradio.LoginButton()
        blocks.load(show_token, outputs=gradio.Textbox(), api_name="token", queue=False)
    gradio.mount_gradio_app(site.app, blocks, path="/gradio")
    async with site.app.router.lifespan_context(site.app):
        yield site


async def sign_in(site: Site) -> None:
    """Go to the provider and come back with a code."""
    leaving = await site.browser.get(
        "/gradio/login/huggingface?_target_url=/read", follow_redirects=False
    )
    query = QueryParams(URL(leaving.headers["location"]).query)
    back = URL(query["redirect_uri"]).include_query_params(code="a code", state=query["state"])
    await site.browser.get(str(back))


async def token_of(site: Site) -> str:
    """Return the token that Gradio has for the visitor."""
    answer = await site.browser.post("/gradio/gradio_api/run/token", json={"data": []})
    (token,) = answer.json()["data"]
    return str(token)


async def test_opened(run: Run) -> None:
    """A visitor of the site is not signed in at Gradio."""
    async with run(MemoryStore()) as site, site.keeping_session():
        assert (await site.browser.get("/gradio/")).status_code == 200
        assert await token_of(site) == "none"


async def test_signed_in(run: Run) -> None:
    """A visitor of the site may sign in at Gradio too."""
    async with run(MemoryStore()) as site, site.keeping_session():
        await sign_in(site)
        assert await token_of(site) == "Ann's token"
        assert site.read_cookie() == {"oauth_info": TOKEN}


async def test_signed_in_with_postgres(run: Run, postgres: PostgresStore) -> None:
    """A sign-in at Gradio leaves the site's row as it is."""
    async with run(postgres) as site, site.keeping_session():
        await sign_in(site)
        assert await token_of(site) == "Ann's token"


async def test_signed_out(run: Run) -> None:
    """A visitor who signs out at Gradio is still signed in at the site."""
    async with run(MemoryStore()) as site, site.keeping_session():
        await sign_in(site)
        await site.browser.get("/gradio/logout?_target_url=/read")
        assert await token_of(site) == "none"


async def test_signed_in_first(run: Run) -> None:
    """A sign-in at Gradio alone makes no session of the site."""
    async with run(MemoryStore()) as site:
        await sign_in(site)

        assert NAME not in site.browser.cookies
        assert (await site.browser.get("/read")).json() == {}


async def test_excluded(run: Run) -> None:
    """Gradio on an excluded path keeps its sessions."""
    async with run(MemoryStore(), exclude=["/gradio"]) as site, site.keeping_session():
        await sign_in(site)
        assert await token_of(site) == "Ann's token"


# Of Gradio itself, up to 6.15, where it finds no session.
@pytest.mark.filterwarnings("ignore:Empty session being created:UserWarning")
@pytest.mark.parametrize(
    ("excluded_session", "status"), [("absent", 200), ("error", 500)], ids=["absent", "error"]
)
async def test_probing(run: Run, excluded_session: Literal["absent", "error"], status: int) -> None:
    """Without a LoginButton, Gradio uses the session of the scope if it has one.

    On an excluded path, "absent" is for that.
    """
    settings = SessionSettings(
        secret_key=SECRET, exclude=["/gradio"], excluded_session=excluded_session
    )
    async with run(MemoryStore(), has_button=False, settings=settings) as site:
        answer = await site.browser.post("/gradio/gradio_api/run/token", json={"data": []})

    assert answer.status_code == status
