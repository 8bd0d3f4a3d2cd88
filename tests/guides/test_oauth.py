"""The pages about OAuth and OpenID Connect, with a provider in this process."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from starlette.testclient import TestClient

from pgsession.testing import session_of
from tests.guides.conftest import Browse
from tests.guides.identity import ISSUER, METADATA, Provider
from tests.project.conftest import Names
from tests.project.documents import Document

OAUTH, _ = Document("docs/how-to/oauth.md").programs
(OPENID,) = Document("docs/how-to/openid-connect.md").programs
EXAMPLE = (Path(__file__).parents[2] / "examples" / "oauth.py").read_text(encoding="utf-8")
EVENTS: Final[dict[str, dict[str, str]]] = {
    "http://schemas.openid.net/event/backchannel-logout": {}
}

Site = Callable[..., TestClient]


@pytest.fixture(scope="module")
def provider() -> Provider:
    return Provider()


@pytest.fixture
def site(names: Names, browse: Browse, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Starts a program whose requests to other hosts reach the provider."""
    for name in ("GITHUB_CLIENT", "OIDC_CLIENT", "OAUTH_CLIENT"):
        monkeypatch.setenv(f"{name}_ID", "app")
        monkeypatch.setenv(f"{name}_SECRET", "the client's secret")
    monkeypatch.setenv("OIDC_METADATA_URL", METADATA)
    monkeypatch.setenv("OAUTH_METADATA_URL", METADATA)

    def start(program: str, name: str) -> TestClient:
        found = names(program)
        client = getattr(found["oauth"], name)
        client.client_kwargs["transport"] = httpx2.ASGITransport(provider.app)
        return browse(found)

    return start


def answer(visitor: TestClient, provider: Provider) -> str:
    """Begin to sign in, and return the address to which the provider leads back."""
    leaving = visitor.get("/login").headers["location"]
    with TestClient(provider.app, follow_redirects=False) as other:
        return other.get(leaving).headers["location"]


def signed_in(visitor: TestClient, provider: Provider) -> None:
    """Sign in at the provider."""
    assert visitor.get(answer(visitor, provider)).headers["location"] == "/"


def test_oauth(site: Site, provider: Provider) -> None:
    """The user of the provider is signed in under a new key, and signs out."""
    visitor = site(OAUTH, "github")
    back = answer(visitor, provider)
    before = dict(visitor.cookies)

    assert visitor.get(back).status_code == 303
    assert dict(visitor.cookies) != before
    assert "Hello, ann." in visitor.get("/").text
    with session_of(visitor) as session:
        assert (session.user_id, dict(session)) == ("github:7", {"name": "ann"})
    visitor.post("/logout")
    assert "Sign in with GitHub" in visitor.get("/").text


def test_kept(site: Site, provider: Provider) -> None:
    """What a visitor has stored before the login is there in the callback."""
    visitor = site(OAUTH, "github")
    with session_of(visitor) as session:
        session["next"] = "/cart"
    signed_in(visitor, provider)

    with session_of(visitor) as session:
        assert session["next"] == "/cart"


def test_mismatching_state(site: Site, provider: Provider) -> None:
    """The sign-in fails at another host, in the older of two tabs, and at a reload."""
    visitor = site(OAUTH, "github")
    old, new = answer(visitor, provider), answer(visitor, provider)

    assert visitor.get(new.replace("testserver", "127.0.0.1")).status_code == 400
    assert visitor.get(old).status_code == 400
    assert visitor.get(new).status_code == 303
    assert visitor.get(new).status_code == 400


def test_plain_http(site: Site, provider: Provider) -> None:
    """The Secure cookie does not come over plain HTTP, so there is no state."""
    visitor = site(OAUTH, "github")
    back = answer(visitor, provider)

    assert visitor.get(back.replace("https:", "http:")).status_code == 400


def test_openid(site: Site, provider: Provider) -> None:
    """The `id_token` says who signs in; the logout leads to the provider with it as a hint."""
    visitor = site(OPENID, "provider")
    signed_in(visitor, provider)

    assert "Hello, Ann." in visitor.get("/").text
    with session_of(visitor) as session:
        assert (session.user_id, session.label) == ("ann", "s1")
        assert set(session) == {"name", "id_token"}
        hint = session["id_token"]
    leaving = visitor.post("/logout")
    assert leaving.headers["location"].startswith(f"{ISSUER}/logout?id_token_hint={hint}&")
    assert "Max-Age=0;" in leaving.headers["set-cookie"]
    assert "Sign in" in visitor.get("/").text


@pytest.mark.parametrize("audience", ["app", "another"])
def test_example(
    site: Site, provider: Provider, monkeypatch: pytest.MonkeyPatch, audience: str
) -> None:
    """The example signs in whom the `id_token` names, and nobody with one of another client."""
    visitor = site(EXAMPLE, "provider")
    monkeypatch.setitem(provider.claims, "aud", audience)
    fields = dict(httpx2.URL(answer(visitor, provider)).params)

    posted = visitor.post("/callback", data={**fields, "pgsession-reposted": "1"})

    assert posted.status_code == (303 if audience == "app" else 400)
    assert ('id="user">ann<' in visitor.get("/").text) == (audience == "app")


@pytest.mark.parametrize("claim", ["nonce", "iss", "aud"])
def test_other_token(
    site: Site, provider: Provider, monkeypatch: pytest.MonkeyPatch, claim: str
) -> None:
    """An `id_token` of another login, issuer or application signs nobody in."""
    visitor = site(OPENID, "provider")
    monkeypatch.setitem(provider.claims, claim, "another one")

    assert visitor.get(answer(visitor, provider)).status_code == 400
    assert "Sign in" in visitor.get("/").text


@pytest.mark.parametrize(
    ("claim", "value"), [("sub", "a" * 256), ("sid", "s" * 256), ("sid", 5), ("sub", "\0")]
)
def test_impossible_claim(
    site: Site, provider: Provider, monkeypatch: pytest.MonkeyPatch, claim: str, value: object
) -> None:
    """A user or a session of the provider that cannot be stored signs nobody in."""
    visitor = site(OPENID, "provider")
    monkeypatch.setitem(provider.claims, claim, value)

    assert visitor.get(answer(visitor, provider)).status_code == 400
    assert "Sign in" in visitor.get("/").text


def logout_token(provider: Provider, **claims: Any) -> dict[str, str]:
    """Return the form that the provider posts."""
    now = int(time.time())
    common = {"iss": ISSUER, "aud": "app", "iat": now, "exp": now + 60, "jti": "1"}
    token = {**common, "sub": "ann", "events": EVENTS, **claims}
    return {
        "logout_token": provider.sign({name: it for name, it in token.items() if it is not None})
    }


def test_back_channel(site: Site, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """The provider ends one session by its `sid`, or all of the user."""
    visitor = site(OPENID, "provider")
    jars: list[dict[str, str]] = [{}, {}, {}]
    for number, jar in enumerate(jars):
        monkeypatch.setitem(provider.claims, "sid", f"s{number}")
        visitor.cookies.clear()
        signed_in(visitor, provider)
        jar.update(visitor.cookies)

    def is_signed_in(jar: dict[str, str]) -> bool:
        visitor.cookies = jar
        return "Hello" in visitor.get("/").text

    done = visitor.post("/backchannel-logout", data=logout_token(provider, sid="s1"))
    assert (done.status_code, done.headers["cache-control"]) == (200, "no-store")
    assert [is_signed_in(jar) for jar in jars] == [True, False, True]
    assert visitor.post("/backchannel-logout", data=logout_token(provider)).status_code == 200
    assert [is_signed_in(jar) for jar in jars] == [False, False, False]


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"iss": "https://evil.example"}, id="issuer"),
        pytest.param({"aud": "another application"}, id="audience"),
        pytest.param({"nonce": "1"}, id="nonce"),
        pytest.param({"events": {"another": {}}}, id="event"),
        pytest.param({"events": None}, id="id-token"),
        pytest.param({"sub": None, "sid": "s1"}, id="no-user"),
        pytest.param({"exp": 1}, id="old"),
        pytest.param({"exp": None, "iat": 1_000_000_000}, id="for-ever"),
        pytest.param({"jti": None}, id="no-jti"),
        pytest.param({"sub": "a" * 256}, id="long-user"),
        pytest.param({"sub": "a\0"}, id="nul"),
        pytest.param({"events": 5}, id="number"),
    ],
)
def test_no_logout_token(site: Site, provider: Provider, claims: dict[str, Any]) -> None:
    """A token that tells no logout to this application ends nothing."""
    visitor = site(OPENID, "provider")
    signed_in(visitor, provider)

    form = logout_token(provider, **claims)
    assert visitor.post("/backchannel-logout", data=form).status_code == 400
    assert visitor.post("/backchannel-logout", data={"logout_token": "x.y.z"}).status_code == 400
    assert "Hello, Ann." in visitor.get("/").text


def test_audiences(site: Site, provider: Provider) -> None:
    """A token may have several audiences."""
    visitor = site(OPENID, "provider")

    form = logout_token(provider, aud=["another application", "app"])
    assert visitor.post("/backchannel-logout", data=form).status_code == 200


@pytest.mark.parametrize("fault", ["has_logout", "is_there"])
def test_no_end_session(
    site: Site, provider: Provider, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """A logout ends the session here, even without an end_session_endpoint, or a provider."""
    visitor = site(OPENID, "provider")
    signed_in(visitor, provider)
    monkeypatch.setattr(provider, fault, False)
    restarted = site(OPENID, "provider")
    restarted.cookies = visitor.cookies
    assert "Hello" in restarted.get("/").text

    assert restarted.post("/logout").headers["location"] == "/"

    assert "Sign in" in restarted.get("/").text
