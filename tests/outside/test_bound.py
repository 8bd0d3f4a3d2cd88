"""A session that is bound to a device is opened only with a proof that is in time."""

import asyncio
from dataclasses import dataclass, field

import pytest

from pgsession import MemoryStore, ProofMissingError, Session, Sessions, SessionSettings, UserStore
from pgsession.core.bound import BindingStore
from tests.applications import SECRET
from tests.dbsc.browser import BindingBrowser
from tests.dbsc.site import BOUND, NAME, PERIOD, prove_briefly, signed_in, site
from tests.outside.site import Headers


def sessions_of(store: UserStore, **settings: object) -> Sessions:
    given = {"secret_key": SECRET, "device_binding": PERIOD, **settings}
    return Sessions(store, settings=SessionSettings(**given))  # type: ignore[arg-type] # settings


@dataclass
class Kept:
    """A site that keeps the session of each request to its page, and its `Sessions`."""

    store: BindingStore
    kept: list[Session] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.app = site(self.store, self.keep)
        self.sessions = sessions_of(self.store)

    async def keep(self, session: Session) -> None:
        self.kept.append(session)

    async def look(self, browser: BindingBrowser) -> Session:
        """Visit the page, and return its session."""
        await browser.visit("/page")
        return self.kept[-1]


def headers_of(browser: BindingBrowser, *names: str) -> Headers:
    """Return the headers with these cookies of a browser."""
    cookies = browser.copy_of_cookies()
    return [(b"cookie", "; ".join(f"{name}={cookies[name]}" for name in names).encode())]


@pytest.fixture
def store() -> BindingStore:
    """One store is enough here: the middleware decides, by its own clock."""
    return MemoryStore()


@pytest.fixture
def bound(store: BindingStore) -> Kept:
    return Kept(store)


async def test_cookie(bound: Kept) -> None:
    """The bound cookie beside the session's opens it; the session's alone does not."""
    browser = await signed_in(bound.app)

    async with bound.sessions.open(headers_of(browser, NAME, BOUND)) as session:
        assert session.device_bound
        session["n"] = 1
    with pytest.raises(ProofMissingError, match="bound to a device"):
        async with bound.sessions.open(headers_of(browser, NAME)):
            pass

    assert (await browser.visit("/members")).json() == {"n": 1}


async def test_over(bound: Kept) -> None:
    """After the end of the proof neither the headers nor the request's session open it, and a block
    that goes on for longer saves nothing.
    """
    browser = await signed_in(bound.app)
    await prove_briefly(browser, bound.store)
    kept, headers = await bound.look(browser), headers_of(browser, NAME, BOUND)

    async def work() -> None:
        async with bound.sessions.open(kept) as session:
            session["n"] = 1
            assert session.device_bound
            async with asyncio.timeout(10):
                await session.ended()

    with pytest.raises(ProofMissingError, match="in time"):
        await work()
    for source in (kept, headers):
        with pytest.raises(ProofMissingError, match="in time"):
            async with bound.sessions.open(source):
                pass
    browser.cookies.delete(BOUND)
    await browser.refresh()
    assert (await browser.visit("/members")).json() == {}


async def test_refreshed(bound: Kept) -> None:
    """A later request with a proof of its own leads to the session again."""
    browser = await signed_in(bound.app)

    async with bound.sessions.open(await bound.look(browser)) as session:
        session["n"] = 1

    assert (await browser.visit("/members")).json() == {"n": 1}


async def test_registered_since(bound: Kept) -> None:
    """A request from before the binding, which needed no proof, opens the session no more once the
    binding is in force.
    """
    browser = BindingBrowser(bound.app, registers=False)
    response = await browser.visit("/login")
    kept = await bound.look(browser)
    async with bound.sessions.open(kept) as session:
        assert not session.device_bound
    await browser.register(response.headers["secure-session-registration"])
    await browser.visit("/look")

    for source in (kept, session, headers_of(browser, NAME)):
        with pytest.raises(ProofMissingError):
            async with bound.sessions.open(source):
                pass


async def test_request_without(bound: Kept) -> None:
    """The session of a request that came without its proof is not opened."""
    browser = await signed_in(bound.app)
    browser.cookies.delete(BOUND)

    with pytest.raises(ProofMissingError):
        async with bound.sessions.open(await bound.look(browser)):
            pass


async def test_required(bound: Kept) -> None:
    """Where a bound session is required, one that is not bound is not opened."""
    browser = BindingBrowser(bound.app, registers=False)
    await browser.visit("/login")
    headers = headers_of(browser, NAME)
    strict = sessions_of(bound.store, require_device_binding=lambda scope: scope["path"] == "/bank")

    async with strict.open(headers) as session:
        assert session.user_id == "ann"
    with pytest.raises(ProofMissingError):
        async with strict.open({"type": "websocket", "path": "/bank", "headers": headers}):
            pass


async def test_process_without(bound: Kept) -> None:
    """A process without `device_binding` looks at no proof, as its requests do."""
    browser = await signed_in(bound.app)
    plain = Sessions(bound.store, SECRET)

    async with plain.open(headers_of(browser, NAME)) as session:
        assert session.user_id == "ann"
    async with plain.open(await bound.look(browser)) as session:
        assert session.user_id == "ann"
