"""Endpoints for probes: alive while the process is, ready while sessions can be served."""

import asyncio
import logging
from collections.abc import Callable

import pytest
from fastapi import APIRouter, FastAPI
from httpx import ASGITransport, AsyncClient
from psycopg import Connection
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.types import ASGIApp
from starlette.websockets import WebSocketDisconnect

from pgsession import (
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
from tests.applications import SECRET


class Failing(MemoryStore):
    """A store whose check fails when it is told to, and counts the checks."""

    def __init__(self) -> None:
        super().__init__()
        self.is_away = False
        self.is_open = False
        self.checks = 0

    async def open(self) -> bool:
        if not self.is_open:
            await self.check()
            self.is_open = True
        return False

    async def check(self) -> None:
        self.checks += 1
        if self.is_away:
            raise StoreUnavailableError("PostgreSQL cannot be reached: db.internal said no.")


class Unchecked:
    """A store of another library, which has no `check`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> object:
        if name == "check":
            raise AttributeError(name)
        return getattr(self._store, name)


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
    """Wherever the endpoint stands it finds the store, loads no session and sets no cookie."""
    store = Failing()
    key = await store.generate({"a": 1})
    async with client_of(place(store)) as client:
        for method in ("GET", "HEAD"):
            for cookie in ("", f"__Host-session={key}"):
                store.is_away = False
                ready = await client.request(
                    method, "/ready", headers={"Cookie": cookie}, follow_redirects=True
                )
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

    readiness = Readiness(Slow())
    app = Starlette(routes=[Route("/ready", readiness)])
    async with client_of(app) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await client.get("/ready")

    assert readiness._is_ready is None  # noqa: SLF001 - what it will say is not known
