"""Forged cookies, and cookies that are no longer valid."""

import secrets
import sys
from collections.abc import Awaitable, Callable

import pytest
from httpx import AsyncClient
from psycopg import Connection
from starlette.types import Message, Receive, Scope, Send

from pgsession import MemoryStore, PostgresStore, SessionMiddleware
from pgsession.core.cookie import Cookie
from tests.hostile.forgeries import FORGERIES, KEY, PREFIX, Forgery, signed
from tests.pages import NAME, count, fill, key_of, read, value_of

Headers = list[tuple[bytes, bytes]]
Converse = Callable[..., Awaitable[list[Message]]]
CookieOf = Callable[[str], str]


@pytest.fixture
def client(visit: Callable[..., AsyncClient], counted: PostgresStore) -> AsyncClient:
    return visit(counted, fill, read)


@pytest.fixture
async def good(counted: PostgresStore, cookie_of: CookieOf) -> bytes:
    """The cookie value of a live session."""
    return cookie_of(await counted.generate({"user": "eve"})).encode().removeprefix(PREFIX)


def as_headers(texts: list[bytes]) -> Headers:
    return [(b"cookie", text) for text in texts]


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
async def test_forged(
    client: AsyncClient,
    good: bytes,
    statements: list[str],
    caplog: pytest.LogCaptureFixture,
    forge: Forgery,
) -> None:
    """A forged cookie opens an empty session, causes no statement, and is not logged."""
    headers = as_headers(forge(good))
    statements.clear()

    response = await client.get("/read", headers=headers)

    assert (response.status_code, response.json()) == (200, {})
    assert set(response.headers) == {"content-length", "content-type", "vary"}
    assert statements == []
    assert caplog.text == ""


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
async def test_forged_and_filled(
    client: AsyncClient, good: bytes, statements: list[str], table: Connection, forge: Forgery
) -> None:
    """A write with a forged cookie creates a separate session under a new key."""
    headers = as_headers(forge(good))
    statements.clear()

    response = await client.get("/fill", headers=headers)

    assert response.status_code == 200
    assert key_of(client) not in b"".join(forge(good)).decode("latin-1")
    assert len(statements) == 1
    assert count(table) == 2


async def dead_never_issued(_store: PostgresStore, _table: Connection) -> str:
    return KEY


async def dead_cleared(store: PostgresStore, _table: Connection) -> str:
    key = await store.generate({"user": "eve"})
    await store.clear(key)
    return key


async def dead_renewed(store: PostgresStore, _table: Connection) -> str:
    key = await store.generate({"user": "eve"})
    await store.renew(key)
    return key


async def dead_expired(store: PostgresStore, table: Connection) -> str:
    key = await store.generate({"user": "eve"}, period=-1)
    assert count(table) == 1  # the row is still there
    return key


async def dead_of_another_store(_store: PostgresStore, _table: Connection) -> str:
    return await MemoryStore().generate({"user": "eve"})


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(dead_never_issued, id="26-never-issued"),
        pytest.param(dead_cleared, id="27-cleared"),
        pytest.param(dead_renewed, id="27-renewed"),
        pytest.param(dead_expired, id="28-expired"),
        pytest.param(dead_of_another_store, id="34-of-another-store"),
    ],
)
async def test_dead(
    *,
    client: AsyncClient,
    counted: PostgresStore,
    table: Connection,
    cookie_of: CookieOf,
    statements: list[str],
    make: Callable[[PostgresStore, Connection], Awaitable[str]],
) -> None:
    """A signed but dead key opens an empty session and is never used again."""
    dead = await make(counted, table)
    statements.clear()

    response = await client.get("/read", headers={"cookie": cookie_of(dead)})
    await client.get("/fill", headers={"cookie": cookie_of(dead)})

    assert (response.status_code, response.json()) == (200, {})
    assert "set-cookie" not in response.headers
    # One lookup, after which the key is known to be dead; whether a renewal has retired it a moment
    # ago; and one insert, if not.
    is_retired = make is dead_renewed
    assert len(statements) == (2 if is_retired else 3)
    assert (NAME in client.cookies) is not is_retired
    assert is_retired or key_of(client) != dead
    assert await counted.get(dead) is None


@pytest.mark.parametrize("position", [0, 500, 1000], ids=["24-first", "24-middle", "24-last"])
async def test_crowd(
    client: AsyncClient, good: bytes, statements: list[str], position: int
) -> None:
    """Our cookie is found among a thousand others, with one statement."""
    others = [b"c%d=%d" % (number, number) for number in range(1000)]
    texts = [*others[:position], PREFIX + good, *others[position:]]
    statements.clear()

    response = await client.get("/read", headers=as_headers([b"; ".join(texts)]))

    assert response.json() == {"user": "eve"}
    assert len(statements) == 1


@pytest.mark.parametrize("apart", [True, False], ids=["23-two-headers", "22-one-header"])
@pytest.mark.parametrize("order", [1, -1], ids=["forged-first", "forged-last"])
@pytest.mark.parametrize(
    "forge", [FORGERIES[name] for name in ("02-empty", "06-quoted", "13-wrong-signature")]
)
async def test_beside_forged(
    client: AsyncClient, good: bytes, forge: Forgery, *, apart: bool, order: int
) -> None:
    """A forged cookie does not affect the valid one next to it, in any order."""
    texts = [*forge(good), PREFIX + good][::order]

    response = await client.get(
        "/read", headers=as_headers(texts if apart else [b"; ".join(texts)])
    )

    assert response.json() == {"user": "eve"}


async def test_header_as_text(converse: Converse, secret_key: str, cookie_of: CookieOf) -> None:
    """If a server passes headers as str, which ASGI forbids, the session is empty, without
    error.
    """
    store = MemoryStore()
    cookie = cookie_of(await store.generate({"user": "eve"}))
    seen: list[dict[str, object]] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(dict(scope["session"]))

    headers = [("cookie", cookie), ("cookie", "\ud800")]
    await converse(SessionMiddleware(app, store, secret_key), {"headers": headers})

    assert seen == [{}]


async def test_rotated(visit: Callable[..., AsyncClient], secret_key: str) -> None:
    """A cookie signed with an old listed secret works, and is signed with the new one at once."""
    store, newest = MemoryStore(), "the newest secret that is long enough for all"
    key = await store.generate({"user": "eve"})
    client = visit(store, fill, secret_key=[newest, secret_key])

    await client.get("/fill", headers=as_headers([PREFIX + signed(key)]))

    cookie = client.cookies[PREFIX[:-1].decode()]
    (found,) = Cookie(secret_keys=[newest]).find([(b"cookie", PREFIX + cookie.encode())])
    assert found.key == key
    assert await value_of(store, key) == {"user": "ann"}


async def test_flood(
    converse: Converse, counted: PostgresStore, secret_key: str, statements: list[str]
) -> None:
    """Ten thousand random keys cause no statement and no lasting memory use."""

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        pass

    site = SessionMiddleware(app, counted, secret_key)

    async def come(times: int) -> None:
        for _ in range(times):
            text = f"{secrets.token_urlsafe(30)}.{secrets.token_urlsafe(32)}".encode()
            await converse(site, {"headers": as_headers([PREFIX + text])})

    await come(100)
    before = sys.getallocatedblocks()
    await come(10_000)

    assert sys.getallocatedblocks() - before < 1_000
    assert statements == []
