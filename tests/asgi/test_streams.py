"""Waiting for the end of a session: `session.ended()` and `session.lasting()`."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from datetime import timedelta
from typing import cast

import pytest
from psycopg import AsyncConnection
from starlette.types import Message, Receive, Scope, Send

from pgsession import (
    Changes,
    MemoryStore,
    PostgresStore,
    RequestEndedError,
    ResponseStartedError,
    Session,
    SessionEndedError,
    SessionError,
    SessionMiddleware,
    SessionNotFoundError,
    SessionSettings,
    SettingsError,
    Store,
)
from pgsession.core.login import Login
from pgsession.core.users import UserStore
from tests.applications import SECRET

CookieOf = Callable[[str], str]
Converse = Callable[..., Awaitable[list[Message]]]

#: How often the sessions are asked for here, in seconds.
EVERY = 0.02

START: Message = {"type": "http.response.start", "status": 200, "headers": []}
BODY: Message = {"type": "http.response.body", "body": b""}

Action = Callable[[Session], Awaitable[object]]


class Visitor:
    """Makes requests with the session of one key. An action is what each of them does."""

    def __init__(self, store: UserStore, key: str, cookie_of: CookieOf, converse: Converse) -> None:
        self.store = store
        self.key = key
        self._cookie_of = cookie_of
        self._converse = converse
        self._settings = SessionSettings(secret_key=SECRET, watch_every=EVERY)

    async def visit(self, early: Action | None = None, late: Action | None = None) -> None:
        """Make a request with actions before and after the start of its response."""

        async def app(scope: Scope, _receive: Receive, send: Send) -> None:
            if early is not None:
                await early(scope["session"])
            await send(START)
            if late is not None:
                await late(scope["session"])
            await send(BODY)

        cookie = self._cookie_of(self.key)
        headers = [(b"cookie", cookie.encode())] if self.key else []
        async with asyncio.timeout(10):
            middleware = SessionMiddleware(app, self.store, settings=self._settings)
            await self._converse(middleware, {"headers": headers})


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> UserStore:
    """Each of the two stores."""
    if request.param == "memory":
        return MemoryStore()
    return cast("UserStore", request.getfixturevalue("postgres"))


@pytest.fixture
async def visitor(store: UserStore, cookie_of: CookieOf, converse: Converse) -> Visitor:
    """Somebody with a session."""
    return Visitor(store, await store.generate({"cart": 1}), cookie_of, converse)


async def rounds(store: UserStore, count: int = 3) -> None:
    """Wait until sessions would have been asked for so often."""
    for _ in range(count):
        await asyncio.sleep(EVERY)
        await store.login_states(["k"])


async def clear(store: UserStore, key: str) -> None:
    await store.clear(key)


async def login(store: UserStore, key: str) -> None:
    await store.login(key, Login("bob"), Changes())


async def logout(store: UserStore, key: str) -> None:
    assert await store.logout(key, 0)


async def expire(store: UserStore, key: str) -> None:
    await store.touch(key, period=timedelta(seconds=-1))


End = Callable[[UserStore, str], Awaitable[None]]
ENDS = pytest.mark.parametrize("end", [clear, login, logout, expire])


@ENDS
async def test_ended(visitor: Visitor, end: End) -> None:
    """`ended()` returns after a logout, a login, a deletion and an expiry elsewhere."""

    async def wait(session: Session) -> None:
        waiting = asyncio.ensure_future(session.ended())
        await rounds(visitor.store)
        assert not waiting.done()
        await end(visitor.store, visitor.key)
        await waiting
        await session.ended()

    await visitor.visit(late=wait)


@ENDS
async def test_lasting(visitor: Visitor, end: End) -> None:
    """A `lasting` block is cancelled then, and raises `SessionEndedError`."""

    async def block(session: Session) -> None:
        async with session.lasting():
            await asyncio.Event().wait()

    async def wait(session: Session) -> None:
        blocked = asyncio.ensure_future(block(session))
        await rounds(visitor.store)
        assert not blocked.done()
        await end(visitor.store, visitor.key)
        with pytest.raises(SessionEndedError):
            await blocked
        with pytest.raises(SessionEndedError):
            await block(session)

    await visitor.visit(late=wait)


async def test_often(visitor: Visitor) -> None:
    """A stream that enters a short block again and again learns of the end all the same."""

    async def loop(session: Session) -> None:
        while True:
            async with session.lasting():
                await asyncio.sleep(EVERY / 10)

    async def wait(session: Session) -> None:
        await visitor.store.clear(visitor.key)
        with pytest.raises(SessionEndedError):
            await loop(session)

    await visitor.visit(late=wait)


async def renew(store: UserStore, key: str) -> None:
    await store.renew(key)


async def confirm(store: UserStore, key: str) -> None:
    await store.confirm(key)


@pytest.mark.parametrize("retire", [renew, confirm])
async def test_retired(visitor: Visitor, retire: End, caplog: pytest.LogCaptureFixture) -> None:
    """A stream whose key another request has retired goes on, and writes no more: `save()` raises,
    and late changes are one line in the log.
    """
    caplog.set_level(logging.INFO, "pgsession")

    async def go_on(session: Session) -> None:
        waiting = asyncio.ensure_future(session.ended())
        await retire(visitor.store, visitor.key)
        await rounds(visitor.store)
        session["late"] = 1
        with pytest.raises(SessionNotFoundError):
            await session.save()
        await rounds(visitor.store)
        assert not waiting.done()
        waiting.cancel()
        beside = asyncio.ensure_future(session.ended())
        await rounds(visitor.store)
        assert not beside.done()

    async def change(session: Session) -> None:
        await retire(visitor.store, visitor.key)
        session["late"] = 1

    await visitor.visit(late=go_on)
    assert caplog.messages == []
    visitor.key = await visitor.store.generate({})
    await visitor.visit(late=change)
    assert caplog.messages == ["A session ended before the changes of a long response were saved."]


async def test_retired_then_ended(visitor: Visitor) -> None:
    """A stream whose key was retired still learns of the end, also after a `save()` that failed."""

    async def wait(session: Session) -> None:
        key = await visitor.store.renew(visitor.key)
        session["late"] = 1
        with pytest.raises(SessionNotFoundError):
            await session.save()
        waiting = asyncio.ensure_future(session.ended())
        await rounds(visitor.store)
        assert not waiting.done()
        await visitor.store.clear(key)
        await waiting

    await visitor.visit(late=wait)


async def test_own_login(visitor: Visitor) -> None:
    """A login of the request itself ends none of its streams, also those that it had before."""
    waiting: list[asyncio.Future[None]] = []

    async def sign_in(session: Session) -> None:
        waiting.append(asyncio.ensure_future(session.ended()))
        await asyncio.sleep(0)
        session.login("ann")
        await session.save()

    async def stream(session: Session) -> None:
        waiting.append(asyncio.ensure_future(session.ended()))
        await rounds(visitor.store)
        assert not any(each.done() for each in waiting)
        assert await visitor.store.revoke_all("ann") == 1
        await asyncio.gather(*waiting)

    await visitor.visit(sign_in, stream)


async def test_own_logout(visitor: Visitor) -> None:
    """After a logout of the request itself `ended()` returns at once, also before its commit."""
    waiting: list[asyncio.Future[None]] = []

    async def sign_out(session: Session) -> None:
        waiting.append(asyncio.ensure_future(session.ended()))
        await asyncio.sleep(0)
        session.logout()
        async with asyncio.timeout(EVERY / 2):
            await session.ended()

    async def stream(session: Session) -> None:
        async with asyncio.timeout(EVERY / 2):
            await session.ended()
            await asyncio.gather(*waiting)

    await visitor.visit(sign_out, stream)


@pytest.mark.parametrize("streams", [False, True], ids=["page", "stream"])
async def test_around_own_logout(visitor: Visitor, cookie_of: CookieOf, *, streams: bool) -> None:
    """A block around a response which signs out does not cut it off, unless it is a stream."""
    key = await visitor.store.login(visitor.key, Login("ann"), Changes())
    sent: list[Message] = []

    async def app(scope: Scope, _: Receive, send: Send) -> None:
        async with scope["session"].lasting():
            scope["session"].logout()
            await send(START)
            await send({**BODY, "more_body": streams})
            if streams:
                await asyncio.Event().wait()

    async def send(message: Message) -> None:
        await asyncio.sleep(0)  # as a server whose buffer is full
        sent.append(message)

    settings = SessionSettings(secret_key=SECRET, watch_every=EVERY)
    middleware = SessionMiddleware(app, visitor.store, settings=settings)
    headers = [(b"cookie", cookie_of(key).encode())]
    async with asyncio.timeout(10):
        with pytest.raises(SessionEndedError) if streams else nullcontext():
            await middleware({"type": "http", "headers": headers}, asyncio.Event().wait, send)  # type: ignore[arg-type] # never called

    assert [message["type"] for message in sent][:2] == [START["type"], BODY["type"]][: 2 - streams]
    assert await visitor.store.get(key) is None


async def test_own_clear(visitor: Visitor) -> None:
    """A first wait after this request has ended its user's session returns at once."""
    visitor.key = await visitor.store.login(visitor.key, Login("ann"), Changes())

    async def sign_out(session: Session) -> None:
        session.clear()

    async def stream(session: Session) -> None:
        async with asyncio.timeout(EVERY / 2):
            await session.ended()

    await visitor.visit(sign_out, stream)


async def test_logout_after_renewal_elsewhere(visitor: Visitor) -> None:
    """A logout ends the streams of its request at once, though another one has renewed the key."""

    async def sign_out(session: Session) -> None:
        await visitor.store.renew(visitor.key)
        session["late"] = 1
        with pytest.raises(SessionNotFoundError):
            await session.save()
        session.logout()

    async def stream(session: Session) -> None:
        async with asyncio.timeout(EVERY / 2):
            await session.ended()

    await visitor.visit(sign_out, stream)


async def test_logout_and_new_content(visitor: Visitor) -> None:
    """What waits before a logout is told, and what waits after it waits for the new session."""
    waiting: list[asyncio.Future[None]] = []

    async def sign_out(session: Session) -> None:
        waiting.append(asyncio.ensure_future(session.ended()))
        await asyncio.sleep(0)
        session.logout()
        session["message"] = "Goodbye"

    async def stream(session: Session) -> None:
        await asyncio.gather(*waiting)
        again = asyncio.ensure_future(session.ended())
        await rounds(visitor.store)
        assert not again.done()

    await visitor.visit(sign_out, stream)


async def test_new_row(visitor: Visitor) -> None:
    """What waits before the session has a row waits for the end of the row that it gets."""
    visitor.key = ""
    waiting: list[asyncio.Future[None]] = []

    async def fill(session: Session) -> None:
        waiting.append(asyncio.ensure_future(session.ended()))
        await rounds(visitor.store)
        session.login("ann")

    async def stream(_session: Session) -> None:
        await rounds(visitor.store)
        assert not waiting[0].done()
        await visitor.store.revoke_all("ann")
        await waiting[0]

    await visitor.visit(fill, stream)


async def test_request_over(visitor: Visitor) -> None:
    """What still waits when its request ends is cancelled."""
    waiting: list[asyncio.Future[None]] = []

    async def begin(session: Session) -> None:
        waiting.append(asyncio.ensure_future(session.ended()))
        await asyncio.sleep(0)

    await visitor.visit(late=begin)
    await asyncio.wait(waiting)

    assert waiting[0].cancelled()


async def test_block_outlives_request(visitor: Visitor) -> None:
    """A `lasting` block of a task that outlives its request is still cancelled at the end of the
    session; another one cannot begin there.
    """
    blocked: list[asyncio.Future[None]] = []

    async def block(session: Session) -> None:
        async with session.lasting():
            await asyncio.Event().wait()

    async def work(session: Session) -> None:
        try:
            await block(session)
        finally:
            with pytest.raises(RequestEndedError):
                await block(session)

    async def begin(session: Session) -> None:
        blocked.append(asyncio.ensure_future(work(session)))
        await asyncio.sleep(0)

    await visitor.visit(late=begin)
    await rounds(visitor.store)
    assert not blocked[0].done()
    await visitor.store.clear(visitor.key)
    async with asyncio.timeout(5):
        with pytest.raises(SessionEndedError):
            await blocked[0]


async def test_cancelled_from_outside(visitor: Visitor) -> None:
    """A cancellation of the task by others stays one, also if the session ends at the same time."""

    async def block(session: Session) -> None:
        async with session.lasting():
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            await asyncio.Event().wait()

    async def wait(session: Session) -> None:
        early = asyncio.ensure_future(block(session))
        await asyncio.sleep(0)
        early.cancel()
        await asyncio.sleep(0)
        await visitor.store.clear(visitor.key)
        await session.ended()
        await asyncio.wait([early])
        assert early.cancelled()

    await visitor.visit(late=wait)


async def test_error_of_block(visitor: Visitor) -> None:
    """An error of the block is raised, and nothing of the block cancels the task later."""

    async def block(session: Session) -> None:
        async with session.lasting():
            await visitor.store.clear(visitor.key)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise LookupError from None

    async def wait(session: Session) -> None:
        with pytest.raises(LookupError):
            await block(session)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await asyncio.sleep(EVERY)

    await visitor.visit(late=wait)


async def test_block_done_first(visitor: Visitor) -> None:
    """A block that is done in the moment in which the session ends raises `SessionEndedError`, and
    its task is not cancelled afterwards.
    """

    async def sign_out(session: Session) -> None:
        async with session.lasting():
            session.logout()
            await session.save()

    async def wait(session: Session) -> None:
        with pytest.raises(SessionEndedError):
            await sign_out(session)
        await asyncio.sleep(EVERY)

    await visitor.visit(late=wait)


async def test_block_without_suspension(visitor: Visitor) -> None:
    """A stream whose blocks never suspend ends all the same: none begins after the end."""
    entered = 0

    async def block(session: Session) -> None:
        nonlocal entered
        async with session.lasting():
            entered += 1

    async def wait(session: Session) -> None:
        await block(session)
        beside = asyncio.ensure_future(session.ended())
        await visitor.store.clear(visitor.key)
        await beside
        with pytest.raises(SessionEndedError):
            await block(session)
        assert entered == 1

    await visitor.visit(late=wait)


class Userless(MemoryStore):
    """A store without users."""

    login_states = property()


async def test_userless(cookie_of: CookieOf, converse: Converse) -> None:
    """`ended` and `lasting` are errors with a store that keeps no users."""
    store = Userless()
    visitor = Visitor(store, await store.generate({}), cookie_of, converse)

    async def wait(session: Session) -> None:
        with pytest.raises(SessionError, match="keeps no users"):
            await session.ended()
        with pytest.raises(SessionError, match="keeps no users"):
            async with session.lasting():
                pass

    await visitor.visit(late=wait)


def test_userless_closing() -> None:
    """`close_websockets` is rejected with such a store."""
    settings = SessionSettings(secret_key=SECRET, close_websockets=True)
    store: Store = Userless()
    with pytest.raises(SettingsError, match="close_websockets"):
        SessionMiddleware(_nothing, store, settings=settings)


@pytest.mark.parametrize("every", [0, -1, None])
def test_watch_every(every: float | None) -> None:
    """`watch_every` must be positive."""
    with pytest.raises(SettingsError, match="watch_every"):
        SessionSettings(secret_key=SECRET, watch_every=every)  # type: ignore[arg-type] # None too


async def test_late_login(visitor: Visitor) -> None:
    """A login after the response has started is an error, so it ends no stream."""

    async def sign_in(session: Session) -> None:
        waiting = asyncio.ensure_future(session.ended())
        with pytest.raises(ResponseStartedError):
            session.login("ann")
        await rounds(visitor.store)
        assert not waiting.done()

    await visitor.visit(late=sign_in)


async def test_revoked_by_itself(
    postgres: PostgresStore, database_url: str, cookie_of: CookieOf, converse: Converse
) -> None:
    """A stream whose request revokes its own session ends when that transaction commits."""
    key = await postgres.login(None, Login("ann"), Changes())
    visitor = Visitor(postgres, key, cookie_of, converse)

    async def wait(session: Session) -> None:
        async with await AsyncConnection.connect(database_url) as connection:
            waiting = asyncio.ensure_future(session.ended())
            assert await postgres.revoke_all("ann", connection=connection) == 1
            await rounds(postgres)
            assert not waiting.done()
        await waiting

    await visitor.visit(late=wait)


async def _nothing(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Serve nothing."""
