"""The public API in typed code. mypy and pyright, both strict, check this file too."""

from collections.abc import Awaitable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Literal, TypedDict, assert_type

import httpx
import httpx2
import msgspec
import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool
from pydantic import BaseModel, TypeAdapter
from starlette.applications import Starlette
from starlette.datastructures import Secret
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient, WebSocketTestSession
from starlette.types import ASGIApp, Scope
from starlette.websockets import WebSocket
from starsessions import InMemoryStore, JsonSerializer

from pgsession import (
    Changes,
    CookieSettings,
    Device,
    Entry,
    Flash,
    InvalidPeriodError,
    MemoryStore,
    OldCookie,
    OldSession,
    PostgresStore,
    Predecessor,
    Session,
    SessionEndedError,
    SessionError,
    SessionMiddleware,
    SessionNotFoundError,
    Sessions,
    SessionSettings,
    SignedInUser,
    Store,
    StoreUnavailableError,
    Swept,
    UnsupportedTypeError,
    UserStore,
    Written,
    flashes,
    repost,
    take_flashes,
)
from pgsession.predecessors import DjangoTable, FlaskRedis, StarletteCookie, StarsessionsStore
from pgsession.testing import age, session_of, signed_in, websocket_connect

SECRET = "one-secret-that-is-long-enough-for-it"


async def use(store: Store) -> None:
    """Call every method of the contract once."""
    key = assert_type(await store.generate({"user": 1}, period=timedelta(hours=1)), str)
    entry = assert_type(await store.get(key), Entry | None)
    assert entry is not None
    assert_type(entry.value, dict[str, Any] | None)
    assert_type(entry.period, timedelta)
    assert_type(entry.granted, timedelta | None)
    assert_type(entry.lifetime, timedelta | None)
    written = assert_type(await store.set(key, {"user": 2}, period=60), Written)
    assert_type(written.granted, timedelta | None)
    assert_type(written.number, int)
    await store.merge(key, Changes(set={"cart": []}, removed={"user"}), period=0.5)
    await store.touch(key, period=timedelta(days=1), granted=True)
    renewed = assert_type(await store.renew(key), str)
    async with store.exclusive(renewed, timeout=1) as held:
        assert_type(held, Store)
        await held.merge(renewed, Changes(set={"code": "x"}))
    assert await store.take(renewed, "code", None) == "x"
    assert_type(await store.clear(renewed, only_if_empty=True), bool)
    store.default_period = 60
    assert_type(store.default_period, timedelta)
    assert_type(store.max_lifetime, timedelta | None)
    assert_type(store.value_limit, int)
    assert_type(await store.open(), bool)
    await store.close()


async def test_repost() -> None:
    """`repost` returns a response or None, and takes the names of fields in any sequence."""
    request = Request({"type": "http", "method": "GET", "headers": []})

    assert assert_type(await repost(request, ("SAMLResponse",)), Response | None) is None


async def test_memory_store() -> None:
    """A `MemoryStore` is a `Store`, by its structure and in use."""
    store = MemoryStore(default_period=60, max_lifetime=timedelta(days=1), value_limit=1000)

    await use(store)

    assert store.default_period == timedelta(minutes=1)


async def who(store: PostgresStore | MemoryStore) -> list[SignedInUser]:
    """Ask who is signed in, list and end the sessions of a user, as in docs/how-to/testing.md."""
    users = assert_type(
        await store.signed_in(by="seen", most=10, skip=0, among=["ann"]), list[SignedInUser]
    )
    own: UserStore = store
    assert_type(await own.devices("ann"), list[Device])
    assert_type(await own.revoke_all("ann"), int)
    return users


async def test_signed_in() -> None:
    """A store that the middleware gets can be asked who is signed in, with either class."""
    store: PostgresStore | MemoryStore = MemoryStore()
    SessionMiddleware(Starlette(), store, SECRET)

    assert await who(store) == []


async def sweep(store: PostgresStore) -> None:
    """Sweep with and without a progress callback."""
    swept = assert_type(await store.sweep(), Swept)
    assert_type(swept.rows, int)
    assert_type(swept.pages, int)
    assert_type(swept.total, int)
    assert_type(swept.seconds, float)
    assert_type(swept.is_whole, bool)
    await store.sweep(progress=lambda so_far: print(so_far.rows))  # noqa: T201 - an example


def test_postgres_store() -> None:
    """A `PostgresStore` is a `Store`; it takes a conninfo, keywords or a pool."""
    pool: AsyncConnectionPool[AsyncConnection[TupleRow]] = AsyncConnectionPool(open=False)

    stores: list[Store] = [
        PostgresStore("postgresql:///app", pool_size=10, timeout=2.5, prepared=False),
        PostgresStore(host="localhost", port=5432, dbname="app", user="app"),
        PostgresStore(pool, schema="web", default_period=60),
        PostgresStore("postgresql:///app", sweep_every=timedelta(hours=1)),
        PostgresStore("postgresql:///app", sweep_every=None),
    ]

    assert [store.default_period for store in stores] == [
        timedelta(days=7),
        timedelta(days=7),
        timedelta(minutes=1),
        timedelta(days=7),
        timedelta(days=7),
    ]


async def wait(session: Session) -> str:
    """Wait for the end of a session, in both ways."""
    try:
        async with session.lasting():
            await session.ended()
    except SessionEndedError as error:
        return str(error)
    return ""


async def count(request: Request) -> Response:
    """Count a visitor's requests; for Starlette, `request.session` is a dict."""
    session = request.session
    session["count"] = session.get("count", 0) + 1
    if isinstance(session, Session):
        assert_type(session.period, timedelta)
        assert_type(session.granted, timedelta | None)
        assert_type(session.is_new, bool)
        assert_type(session.accessed, bool)
        assert_type(session.modified, bool)
        assert_type(session.is_unavailable, bool)
        session.period = 60
        session.period = timedelta(days=30)
        session.period = None
        session.renew()
        await session.save()
        await session.reload()
        async with session.exclusive(timeout=1):
            session["checked"] = True
        assert await session.take("checked", default=False) is True
    return JSONResponse(session)


@dataclass
class Cart:
    """A dataclass."""

    items: list[str] = field(default_factory=list[str])


class Preferences(TypedDict, total=False):
    """A TypedDict."""

    theme: str


class Struct(msgspec.Struct):
    """A Struct."""

    n: int = 0


class Model(BaseModel):
    """A pydantic model."""

    n: int = 0


def test_typed() -> None:
    """A typed object is of the type of its model, or None if that is the default."""
    session = Session()

    assert_type(session.typed(Cart, "cart"), Cart)
    assert_type(session.typed(Cart, "other", default=None), Cart | None)
    assert_type(session.typed(Cart, "given", default=Cart(["pen"])), Cart)
    assert_type(session.typed(Preferences), Preferences)
    assert_type(session.typed(Preferences, "theme", default=None), Preferences | None)
    assert_type(session.typed(Struct), Struct)
    assert_type(session.typed(Model), Model)
    assert_type(session.typed(list[int], "numbers"), list[int])
    adapter = TypeAdapter(set[int])
    assert_type(session.typed(adapter, "set", default=None), set[int] | None)
    assert_type(session.typed(adapter, "set", default={1}), set[int])

    assert not session.modified


async def test_flashes() -> None:
    """Flash messages have a text and a category."""
    session = Session()
    session.flash("Saved.", category="success")
    request = Request({"type": "http", "method": "GET", "headers": [], "session": session})

    await take_flashes(request)
    (message,) = assert_type(flashes(request), list[Flash])
    assert_type(message.text, str)
    assert_type(message.category, str)
    assert assert_type(flashes(request), list[Flash]) == await session.flashes() == [message]


def choose(scope: Scope) -> Literal["refuse", "anonymous"]:
    return "anonymous" if scope["path"] == "/" else "refuse"


def choose_cookie(scope: Scope) -> str:
    return "shop" if scope["path"] == "/" else "admin"


def answer(_connection: HTTPConnection, _error: StoreUnavailableError) -> Response:
    return Response(status_code=503)


async def answer_slowly(_connection: HTTPConnection, _error: StoreUnavailableError) -> ASGIApp:
    return Response(status_code=503)


def is_socket(scope: Scope) -> bool:
    return bool(scope["type"] == "websocket")


def test_middleware() -> None:
    """The middleware is added to an application with Starlette's keywords."""
    app = Starlette(
        routes=[Route("/", count)],
        middleware=[
            Middleware(
                SessionMiddleware,
                store=MemoryStore(),
                secret_key=[SECRET, Secret(SECRET), SECRET.encode()],
                session_cookie="sid",
                max_age=14 * 24 * 60 * 60,
                path="/",
                same_site="strict",
                https_only=True,
                domain=None,
                partitioned=False,
                exclude=["/static"],
                on_unavailable="anonymous",
            )
        ],
    )

    with TestClient(app, base_url="https://testserver") as client:
        answers = [client.get("/").json() for _ in range(2)]

    assert answers == [{"count": 1}, {"count": 2}]


def check_test_client(client: TestClient) -> None:
    """Use the helpers for tests with a `TestClient`."""
    assert_type(signed_in(client, "ann", {"cart": [1]}, period=60, label="x"), TestClient)
    assert_type(session_of(client), AbstractContextManager[Session])
    age(client, days=1, hours=1.5, minutes=1, seconds=1)
    assert_type(websocket_connect(client, "/ws", ["chat"], headers={}), WebSocketTestSession)


def check_async_clients(first: httpx.AsyncClient, second: httpx2.AsyncClient) -> None:
    """Use the helpers for tests with the `AsyncClient` of each library."""
    assert_type(signed_in(first, "ann", stamp="1"), Awaitable[httpx.AsyncClient])
    assert_type(signed_in(second, "ann", actor_id="root"), Awaitable[httpx2.AsyncClient])
    assert_type(session_of(first), AbstractAsyncContextManager[Session])
    assert_type(session_of(second), AbstractAsyncContextManager[Session])
    assert_type(age(first, days=8), Awaitable[None])
    assert_type(age(second, minutes=5), Awaitable[None])


def test_settings() -> None:
    """The middleware can be configured with settings only, or with settings and a store."""
    settings = SessionSettings(
        secret_key=SECRET,
        database_url="postgresql:///app",
        default_period=timedelta(days=1),
        assurance_level=1,
        max_age=None,
        touch_after=60.0,
        exclude=is_socket,
        excluded_session="absent",
        unavailable_response=answer,
        on_unavailable=choose,
    )
    assert_type(SessionSettings.from_env({"SESSION_SECRET_KEY": SECRET}), SessionSettings)
    app = Starlette(
        routes=[Route("/", count)], middleware=[Middleware(SessionMiddleware, settings=settings)]
    )
    app.add_middleware(SessionMiddleware, settings=settings, store=MemoryStore(max_lifetime=60))

    assert_type(settings.make_store(), PostgresStore)


def test_several_hosts() -> None:
    """The cookies of several hosts are given by name, with a function that chooses one."""
    settings = SessionSettings(
        secret_key=SECRET,
        unavailable_response=answer_slowly,
        cookies={"shop": CookieSettings(session_cookie="shop"), "admin": CookieSettings()},
        choose_cookie=choose_cookie,
    )

    middleware = SessionMiddleware(Starlette(), MemoryStore(), settings=settings)

    assert_type(middleware.session_cookies, tuple[str, ...])
    assert_type(settings.with_cookie(CookieSettings(domain="a.example")), SessionSettings)


def test_errors() -> None:
    """Errors can be caught as errors of this package or as builtins."""
    by_builtin: Mapping[type[SessionError], type[Exception]] = {
        SessionNotFoundError: LookupError,
        StoreUnavailableError: ConnectionError,
        UnsupportedTypeError: TypeError,
        InvalidPeriodError: ValueError,
    }

    for error, builtin in by_builtin.items():
        with pytest.raises(builtin):
            raise error("…")


async def open_outside(sessions: Sessions, request: Request, socket: WebSocket) -> None:
    """Open a session from each of the sources."""
    headers: list[tuple[bytes, bytes]] = request.scope["headers"]
    environ: dict[str, Any] = {"asgi.scope": request.scope}
    for source in (request, socket, request.scope, request.session, request.headers, environ):
        async with sessions.open(source) as session:
            assert_type(session, Session)
    async with sessions.open(headers, extend=False) as session, sessions.open(session) as again:
        assert_type(again.user_id, str | None)
    assert_type(sessions.store, Store)


def make_sessions() -> None:
    """Make `Sessions` in each way, and give them to the middleware."""
    settings = SessionSettings(secret_key=SECRET)
    Sessions(store=MemoryStore(), settings=settings)
    sessions = Sessions(MemoryStore(), SECRET)
    Starlette(middleware=[Middleware(SessionMiddleware, sessions=sessions)])


class OwnCookie(OldCookie):
    """Sessions from before a switch, of an application's own."""

    async def load(self, value: str) -> OldSession | None:
        """Return nothing."""
        return OldSession({"a": value}, value, timedelta(days=1))


def predecessors(pool: AsyncConnectionPool) -> list[Predecessor]:
    """Return each predecessor, with its settings."""
    until = date(2027, 2, 1)
    return [
        OwnCookie(until=until, name="sid", accept=accept),
        StarletteCookie("old", until=until, max_age=None, user_id=lambda it: it.get("user_id")),
        StarletteCookie(Secret("old"), until=until, delete=True, path="/app"),
        StarsessionsStore(InMemoryStore(), until=until, lifetime=60, serializer=JsonSerializer()),
        FlaskRedis(Redis(), until=until, serialization_format="json", key_prefix="s:"),
        DjangoTable(pool, "a", fallbacks=["b"], until=until, table="web.django_session"),
    ]


class Redis:
    """What an asynchronous client of Redis has."""

    async def get(self, name: str) -> bytes | None:
        """Return what there is."""
        return name.encode()


async def accept(content: Mapping[str, Any]) -> bool:
    """Return whether old content counts."""
    return bool(content)


def test_predecessors() -> None:
    """Each predecessor is a setting."""
    made = predecessors(AsyncConnectionPool(open=False))

    for each in made:
        assert SessionSettings(secret_key=SECRET, predecessor=each).predecessor is each
