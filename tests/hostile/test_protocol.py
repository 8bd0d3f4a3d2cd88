"""Applications, servers and clients that do what ASGI allows, and what it forbids."""

from collections.abc import Awaitable, Callable

import pytest
from httpx import AsyncClient
from psycopg import Connection
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from pgsession import MemoryStore, PostgresStore, SessionMiddleware
from tests.hostile.forgeries import PREFIX
from tests.pages import fill, key_of, value_of

START: Message = {"type": "http.response.start", "status": 200, "headers": []}

Converse = Callable[..., Awaitable[list[Message]]]
CookieOf = Callable[[str], str]


def cookies(message: Message) -> list[bytes]:
    return [text for name, text in message["headers"] if name.lower() == b"set-cookie"]


async def test_logout_then_failure(visit: Callable[..., AsyncClient]) -> None:
    """59: If a handler logs out and then raises, the session stays, as the 500 says."""
    store = MemoryStore()

    async def leave(request: Request) -> Response:
        request.session.clear()
        raise LookupError

    client = visit(store, fill, routes=(Route("/leave", leave),), raises=False)
    await client.get("/fill")

    response = await client.get("/leave")

    assert response.status_code == 500
    assert "set-cookie" not in response.headers
    assert await value_of(store, key_of(client)) == {"user": "ann"}


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("http.response.debug", id="61-debug"),
        pytest.param("http.response.early_hint", id="61-early-hint"),
        pytest.param("http.response.push", id="61-push"),
        pytest.param("http.response.trailers", id="61-trailers"),
        pytest.param("http.response.pathsend", id="61-pathsend"),
        pytest.param("http.response.zerocopysend", id="61-zerocopysend"),
        pytest.param("x.of.our.own", id="61-unheard-of"),
    ],
)
async def test_other_messages(
    converse: Converse, secret_key: str, postgres: PostgresStore, kind: str
) -> None:
    """Other messages are passed on unchanged; the cookie is set on the response start."""
    odd = {"type": kind, "headers": [(b"x", b"y")], "info": object(), "file": 5}

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        await send(odd)
        scope["session"]["user"] = "ann"
        await send({**START})
        await send(odd)

    before, start, after = await converse(SessionMiddleware(app, postgres, secret_key), {})

    assert before is odd
    assert after is odd
    assert set(odd) == {"type", "headers", "info", "file"}
    assert len(cookies(start)) == 1


async def test_cookie_of_the_same_name(
    converse: Converse, secret_key: str, postgres: PostgresStore
) -> None:
    """67: A cookie that the application sets under our name stays; ours is set once, last."""
    own = (b"Set-Cookie", PREFIX + b"theirs")

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        scope["session"]["user"] = "ann"
        await send({**START, "headers": [own]})

    (start,) = await converse(SessionMiddleware(app, postgres, secret_key), {})

    first, last = cookies(start)
    assert first == PREFIX + b"theirs"
    assert await postgres.get(last.removeprefix(PREFIX)[:40].decode()) is not None


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([[b"Content-Type", b"text/plain"]], id="71-lists"),
        pytest.param([(b"VARY", b"Accept"), (b"vary", b"cookie")], id="71-mixed-case"),
        pytest.param([(b"vary", b"*")], id="71-vary-by-all"),
        pytest.param([(b"cache-Control", b"public")], id="71-cache-rule"),
        pytest.param([(b"x-raw", b"\xff\x00\r\n")], id="71-raw-bytes"),
    ],
)
async def test_odd_headers(
    converse: Converse, secret_key: str, headers: list[tuple[bytes, bytes]]
) -> None:
    """All headers of the application are kept, except its rule for caches; none is set twice."""

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        scope["session"]["user"] = "ann"
        await send({**START, "headers": headers})

    (start,) = await converse(SessionMiddleware(app, MemoryStore(), secret_key), {})

    names = [name.lower() for name, _ in start["headers"]]
    own = [name.lower() for name, _ in headers if name.lower() != b"cache-control"]
    assert names[: len(own)] == own
    assert names.count(b"set-cookie") == 1
    assert names.count(b"cache-control") == 1
    assert b"vary" in names


async def test_daylight_saving(database_url: str, migrated_schema: str, table: Connection) -> None:
    """84: A period has the same number of seconds in a time zone with daylight saving."""
    options = "-cTimeZone=Europe/Paris"
    async with PostgresStore(database_url, schema=migrated_schema, options=options) as store:
        key = await store.generate({"user": "ann"}, period=86_400 * 200, granted=True)

        entry = await store.get(key)

    query = "SELECT extract(epoch FROM expire_date - created_on)::int FROM session"
    assert table.execute(query).fetchall() == [(86_400 * 200,)]
    assert entry is not None
    assert entry.granted is not None
    assert entry.granted.total_seconds() == 86_400 * 200
