"""Everything that is reported, done once on a real database."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool
from starlette.types import ASGIApp, Receive, Scope, Send

from pgsession import (
    PostgresStore,
    Session,
    SessionMiddleware,
    SessionNotFoundError,
    Sessions,
    SessionSettings,
    StoreUnavailableError,
    Telemetry,
)
from pgsession.predecessors import StarletteCookie
from tests.applications import SECRET
from tests.asgi.old_sessions import OLD, UNTIL, signed
from tests.dbsc.browser import BindingBrowser
from tests.hostile.secret import VALUE
from tests.pages import NAME, key_of

USER = "UQZXW-somebody"
MOMENT = timedelta(microseconds=1)

Page = Callable[[Session], Awaitable[object]]


async def create(session: Session) -> None:
    session["secret"] = VALUE


async def merge(session: Session) -> None:
    session["more"] = VALUE


async def replace(session: Session) -> None:
    session.clear()
    session["other"] = VALUE


async def drain(session: Session) -> None:
    for name in list(session):
        del session[name]


async def look(session: Session) -> None:
    session.get("secret")


async def renew(session: Session) -> None:
    session.renew()


async def end(session: Session) -> None:
    session.clear()


async def login(session: Session) -> None:
    session.login(USER)


async def confirm(session: Session) -> None:
    session.confirm()


async def logout(session: Session) -> None:
    session.logout()


async def take(session: Session) -> None:
    await session.take("secret")


async def lock(session: Session) -> None:
    async with session.exclusive():
        session["count"] = 1


PAGES: dict[str, Page] = {
    f"/{page.__name__}": page
    for page in (
        create,
        merge,
        replace,
        drain,
        look,
        renew,
        end,
        login,
        confirm,
        logout,
        take,
        lock,
    )
}


async def application(scope: Scope, _receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await PAGES[scope["path"]](scope["session"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def site(store: PostgresStore, telemetry: Telemetry, **settings: Any) -> ASGIApp:
    own = SessionSettings(secret_key=SECRET, telemetry=telemetry, **settings)
    return SessionMiddleware(application, store, settings=own)


def browser(app: ASGIApp) -> AsyncClient:
    return AsyncClient(transport=ASGITransport(app), base_url="https://testserver")


async def visit(client: AsyncClient, *pages: str) -> None:
    for page in pages:
        await client.get(f"/{page}")


async def change_everything(store: PostgresStore, telemetry: Telemetry) -> list[str]:
    """Make every kind of change; return the keys."""
    app = site(store, telemetry, touch_after=0)
    async with browser(app) as client:
        await visit(client, "create", "look", "merge", "lock", "take", "replace", "renew")
        keys = [key_of(client)]
        await visit(client, "drain", "create", "end", "login", "confirm")
        keys.append(key_of(client))
        await visit(client, "logout", "create")
        await store.clear(key_of(client))
        await visit(client, "end", "create")  # its cookie is deleted, and another begins
        return [*keys, key_of(client)]


async def reject_cookies(store: PostgresStore, telemetry: Telemetry) -> None:
    """Send cookies that open no session."""
    async with browser(site(store, telemetry)) as client:
        await client.get("/look", headers={"cookie": f"{NAME}={'x' * 40}.{'y' * 43}"})
    rotating = site(store, telemetry, rotate_every=MOMENT, rotation_grace=MOMENT)
    async with browser(rotating) as client:
        await visit(client, "create", "look")
        old = client.cookies[NAME]
        await visit(client, "look", "look", "look")
        assert client.cookies[NAME] != old
        client.cookies.clear()
        await client.get("/look", headers={"cookie": f"{NAME}={old}"})


async def take_over(store: PostgresStore, telemetry: Telemetry) -> None:
    """Come with a session from before a switch, and without one."""
    old = StarletteCookie(OLD, until=UNTIL)
    async with browser(site(store, telemetry, predecessor=old)) as client:
        await visit(client, "look")
        await client.get("/look", headers={"cookie": f"session={signed({'secret': VALUE})}"})


async def bind_device(store: PostgresStore, telemetry: Telemetry) -> tuple[str, str]:
    """Bind a session to a device, prove it, and come without; return where it is proved."""
    app = site(store, telemetry, device_binding=timedelta(minutes=10))
    async with BindingBrowser(app) as owner:
        await owner.visit("/login")
        await owner.refresh()
        owner.challenge = ""
        await owner.refresh()
        offered = "/.session/register"
        await owner.prove(offered, "no-challenge-of-ours", registers=True)
        path = owner.instructions["refresh_url"]
        await owner.post(path, headers={"sec-secure-session-id": "unknown"})
        cookie, identifier = owner.cookies[NAME], owner.instructions["session_identifier"]
    async with browser(app) as thief:
        await thief.get("/look", headers={"cookie": f"{NAME}={cookie}"})
    return path, identifier


async def revoke(store: PostgresStore, telemetry: Telemetry) -> None:
    """End sessions from elsewhere, and those that are too many."""
    app = site(store, telemetry, max_sessions=1)
    clients = [browser(app) for _ in range(2)]
    for client in clients:
        await visit(client, "login")
    [device] = await store.devices(USER)
    assert await store.revoke(USER, device.handle)
    await visit(clients[0], "login")
    assert [each.user_id for each in await store.signed_in()] == [USER]
    assert await store.revoke_all(USER) == 1
    for client in clients:
        await client.aclose()


async def open_outside(store: PostgresStore, telemetry: Telemetry) -> None:
    """Open sessions outside of requests, and watch a stream."""
    settings = SessionSettings(secret_key=SECRET, telemetry=telemetry, watch_every=0.01)
    sessions = Sessions(store, settings=settings)
    key, other = [await store.generate({"secret": VALUE}) for _ in range(2)]
    cookies = [settings.make_cookie().write(it, None).partition(b";")[0] for it in (key, other)]
    async with sessions.open({"cookie": cookies[0].decode()}) as session:
        await store.clear(key)
        await session.ended()
    with pytest.raises(SessionNotFoundError):
        async with sessions.open({"cookie": cookies[0].decode()}):
            pass
    with pytest.raises(SessionNotFoundError):
        await _lose(sessions, cookies[1].decode(), store.clear(other))


async def come_with_two(store: PostgresStore, telemetry: Telemetry) -> None:
    """End the sessions of two cookies with one request."""
    make = SessionSettings(secret_key=SECRET).make_cookie()
    keys = [await store.generate({"secret": VALUE}) for _ in range(2)]
    cookies = [make.write(key, None).partition(b";")[0].decode() for key in keys]
    async with browser(site(store, telemetry)) as client:
        await client.get("/end", headers={"cookie": "; ".join(cookies)})


async def _lose(sessions: Sessions, cookie: str, ending: Awaitable[object]) -> None:
    """Change a session that ends meanwhile."""
    async with sessions.open({"cookie": cookie}) as session:
        session["more"] = VALUE
        await ending


async def be_unavailable(telemetry: Telemetry, port: int, binding: tuple[str, str]) -> None:
    """Come while the database does not answer."""
    store = PostgresStore(
        f"postgresql://127.0.0.1:{port}/app", timeout=0.5, sweep_every=None, telemetry=telemetry
    )
    cookie = SessionSettings(secret_key=SECRET).make_cookie().write("k" * 40, None)
    for chosen in ("refuse", "anonymous"):
        async with browser(site(store, telemetry, on_unavailable=chosen)) as client:
            await client.get("/look", headers={"cookie": cookie.decode().partition(";")[0]})
    path, identifier = binding
    app = site(store, telemetry, device_binding=timedelta(minutes=10))
    async with browser(app) as client:
        await client.post(path, headers={"sec-secure-session-id": identifier})
    with pytest.raises(StoreUnavailableError):
        await store.sweep()
    await store.close()


async def wait_in_vain(telemetry: Telemetry, url: str, schema: str) -> None:
    """Ask a store whose pool, one of the application's, has no connection left."""
    async with (
        AsyncConnectionPool[AsyncConnection[Any]](
            url, name="shop", min_size=1, max_size=1, open=False
        ) as pool,
        PostgresStore(pool, schema=schema, timeout=0.2, telemetry=telemetry) as store,
        pool.connection(),
    ):
        for _ in range(2):  # then the first has surely given up its wait
            with pytest.raises(StoreUnavailableError):
                await store.get("k" * 40)


@asynccontextmanager
async def everything(
    telemetry: Telemetry, url: str, schema: str, port: int
) -> AsyncIterator[list[str]]:
    """Do everything that is reported; yield keys of sessions while the store is still open."""
    async with PostgresStore(url, schema=schema, telemetry=telemetry) as store:
        keys = await change_everything(store, telemetry)
        await reject_cookies(store, telemetry)
        await take_over(store, telemetry)
        binding = await bind_device(store, telemetry)
        await revoke(store, telemetry)
        await open_outside(store, telemetry)
        await come_with_two(store, telemetry)
        await store.sweep()
        await be_unavailable(telemetry, port, binding)
        await wait_in_vain(telemetry, url, schema)
        yield keys
