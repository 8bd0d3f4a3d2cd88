"""Changes to `request.session`, and their effects."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from httpx import AsyncClient
from psycopg import Connection
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pgsession import (
    MemoryStore,
    PostgresStore,
    Session,
    SessionMiddleware,
    Sessions,
    SessionSettings,
    SettingsError,
    UnsupportedTypeError,
)
from tests.pages import NAME, count, fail, fill, key_of, read, value_of


async def test_first_write(visit: Callable[..., AsyncClient]) -> None:
    """The first write creates a session and sets a cookie with its signed key."""
    store = MemoryStore()
    client = visit(store, fill)

    response = await client.get("/fill")

    assert re.fullmatch(
        rf"{NAME}=[\w-]{{40}}\.\.\.\d{{10}}\.[\w-]{{43}}; "
        "path=/; Max-Age=604800; httponly; samesite=lax; secure",
        response.headers["set-cookie"],
    )
    assert await value_of(store, key_of(client)) == {"user": "ann"}


async def test_comes_back(visit: Callable[..., AsyncClient]) -> None:
    """The next request reads what the previous one wrote."""
    client = visit(MemoryStore(), fill, read)
    await client.get("/fill")

    assert (await client.get("/read")).json() == {"user": "ann"}


async def test_reading_sets_no_cookie(visit: Callable[..., AsyncClient]) -> None:
    """A request that changes nothing sets no cookie."""
    client = visit(MemoryStore(), fill, read)
    await client.get("/fill")

    assert "set-cookie" not in (await client.get("/read")).headers


async def test_same_value_again(visit: Callable[..., AsyncClient]) -> None:
    """Setting a member to its current value is not a change."""
    client = visit(MemoryStore(), fill)
    await client.get("/fill")

    assert "set-cookie" not in (await client.get("/fill")).headers


async def test_change_sets_no_cookie(visit: Callable[..., AsyncClient]) -> None:
    """A change keeps the key and the expiry, so there is nothing that the browser must learn."""

    def count_up(session: Session) -> None:
        session["n"] = session.get("n", 0) + 1

    store = MemoryStore()
    client = visit(store, count_up)
    await client.get("/count_up")

    response = await client.get("/count_up")

    assert "set-cookie" not in response.headers
    assert "cache-control" not in response.headers
    assert await value_of(store, key_of(client)) == {"n": 2}


async def test_deep_change(visit: Callable[..., AsyncClient]) -> None:
    """A change deep inside a member counts as a change."""

    def add(session: Session) -> None:
        session.setdefault("cart", {"items": []})["items"].append(1)

    client = visit(MemoryStore(), add, read)
    await client.get("/add")
    await client.get("/add")

    assert (await client.get("/read")).json() == {"cart": {"items": [1, 1]}}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda session: session.update(user="bob"), id="update"),
        pytest.param(lambda session: session.__ior__({"user": "bob"}), id="ior"),
        pytest.param(lambda session: session.setdefault("new", 1) and None, id="setdefault"),
        pytest.param(lambda session: session.popitem() and None, id="popitem"),
        pytest.param(lambda session: session.__delitem__("user"), id="del"),
        pytest.param(lambda session: session.pop("user") and None, id="pop"),
        pytest.param(lambda session: session["nested"].update(a=2), id="nested"),
    ],
)
async def test_ways_to_change(
    visit: Callable[..., AsyncClient], change: Callable[[Session], None]
) -> None:
    """Every way to change a session stores the change."""
    wanted: dict[str, Any] = {}

    def start(session: Session) -> None:
        session.update(user="ann", nested={"a": 1})

    def alter(session: Session) -> None:
        change(session)
        wanted.update(session)

    client = visit(MemoryStore(), start, alter, read)
    await client.get("/start")
    await client.get("/alter")

    assert (await client.get("/read")).json() == wanted != {"user": "ann", "nested": {"a": 1}}


async def test_not_looked_at(visit: Callable[..., AsyncClient]) -> None:
    """A response that does not depend on the session has neither Vary nor Set-Cookie."""
    client = visit(MemoryStore(), fill)
    await client.get("/fill")

    response = await client.get("/elsewhere")

    assert response.status_code == 404
    assert "vary" not in response.headers
    assert "set-cookie" not in response.headers


@pytest.mark.parametrize("action", [fill, read], ids=lambda action: action.__name__)
async def test_vary(visit: Callable[..., AsyncClient], action: Callable[[Session], object]) -> None:
    """A response that depends on the session has `Vary: Cookie`."""
    response = await visit(MemoryStore(), action).get(f"/{action.__name__}")

    assert response.headers["vary"] == "Cookie"


async def test_no_store(visit: Callable[..., AsyncClient]) -> None:
    """A response that sets the cookie is kept by no cache; a read says nothing about it."""
    client = visit(MemoryStore(), fill, read)

    assert (await client.get("/fill")).headers["cache-control"] == "private, no-store"
    assert "cache-control" not in (await client.get("/read")).headers


async def test_empty_visitor(
    visit: Callable[..., AsyncClient], postgres: PostgresStore, table: Connection
) -> None:
    """A visitor without data gets neither a row nor a cookie."""
    response = await visit(postgres, read).get("/read")

    assert response.json() == {}
    assert "set-cookie" not in response.headers
    assert count(table) == 0


async def test_failing_handler(visit: Callable[..., AsyncClient]) -> None:
    """A handler that raises changes neither the session nor the cookie."""
    store = MemoryStore()
    client = visit(store, fill, fail, raises=False)
    await client.get("/fill")

    response = await client.get("/fail")

    assert response.status_code == 500
    assert "set-cookie" not in response.headers
    assert await value_of(store, key_of(client)) == {"user": "ann"}


async def test_failing_first_handler(
    visit: Callable[..., AsyncClient], postgres: PostgresStore, table: Connection
) -> None:
    """A handler that raises creates no session."""
    response = await visit(postgres, fail, raises=False).get("/fail")

    assert "set-cookie" not in response.headers
    assert count(table) == 0


@pytest.mark.parametrize(
    "value",
    [{1}, b"x", object(), float("nan"), "\0", "\ud800"],
    ids=["set", "bytes", "object", "NaN", "NUL", "surrogate"],
)
async def test_refused_value(visit: Callable[..., AsyncClient], value: object) -> None:
    """A value that cannot be stored gives a 500 without a cookie; the old value is kept."""
    store = MemoryStore()

    def spoil(session: Session) -> None:
        session["user"] = value

    client = visit(store, fill, spoil, raises=False)
    await client.get("/fill")

    response = await client.get("/spoil")

    assert response.status_code == 500
    assert "set-cookie" not in response.headers
    assert await value_of(store, key_of(client)) == {"user": "ann"}


async def test_refused_value_named(visit: Callable[..., AsyncClient]) -> None:
    """The error for a value that cannot be stored names the path to it."""

    def spoil(session: Session) -> None:
        session["cart"] = [1, {"tags": {"a"}}]

    with pytest.raises(UnsupportedTypeError, match=r'session\["cart"\]\[1\]\["tags"\]'):
        await visit(MemoryStore(), spoil).get("/spoil")


async def test_sync_endpoint(visit: Callable[..., AsyncClient]) -> None:
    """A handler that runs in a thread can use the session like any other."""
    store = MemoryStore()

    def in_thread(request: Request) -> Response:
        request.session["user"] = "ann"
        return Response()

    client = visit(store, routes=(Route("/", in_thread),))

    await client.get("/")

    assert await value_of(store, key_of(client)) == {"user": "ann"}


def test_settings_and_keywords(secret_key: str, caplog: pytest.LogCaptureFixture) -> None:
    """A setting next to `settings` is rejected, and logged for servers that hide the error."""
    settings = SessionSettings(secret_key=secret_key)

    with pytest.raises(SettingsError, match="cannot be combined"):
        SessionMiddleware(Starlette(), MemoryStore(), settings=settings, https_only=False)

    assert "cannot be combined" in caplog.text
    assert secret_key not in caplog.text


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (SessionSettings, "not the class SessionSettings"),
        ({"secret_key": "x"}, "must be a SessionSettings, .* not dict"),
    ],
    ids=["class", "dict"],
)
def test_wrong_settings(settings: Any, said: str) -> None:
    """Anything but a `SessionSettings` is refused at construction, with what to write."""
    with pytest.raises(SettingsError, match=said):
        SessionMiddleware(Starlette(), settings=settings)
    with pytest.raises(SettingsError, match=said):
        Sessions(settings=settings)


def test_settings_as_store() -> None:
    """Settings in the place of the store are refused, with the name of their argument."""
    settings: Any = SessionSettings(secret_key="a secret of more than thirty-two bytes")

    with pytest.raises(SettingsError, match="write settings="):
        SessionMiddleware(Starlette(), settings)
