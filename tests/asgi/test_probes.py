"""Endpoints for probes: alive while the process is, ready while sessions can be served."""

import asyncio
import gc
import logging
from collections.abc import Callable
from functools import partial

import pytest
from fastapi import APIRouter, FastAPI
from httpx import ASGITransport, AsyncClient
from psycopg import Connection
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.types import ASGIApp
from starlette.websockets import WebSocketDisconnect

from pgsession import (
    Entry,
    Liveness,
    MemoryStore,
    PostgresStore,
    Readiness,
    SessionMiddleware,
    SessionSettings,
    SettingsError,
    Store,
    StoreUnavailableError,
)
from pgsession.asgi import probes
from pgsession.asgi.stores import offer_store
from pgsession.core.logs import INTERVAL, Pace
from tests.applications import SECRET


class Failing(MemoryStore):
    """A store whose check fails when it is told to, and counts the checks."""

    def __init__(self) -> None:
        super().__init__()
        self.is_away = False
        self.is_open = False
        self.checks = 0
        self.gets = 0

    async def get(self, key: str) -> Entry | None:
        self.gets += 1
        return await super().get(key)

    async def open(self) -> bool:
        if not self.is_open:
            await self.check()
            self.is_open = True
        return False

    async def check(self) -> None:
        self.checks += 1
        if self.is_away:
            raise StoreUnavailableError("PostgreSQL cannot be reached: db.internal said no.")


class Slotted:
    """A store of another library, which has no `check`, and no room for weak references."""

    __slots__ = ("_store",)

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> object:
        if name == "check":
            raise AttributeError(name)
        return getattr(self._store, name)


class Unchecked(Slotted):
    """A store of another library, which has no `check`."""


def middleware(store: Store, *exclude: str, bare: bool = False) -> list[Middleware]:
    settings = SessionSettings(
        secret_key=SECRET, exclude=exclude, excluded_session="absent" if bare else "error"
    )
    return [Middleware(SessionMiddleware, store, settings=settings)]


def client_of(app: ASGIApp) -> AsyncClient:
    return AsyncClient(transport=ASGITransport(app), base_url="https://testserver")


@pytest.fixture(autouse=True)
def never_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer is given again."""
    monkeypatch.setattr(probes, "_FRESH", 0.0)


def inside(store: Store) -> ASGIApp:
    return Starlette(routes=[Route("/ready", Readiness())], middleware=middleware(store))


def excluded(store: Store) -> ASGIApp:
    return Starlette(routes=[Route("/ready", Readiness())], middleware=middleware(store, "/ready"))


def excluded_bare(store: Store) -> ASGIApp:
    bare = middleware(store, "/ready", bare=True)
    return Starlette(routes=[Route("/ready", Readiness())], middleware=bare)


def mounted(store: Store) -> ASGIApp:
    """Return an application whose middleware stands around the mounted one with the endpoint."""
    inner = Starlette(routes=[Route("/", Readiness())])
    return Starlette(routes=[Mount("/ready", inner)], middleware=middleware(store))


def outside(store: Store) -> ASGIApp:
    """Return an application whose middleware stands in a mounted one, beside the endpoint."""
    inner = Starlette(middleware=middleware(store))
    return Starlette(routes=[Route("/ready", Readiness(store)), Mount("/app", inner)])


def fastapi_route(store: Store) -> ASGIApp:
    app = FastAPI(middleware=middleware(store))
    app.add_route("/ready", Readiness().answer)
    return app


def fastapi_api_route(store: Store) -> ASGIApp:
    app, router = FastAPI(middleware=middleware(store)), APIRouter()
    router.add_api_route("/ready", Readiness().answer, methods=["GET", "HEAD"])
    app.include_router(router)
    return app


def fastapi_mount(store: Store) -> ASGIApp:
    app = FastAPI(middleware=middleware(store))
    app.mount("/ready", Readiness())
    return app


PLACES = [
    inside,
    excluded,
    excluded_bare,
    mounted,
    outside,
    fastapi_route,
    fastapi_api_route,
    fastapi_mount,
]


@pytest.mark.parametrize("place", PLACES)
async def test_places(place: Callable[[Store], ASGIApp]) -> None:
    """Wherever the endpoint stands it finds the store, and its answers are for nobody else."""
    store = Failing()
    async with client_of(place(store)) as client:
        for method in ("GET", "HEAD"):
            store.is_away = False
            ready = await client.request(method, "/ready", follow_redirects=True)
            store.is_away = True
            away = await client.request(method, "/ready", follow_redirects=True)

            assert (ready.status_code, away.status_code) == (200, 503)
            for response in (ready, away):
                assert response.headers["cache-control"] == "no-store"
                assert "set-cookie" not in response.headers
                assert "vary" not in response.headers
            if method == "GET":
                assert (ready.text, away.text) == ("ready", "not ready")


async def test_no_store() -> None:
    """Without a middleware around it and without a store, the endpoint says what is missing."""
    app = Starlette(routes=[Route("/ready", Readiness())])

    async with client_of(app) as client:
        with pytest.raises(SettingsError, match=r"Readiness\(store\)"):
            await client.get("/ready")


@pytest.mark.parametrize("store", [5, PostgresStore, SessionSettings(secret_key=SECRET)])
def test_wrong_store(store: object) -> None:
    """What is no store is rejected at once."""
    with pytest.raises(SettingsError):
        Readiness(store)  # type: ignore[arg-type] # the mistake


def test_wrong_switch() -> None:
    """A text is no switch."""
    with pytest.raises(SettingsError, match="once"):
        Readiness(once="false")  # type: ignore[arg-type] # the mistake


async def test_other_methods() -> None:
    """Other methods than GET and HEAD are rejected, and the store is not asked."""
    store = Failing()
    async with client_of(inside(store)) as client:
        response = await client.post("/ready")

    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD"
    assert store.checks == 0


def test_websocket() -> None:
    """A WebSocket is rejected."""
    app = Starlette(routes=[WebSocketRoute("/ready", Readiness(MemoryStore()))])
    with TestClient(app) as client, pytest.raises(WebSocketDisconnect):
        client.websocket_connect("/ready").__enter__()


async def test_not_checked() -> None:
    """A store of another library is opened, which tells whether sessions can be kept."""
    store: Store = Unchecked(MemoryStore())  # type: ignore[assignment] # all but `check`

    async with client_of(outside(store)) as client:
        assert (await client.get("/ready")).status_code == 200


async def test_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer is given again for a moment, so requests at will do not make the database work."""
    monkeypatch.setattr(probes, "_FRESH", 60.0)
    store = Failing()
    async with client_of(inside(store)) as client:
        for _ in range(20):
            assert (await client.get("/ready")).status_code == 200

    assert store.checks == 1


async def test_once() -> None:
    """With `once`, it is ready for ever after the first success, and not before."""
    store = Failing()
    store.is_away = True
    app = Starlette(routes=[Route("/ready", Readiness(store, once=True))])
    async with client_of(app) as client:
        assert (await client.get("/ready")).status_code == 503
        store.is_away = False
        assert (await client.get("/ready")).status_code == 200
        checks, store.is_away = store.checks, True
        assert (await client.get("/ready")).status_code == 200

    assert store.checks == checks


async def test_once_where_it_is_open() -> None:
    """With `once`, a process that has opened its store is ready, also if no probe came before the
    outage: of several processes at one port each probe reaches one.
    """
    store = Failing()
    await store.open()
    store.is_away = True
    app = Starlette(routes=[Route("/ready", Readiness(store, once=True))])
    async with client_of(app) as client:
        assert (await client.get("/ready")).status_code == 200


async def test_log(caplog: pytest.LogCaptureFixture) -> None:
    """The log has the reason, once, and the response has not; one line says that it is over."""
    caplog.set_level(logging.INFO, "pgsession")
    store = Failing()
    async with client_of(inside(store)) as client:
        await client.get("/ready")
        store.is_away = True
        for _ in range(3):
            assert "db.internal" not in (await client.get("/ready")).text
        store.is_away = False
        await client.get("/ready")

    first, last = caplog.messages
    assert "db.internal" in first
    assert last == "Readiness: ready again."


async def test_log_of_a_second_outage(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An outage that begins within ten seconds after the line of another has its own line later."""
    now = 0.0
    monkeypatch.setattr(probes, "Pace", partial(Pace, lambda: now))
    caplog.set_level(logging.INFO, "pgsession")
    store = Failing()
    async with client_of(inside(store)) as client:
        for store.is_away in (True, False, True):
            await client.get("/ready")
        assert [vars(it)["pgsession_event"] for it in caplog.records] == [
            "not_ready",
            "ready_again",
        ]
        now += INTERVAL
        for store.is_away in (True, True, False):
            await client.get("/ready")

    assert [vars(it)["pgsession_event"] for it in caplog.records] == [
        "not_ready",
        "ready_again",
    ] * 2


async def test_two_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    """One endpoint in two applications answers for the store of each."""
    monkeypatch.setattr(probes, "_FRESH", 60.0)
    readiness = Readiness()

    async def ask(store: Failing) -> list[int]:
        routes = [Route("/ready", readiness)]
        async with client_of(Starlette(routes=routes, middleware=middleware(store))) as client:
            return [(await client.get("/ready")).status_code for _ in range(2)]

    stores = [Failing(), Failing()]
    stores[1].is_away = True
    answers = [await ask(each) for each in (*stores, *stores)]

    assert answers == [[200, 200], [503, 503]] * 2
    assert [each.checks for each in stores] == [1, 1]


async def test_forgotten() -> None:
    """What an endpoint knows of a store keeps it not alive, and ends with it."""
    readiness = Readiness()
    scope = {"type": "http", "method": "GET", "path": "/ready", "headers": []}
    offer_store(scope, Failing())
    await readiness.answer(Request(scope))
    scope.clear()
    gc.collect()

    assert readiness._known == {}  # noqa: SLF001 - to see what it holds


async def test_slotted_store() -> None:
    """A store that nothing can refer to weakly is asked too."""
    store: Store = Slotted(MemoryStore())  # type: ignore[assignment] # all but `check`

    async with client_of(inside(store)) as client:
        assert [(await client.get("/ready")).status_code for _ in range(2)] == [200, 200]


def endpoints(store: Store, *exclude: str) -> ASGIApp:
    routes = [
        Route("/alive", Liveness()),
        Route("/ready", Readiness()),
        Route("/once", Readiness(once=True)),
    ]
    return Starlette(routes=routes, middleware=middleware(store, *exclude))


ENDPOINTS = ("/alive", "/ready", "/once")


async def cookie_of(store: Store) -> dict[str, str]:
    """Return the headers of a browser with a session in a store."""
    key = await store.generate({"a": 1})
    cookie = SessionSettings(secret_key=SECRET).make_cookie().write(key, None)
    return {"Cookie": cookie.decode().partition(";")[0]}


async def test_cookie_excluded(caplog: pytest.LogCaptureFixture) -> None:
    """On excluded paths a probe with a session's cookie loads no session and gets no cookie."""
    store = Failing()
    headers = await cookie_of(store)
    async with client_of(endpoints(store, *ENDPOINTS)) as client:
        answers = [await client.get(path, headers=headers) for path in ENDPOINTS]

    assert [each.status_code for each in answers] == [200, 200, 200]
    assert not any("set-cookie" in each.headers for each in answers)
    assert store.gets == 0
    assert caplog.records == []


async def test_cookie_not_excluded(caplog: pytest.LogCaptureFixture) -> None:
    """Elsewhere its session is loaded, which each endpoint says once."""
    store = Failing()
    headers = await cookie_of(store)
    async with client_of(endpoints(store)) as client:
        for path in ENDPOINTS * 2:
            assert (await client.get(path, headers=headers)).status_code == 200

    assert store.gets > 0
    events = [vars(each)["pgsession_event"] for each in caplog.records]
    assert events == ["probe_not_excluded"] * 3
    assert "`exclude`" in caplog.text


async def test_alive() -> None:
    """The process is alive, whatever its store says, and no store is asked."""
    store = Failing()
    store.is_away = True
    app = Starlette(routes=[Route("/alive", Liveness())], middleware=middleware(store))
    async with client_of(app) as client:
        response = await client.get("/alive")

    assert (response.status_code, response.text) == (200, "alive")
    assert response.headers["cache-control"] == "no-store"
    assert store.checks == 0


async def test_before_and_after(database_url: str, migrated_schema: str, table: Connection) -> None:
    """A probe opens a store that nothing has opened; after its close it answers 503."""
    store = PostgresStore(database_url, schema=migrated_schema)
    async with client_of(inside(store)) as client:
        assert (await client.get("/ready")).status_code == 200
        table.execute("ALTER TABLE session RENAME TO other")
        assert (await client.get("/ready")).status_code == 503
        table.execute("ALTER TABLE other RENAME TO session")
        assert (await client.get("/ready")).status_code == 200
        await store.close()
        assert (await client.get("/ready")).status_code == 503


async def test_of_settings(database_url: str, migrated_schema: str) -> None:
    """The store that the middleware makes of its settings is found."""
    settings = SessionSettings(secret_key=SECRET, database_url=database_url, schema=migrated_schema)
    app = Starlette(
        routes=[Route("/ready", Readiness())],
        middleware=[Middleware(SessionMiddleware, settings=settings)],
    )

    with TestClient(app) as client:
        assert client.get("/ready").status_code == 200


async def test_cancelled() -> None:
    """A probe that is cancelled changes no answer."""

    class Slow(MemoryStore):
        async def check(self) -> None:
            await asyncio.Event().wait()

    store = Slow()
    readiness = Readiness(store)
    app = Starlette(routes=[Route("/ready", readiness)])
    async with client_of(app) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await client.get("/ready")

    [(_, judge)] = readiness._known.values()  # noqa: SLF001 - what it will say is not known
    assert judge._is_ready is None  # noqa: SLF001 - as above
