"""The peers. Each is a whole application with the same four pages."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import starsessions
from redis.asyncio import ConnectionPool, Redis, UnixDomainSocketConnection
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware as CookieMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starsessions.stores.redis import RedisStore

from benchmarks.peers import bound as binding
from benchmarks.peers.naive import GENERATE, GET, NaiveStore
from benchmarks.servers import Places
from benchmarks.values import SECRET, VALUE, padded
from pgsession import PostgresStore, Session, SessionMiddleware, SessionSettings
from pgsession.core.keys import new_key
from pgsession.core.value import encode_value

#: What a request does with its session.
WORKS = ("none", "read", "write")

PLAIN = SessionSettings(secret_key=SECRET, https_only=False, telemetry=False)

Page = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Peer:
    """One of the applications that are compared."""

    title: str
    make: Callable[[Places], Starlette]
    works: tuple[str, ...] = WORKS
    #: The server that holds its sessions: "postgres", "redis" or None.
    keeps_in: str | None = None
    #: Binds the sessions of some cookies to a device; returns the cookies that a request brings.
    bind: Callable[[Places, list[bytes]], Awaitable[list[bytes]]] | None = None


def page(text: str) -> Response:
    """Return the response of a page."""
    return PlainTextResponse(text)


async def none(_: Request) -> Response:
    """Do not use the session."""
    return page("ok")


async def read(request: Request) -> Response:
    """Read the session."""
    return page(request.session["name"])


async def write(request: Request) -> Response:
    """Change the session."""
    request.session["count"] += 1
    return page("ok")


async def start(request: Request) -> Response:
    """Begin a session of a size in bytes, if one is given."""
    request.session.update(padded(int(request.query_params.get("size", 0))))
    return page("ok")


async def sign_in(request: Request) -> Response:
    """Begin the session of a user."""
    session = request.session
    assert isinstance(session, Session)  # noqa: S101 - for the type checker
    session.login(secrets.token_hex(16))
    session.update(VALUE)
    return page("ok")


def loading(endpoint: Page) -> Page:
    """Return a page that first loads its session; starsessions does not load it automatically."""

    async def load_first(request: Request) -> Response:
        await starsessions.load_session(request)
        return await endpoint(request)

    return load_first


def routes(*pages: Page) -> list[Route]:
    """Return a route for each page."""
    names = (*WORKS, "start")
    return [Route(f"/{name}", endpoint) for name, endpoint in zip(names, pages, strict=True)]


def bare(_: Places) -> Starlette:
    """Return the application without sessions."""
    return Starlette(routes=routes(none, none, none, none))


def cookie(_: Places) -> Starlette:
    """Return Starlette's middleware: the whole session is in a signed cookie."""
    middleware = [Middleware(CookieMiddleware, secret_key=SECRET)]
    return Starlette(routes=routes(none, read, write, start), middleware=middleware)


def memory(_: Places) -> Starlette:
    """Return starsessions with a store in the process's memory."""
    return _starsessions(starsessions.InMemoryStore())


def redis(places: Places) -> Starlette:
    """Return starsessions on Redis, with a connection for each caller."""
    pool = ConnectionPool(UnixDomainSocketConnection, path=places.redis, max_connections=1024)
    return _starsessions(RedisStore(connection=Redis(connection_pool=pool)))


def _starsessions(store: starsessions.SessionStore) -> Starlette:
    middleware = [
        Middleware(
            starsessions.SessionMiddleware,
            store=store,
            lifetime=timedelta(days=7),
            cookie_https_only=False,
            cookie_path="/",
        )
    ]
    pages = (none, loading(read), loading(write), loading(start))
    return Starlette(routes=routes(*pages), middleware=middleware)


def select(places: Places) -> Starlette:
    """Return an application with one SELECT per page, without sessions and signatures."""
    pool = places.pool()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with pool:
            yield

    async def read_row(request: Request) -> Response:
        _, line = request.scope["headers"][-1]
        async with pool.connection() as connection:
            cursor = await connection.execute(GET, (line[8:].decode(),), prepare=True)
            row = await cursor.fetchone()
        return page("ok" if row else "")

    async def make_row(_: Request) -> Response:
        key = new_key()
        text = encode_value(VALUE, limit=4096).decode()
        async with pool.connection() as connection:
            await connection.execute(GENERATE, (key, text, 604_800.0))
        response = page("ok")
        response.set_cookie("session", key)
        return response

    return Starlette(routes=routes(none, read_row, none, make_row), lifespan=lifespan)


def naive(places: Places) -> Starlette:
    """Return our middleware with a store that sends one statement per call."""
    return _pgsession(NaiveStore(places.pool()))


def ours(places: Places) -> Starlette:
    """Return our middleware with our store, which makes its own pool, as in the README."""
    return _pgsession(_store(places))


def bound(places: Places) -> Starlette:
    """Return the same with users who have signed in on a device that their requests prove."""
    return _pgsession(_store(places), sign_in, binding.SETTINGS)


def _store(places: Places) -> PostgresStore:
    if places.counting:
        return PostgresStore(places.pool(), telemetry=False)
    return PostgresStore(places.postgres, pool_size=places.pool_size, telemetry=False)


def _pgsession(
    store: NaiveStore | PostgresStore, begin: Page = start, settings: SessionSettings = PLAIN
) -> Starlette:
    middleware = [Middleware(SessionMiddleware, store=store, settings=settings)]
    return Starlette(routes=routes(none, read, write, begin), middleware=middleware)


PEERS: dict[str, Peer] = {
    "bare": Peer("no session", bare),
    "cookie": Peer("Starlette, signed cookie", cookie),
    "memory": Peer("starsessions, memory", memory),
    "redis": Peer("starsessions, Redis", redis, keeps_in="redis"),
    "select": Peer("one bare SELECT", select, works=("read",), keeps_in="postgres"),
    "naive": Peer("one statement a call", naive, keeps_in="postgres"),
    "ours": Peer("pgsession", ours, keeps_in="postgres"),
    "bound": Peer(
        "pgsession, bound to a device",
        bound,
        works=("read", "write"),
        keeps_in="postgres",
        bind=binding.bind,
    ),
}


def available(places: Places) -> dict[str, Peer]:
    """Return the peers whose servers are available."""
    return {
        name: peer
        for name, peer in PEERS.items()
        if peer.keeps_in != "redis" or places.redis is not None
    }
