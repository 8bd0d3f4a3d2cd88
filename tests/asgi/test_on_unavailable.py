"""`on_unavailable`: what happens if the session cannot be loaded or saved."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from itertools import count
from typing import Any, Literal

import pytest
from httpx import AsyncClient
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Message, Receive, Scope, Send

from pgsession import (
    MemoryStore,
    PostgresStore,
    Session,
    SessionMiddleware,
    SessionSettings,
    SettingsError,
    StoreUnavailableError,
)
from pgsession.asgi.exchange import Exchange
from pgsession.asgi.policy import Policy
from pgsession.asgi.unavailable import ExtensionPause, OutageLog
from pgsession.core.cookie import Cookie, FoundCookie
from pgsession.core.hidden import Hidden
from pgsession.core.logs import INTERVAL
from pgsession.core.store import Written
from tests.pages import fill, read

KEY = "k" * 40


@pytest.fixture
async def gone(closed_port: int) -> AsyncIterator[PostgresStore]:
    """A store whose server does not run."""
    store = PostgresStore(host="127.0.0.1", port=closed_port)
    yield store
    await store.close()


async def test_anonymous_page(
    visit: Callable[..., AsyncClient], gone: PostgresStore, cookie_of: Callable[[str], str]
) -> None:
    """With "anonymous", a page is served without a session, sets no cookie and is not cached."""
    client = visit(gone, read, on_unavailable="anonymous")

    response = await client.get("/read", headers={"cookie": cookie_of(KEY)})

    assert response.json() == {}
    assert response.headers["vary"] == "Cookie"
    assert response.headers["cache-control"] == "private, no-store"
    assert "set-cookie" not in response.headers


async def test_cacheable_page(
    visit: Callable[..., AsyncClient], gone: PostgresStore, cookie_of: Callable[[str], str]
) -> None:
    """With "anonymous", no cache keeps even a cacheable page: it may be personal again soon."""

    async def cached(_request: Request) -> Response:
        return PlainTextResponse("page", headers={"cache-control": "max-age=60"})

    client = visit(gone, routes=(Route("/", cached),), on_unavailable="anonymous")

    response = await client.get("/", headers={"cookie": cookie_of(KEY)})

    assert response.headers["cache-control"] == "private, no-store"
    assert response.headers["vary"] == "Cookie"


def pop(session: Session) -> None:
    session.pop("user", None)


def popitem(session: Session) -> None:
    session.popitem()


def delete(session: Session) -> None:
    del session["user"]


def clear(session: Session) -> None:
    session.clear()


def update(session: Session) -> None:
    session.update(user="eve")


def setdefault(session: Session) -> None:
    session.setdefault("user", "eve")


def merge(session: Session) -> None:
    session |= {"user": "eve"}


def renew(session: Session) -> None:
    session.renew()


def prolong(session: Session) -> None:
    assert session.period
    session.period = 60


async def save(session: Session) -> None:
    await session.save()


async def reload(session: Session) -> None:
    await session.reload()


async def take(session: Session) -> None:
    await session.take("user")


async def lock(session: Session) -> None:
    async with session.exclusive():
        pass


CHANGES = [
    *(fill, pop, popitem, delete, clear, update, setdefault),
    *(merge, renew, prolong, save, reload, take, lock),
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
async def test_anonymous_change(
    visit: Callable[..., AsyncClient],
    gone: PostgresStore,
    cookie_of: Callable[[str], str],
    change: Callable[[Session], object],
) -> None:
    """Any change of an anonymous session gives a 503, because it could not be saved."""
    client = visit(gone, change, on_unavailable="anonymous")

    response = await client.get(f"/{change.__name__}", headers={"cookie": cookie_of(KEY)})

    assert response.status_code == 503
    assert "set-cookie" not in response.headers


async def test_told_apart(
    visit: Callable[..., AsyncClient], gone: PostgresStore, cookie_of: Callable[[str], str]
) -> None:
    """A handler can tell an unavailable session from a visitor without one."""

    def known(session: Session) -> bool:
        return not session.is_unavailable

    client = visit(gone, known, on_unavailable="anonymous")

    assert (await client.get("/known")).json() is True
    assert (await client.get("/known", headers={"cookie": cookie_of(KEY)})).json() is False


async def test_chosen_by_scope(
    visit: Callable[..., AsyncClient], gone: PostgresStore, cookie_of: Callable[[str], str]
) -> None:
    """A function of the scope decides for each request."""

    def choose(scope: Scope) -> Literal["refuse", "anonymous"]:
        return "anonymous" if scope["path"] == "/read" else "refuse"

    client = visit(gone, read, fill, on_unavailable=choose)
    headers = {"cookie": cookie_of(KEY)}

    statuses = [(await client.get(path, headers=headers)).status_code for path in ("/read", "/x")]

    assert statuses == [200, 503]


async def test_anonymous_socket(
    converse: Callable[..., Awaitable[list[Message]]],
    gone: PostgresStore,
    secret_key: str,
    cookie_of: Callable[[str], str],
) -> None:
    """With "anonymous", a WebSocket is accepted with an anonymous session."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["session"].is_unavailable
        await receive()
        await send({"type": "websocket.accept"})

    middleware = SessionMiddleware(app, gone, secret_key, on_unavailable="anonymous")
    scope = {"type": "websocket", "headers": [(b"cookie", cookie_of(KEY).encode())]}

    (accepted,) = await converse(middleware, scope, {"type": "websocket.connect"})

    assert accepted["type"] == "websocket.accept"
    assert all(name != b"set-cookie" for name, _ in accepted["headers"])


def test_unknown_choice() -> None:
    """An unknown value of `on_unavailable` is rejected by the settings."""
    with pytest.raises(SettingsError, match="on_unavailable"):
        SessionSettings(secret_key="s" * 32, on_unavailable="ignore")  # type: ignore[arg-type]


@pytest.mark.parametrize("choice", ["refuse", "anonymous"])
async def test_one_line(
    *,
    visit: Callable[..., AsyncClient],
    gone: PostgresStore,
    cookie_of: Callable[[str], str],
    caplog: pytest.LogCaptureFixture,
    choice: str,
) -> None:
    """The requests that fail in an outage, however many, give one line in the log."""
    caplog.set_level(logging.INFO, "pgsession")
    client = visit(gone, read, on_unavailable=choice)
    headers = {"cookie": cookie_of(KEY)}

    await asyncio.gather(*(client.get("/read", headers=headers) for _ in range(50)))

    assert [record.levelname for record in caplog.records] == ["ERROR"]


async def test_no_writes(
    visit: Callable[..., AsyncClient],
    caplog: pytest.LogCaptureFixture,
    cookie_of: Callable[[str], str],
) -> None:
    """While a server takes no writes, reads go on, and do not all try to extend their sessions."""
    tries = 0

    class ReadOnlyStore(MemoryStore):
        async def touch(self, *_: Any, **__: Any) -> Written:
            nonlocal tries
            tries += 1
            raise StoreUnavailableError

    store = ReadOnlyStore()
    header = {"cookie": cookie_of(await store.generate({"user": "ann"}, period=60))}
    client = visit(store, read)

    for _ in range(5):
        assert (await client.get("/read", headers=header)).json() == {"user": "ann"}

    assert tries == 1
    (record,) = caplog.records
    assert "could not be extended" in record.message


def test_extension_pause() -> None:
    """A pause ends by itself."""
    now = 0.0
    pause = ExtensionPause(clock=lambda: now)
    assert not pause.is_on()

    pause.begin(StoreUnavailableError())

    now = INTERVAL - 1
    assert pause.is_on()
    now = INTERVAL
    assert not pause.is_on()


async def test_counted_once(gone: PostgresStore, caplog: pytest.LogCaptureFixture) -> None:
    """A request that fails twice, on loading and on a change, counts once in the log."""
    policy = Policy(
        store=gone,
        cookie=Cookie(secret_keys=["s" * 32]),
        max_age="default",
        touch_after=None,
        is_anonymous=lambda _: True,
        outage_log=OutageLog(clock=partial(next, count(step=INTERVAL))),  # a line for each
    )

    async def send(_message: Message) -> None:
        pass

    for _ in range(3):
        exchange = Exchange(policy, {"type": "http", "headers": []}, send)
        assert await exchange.look_up([FoundCookie(Hidden(KEY), None, is_current=True)])
        with pytest.raises(StoreUnavailableError) as refused:
            exchange.session["user"] = "ann"
        assert await exchange.answer_error(refused.value)

    told = [vars(record)["pgsession_requests"] for record in caplog.records[1:]]
    assert told == [2, 3]


async def use(request: Request) -> Response:
    """Use the session in a way that needs the store."""
    assert isinstance(request.session, Session)
    request.session["user"] = "ann"
    await request.session.save()
    return PlainTextResponse("never sent")


async def test_mounted_application(visit: Callable[..., AsyncClient], gone: PostgresStore) -> None:
    """A store failure inside a mounted application gives a 503, not that application's 500."""
    mounted = Starlette(routes=[Route("/", use)], debug=True)

    response = await visit(gone, routes=(Mount("/in", mounted),)).get("/in/")

    assert response.status_code == 503
    assert response.text == "Service Unavailable"


async def test_handled_failure(visit: Callable[..., AsyncClient], gone: PostgresStore) -> None:
    """A handler may handle the store's failure itself."""

    async def deal(request: Request) -> Response:
        try:
            return await use(request)
        except StoreUnavailableError:
            request.session.clear()
            return PlainTextResponse("later", 200)

    response = await visit(gone, routes=(Route("/", deal),)).get("/")

    assert (response.status_code, response.text) == (200, "later")


class Dispatching(BaseHTTPMiddleware):
    """Runs the application in its own task, as many middlewares do."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)


async def grouped(request: Request) -> Response:
    async with asyncio.TaskGroup() as group:
        group.create_task(use(request))
    return PlainTextResponse("never sent")


@pytest.mark.parametrize("inside", [(), (Middleware(Dispatching),)], ids=["plain", "dispatching"])
@pytest.mark.parametrize("handler", [use, grouped], ids=["raised", "in a group"])
async def test_groups(
    visit: Callable[..., AsyncClient],
    gone: PostgresStore,
    handler: Callable[[Request], Any],
    inside: tuple[Middleware, ...],
) -> None:
    """A store failure gives a 503, even inside an exception group."""
    client = visit(gone, routes=(Route("/", handler),), inside=inside)

    response = await client.get("/")

    assert response.status_code == 503


async def test_mixed_group(visit: Callable[..., AsyncClient], gone: PostgresStore) -> None:
    """An exception group that also contains another error is handled as that error."""

    async def fail(_request: Request) -> Response:
        raise ExceptionGroup("two", [StoreUnavailableError("down"), LookupError("a bug")])

    client = visit(gone, routes=(Route("/", fail),), raises=False)

    assert (await client.get("/")).status_code == 500
