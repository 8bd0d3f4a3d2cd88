"""Requests and streams that go on for longer than the proof with which they came."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from starlette.types import Message, Receive, Scope, Send

from pgsession import (
    MemoryStore,
    PostgresStore,
    ProofMissingError,
    Session,
    SessionEndedError,
    SessionMiddleware,
    SessionNotFoundError,
    SessionSettings,
)
from pgsession.core.bound import BindingStore
from pgsession.core.tracked import state_of
from tests.applications import SECRET
from tests.dbsc.browser import BindingBrowser
from tests.dbsc.site import BOUND, NAME, PERIOD, bound_of, prove_briefly, signed_in, site

Operation = Callable[[Session], Awaitable[object]]


@pytest.fixture
def store() -> BindingStore:
    """One store is enough for most tests here: the middleware decides, by its own clock."""
    return MemoryStore()


async def _save(session: Session) -> None:
    session["n"] = 1
    await session.save()


async def _reload(session: Session) -> None:
    await session.reload()


async def _hold(session: Session) -> None:
    async with session.exclusive():
        session["n"] = 1


async def _devices(session: Session) -> None:
    await session.devices()


OPERATIONS = [_save, _reload, _hold, _devices]


def ended_then(page: Operation) -> Operation:
    """Return a page that waits for the end of its session before."""

    async def wait(session: Session) -> None:
        async with asyncio.timeout(10):
            await session.ended()
        await page(session)

    return wait


async def late(store: BindingStore, page: Operation) -> None:
    """Run a page in a request that has outlived its proof."""
    browser = await signed_in(site(store, ended_then(page)))
    await prove_briefly(browser, store)
    await browser.visit("/page")


async def test_read(store: BindingStore) -> None:
    """A page that has only read its session is for no cache if its proof ended before it."""

    async def page(session: Session) -> None:
        session.get("n")

    browser = await signed_in(site(store, ended_then(page)))
    await prove_briefly(browser, store)

    response = await browser.visit("/page")

    assert response.headers["cache-control"] == "private, no-store"


async def test_ended(store: BindingStore) -> None:
    """`ended` returns when the proof ends, though the session lives."""

    async def look(session: Session) -> None:
        assert session.proof_missing
        assert len(await store.devices("ann")) == 1

    await late(store, look)


async def test_lasting(store: BindingStore) -> None:
    """A `lasting` block ends with the proof."""

    async def page(session: Session) -> None:
        with pytest.raises(SessionEndedError):
            async with asyncio.timeout(10), session.lasting():
                await asyncio.Event().wait()

    browser = await signed_in(site(store, page))
    await prove_briefly(browser, store)
    await browser.visit("/page")


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_operations(postgres: PostgresStore, operation: Operation) -> None:
    """After its proof a request neither reads nor writes the session."""

    async def page(session: Session) -> None:
        with pytest.raises(SessionNotFoundError):
            await operation(session)

    await late(postgres, page)
    [device] = await postgres.devices("ann")
    assert device.is_bound


async def test_take(store: BindingStore) -> None:
    """After its proof a request takes nothing out of the session."""

    async def page(session: Session) -> None:
        assert await session.take("n") is None

    browser = await signed_in(site(store, ended_then(page)))
    await browser.visit("/change")
    await prove_briefly(browser, store)
    await browser.visit("/page")
    await browser.refresh()
    assert (await browser.visit("/members")).json() == {"n": 1}


async def test_at_the_start(store: BindingStore) -> None:
    """A response that starts after the proof renews nothing and sets no cookie."""

    async def page(session: Session) -> None:
        session.renew()
        session["n"] = 1

    browser = await signed_in(site(store, ended_then(page)))
    await prove_briefly(browser, store)
    before = browser.copy_of_cookies()[NAME]

    response = await browser.visit("/page")

    assert "set-cookie" not in response.headers
    browser.cookies.delete(BOUND)
    await browser.refresh()
    assert browser.copy_of_cookies()[NAME] == before
    assert (await browser.visit("/look")).json()["user"] == "ann"


async def proved_until_now(session: Session) -> None:
    """Wait for the end of the proof, without an operation that notes it."""
    async with asyncio.timeout(10):
        while not session.proof_missing:  # noqa: ASYNC110 - there is no event to await
            await asyncio.sleep(0.05)


async def test_waiting_later(store: BindingStore) -> None:
    """A wait that begins after the proof has ended is over at once, also after the response."""

    async def page(session: Session) -> None:
        await proved_until_now(session)
        assert not session.device_bound
        with pytest.raises(ProofMissingError):
            session.require_device_binding()
        with pytest.raises(SessionNotFoundError):
            await session.reload()
        async with asyncio.timeout(10):
            await session.ended()
        with pytest.raises(SessionEndedError):
            async with session.lasting():
                pass

    browser = await signed_in(site(store, page))
    await prove_briefly(browser, store)
    await browser.visit("/page")


@pytest.mark.parametrize("change", [Session.renew, Session.confirm])
async def test_saved_in_time(store: BindingStore, change: Callable[[Session], None]) -> None:
    """A new key that was saved in time reaches the browser; what was changed later is not kept."""

    async def page(session: Session) -> None:
        change(session)
        await session.save()
        await proved_until_now(session)
        session["n"] = 1

    browser = await signed_in(site(store, page))
    await prove_briefly(browser, store)
    before = browser.copy_of_cookies()[NAME]
    await browser.visit("/page")

    assert browser.copy_of_cookies()[NAME] != before
    assert (await browser.visit("/look")).json()["missing"]
    browser.cookies.delete(BOUND)
    await browser.refresh()
    assert (await browser.visit("/look")).json()["user"] == "ann"
    assert (await browser.visit("/members")).json() == {}


async def test_login(store: BindingStore) -> None:
    """A login after the proof begins another session, and ends the one of before."""

    async def page(session: Session) -> None:
        session.login("ann")
        await session.save()
        assert not session.proof_missing
        session["n"] = 1

    await late(store, page)

    [device] = await store.devices("ann")
    assert not device.is_bound


async def test_logout(store: BindingStore) -> None:
    """A logout after the proof ends the session."""

    async def page(session: Session) -> None:
        session.logout()

    await late(store, page)

    assert await store.devices("ann") == []


async def test_renewed(store: BindingStore) -> None:
    """A renewal within the request gives it no more time."""

    async def page(session: Session) -> None:
        session.renew()
        await session.save()
        async with asyncio.timeout(10):
            await session.ended()
        with pytest.raises(SessionNotFoundError):
            await session.reload()

    browser = await signed_in(site(store, page))
    await prove_briefly(browser, store)
    await browser.visit("/page")


@pytest.mark.parametrize("wait", [True, False], ids=["waiting", "reloading"])
async def test_begun_before(store: BindingStore, wait: bool) -> None:
    """A request that began before the binding was in force loses the session with it."""
    begun, bound = asyncio.Event(), asyncio.Event()

    async def page(session: Session) -> None:
        begun.set()
        if wait:
            async with asyncio.timeout(10):
                await session.ended()
        else:
            await bound.wait()
            with pytest.raises(SessionNotFoundError):
                await session.reload()
        assert session.proof_missing

    browser = BindingBrowser(site(store, page, watch_every=0.05), registers=False)
    offer = (await browser.visit("/login")).headers["secure-session-registration"]
    request = asyncio.create_task(browser.visit("/page"))
    await begun.wait()
    await browser.register(offer)
    await browser.visit("/look")
    bound.set()

    await request


async def test_judged_again(store: BindingStore) -> None:
    """A request without proof asks again whether its session was bound, once a period is over."""
    begun, bound = asyncio.Event(), asyncio.Event()

    async def page(session: Session) -> None:
        exchange = state_of(session).attachment
        exchange._judged_until = 0.0  # type: ignore[union-attr] # noqa: SLF001 - a period later
        session["n"] = 1
        await session.save()
        begun.set()
        await bound.wait()
        session["n"] = 2
        exchange._judged_until = 0.0  # type: ignore[union-attr] # noqa: SLF001 - as above
        with pytest.raises(SessionNotFoundError):
            await session.save()

    browser = BindingBrowser(site(store, page), registers=False)
    offer = (await browser.visit("/login")).headers["secure-session-registration"]
    request = asyncio.create_task(browser.visit("/page"))
    await begun.wait()
    await browser.register(offer)
    await browser.visit("/look")
    bound.set()

    await request


async def test_socket() -> None:
    """A WebSocket is closed with 4408 when its proof ends, and with 4401 when the session does."""
    store = MemoryStore()
    assert await _code_of_close(store, ends_session=False) == 4408
    assert await _code_of_close(store, ends_session=True) == 4401


async def _code_of_close(store: MemoryStore, *, ends_session: bool) -> object:
    settings = SessionSettings(
        secret_key=SECRET, device_binding=PERIOD, close_websockets=True, watch_every=0.05
    )
    browser = await signed_in(site(store))
    await prove_briefly(browser, store)
    cookies = "; ".join(f"{name}={value}" for name, value in browser.copy_of_cookies().items())
    told: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["session"].user_id == "ann"
        await receive()
        await send({"type": "websocket.accept"})
        if ends_session:
            await store.revoke("ann", bound_of(browser).handle)
        told.append(await receive())

    coming: asyncio.Queue[Message] = asyncio.Queue()
    coming.put_nowait({"type": "websocket.connect"})

    async def send(message: Message) -> None:
        pass

    headers = [(b"cookie", cookies.encode())]
    scope: Scope = {"type": "websocket", "scheme": "wss", "path": "/", "headers": headers}
    async with asyncio.timeout(10):
        await SessionMiddleware(app, store, settings=settings)(scope, coming.get, send)
    return told[0]["code"]
