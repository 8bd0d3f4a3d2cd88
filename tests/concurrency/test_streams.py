"""Streams in one process learn what ends their session in another."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from psycopg import Connection

from pgsession import PostgresStore
from tests.concurrency.streaming import streams
from tests.programs import Visitor, served

SECRET = "a secret of the tests that is long enough for HMAC"

ROOT = str(Path(__file__).parents[2])

#: Streams learn of an end within these seconds.
LIMIT = 2.0


@dataclass(frozen=True)
class Site:
    """Two processes that serve one table, and what else has access to it."""

    one: str
    other: str
    store: PostgresStore
    table: Connection


@pytest.fixture
def site(
    database_url: str, migrated_schema: str, postgres: PostgresStore, table: Connection
) -> Iterator[Site]:
    variables = {
        "SESSION_DATABASE_URL": database_url,
        "SESSION_SCHEMA": migrated_schema,
        "SESSION_SECRET_KEY": SECRET,
        "SESSION_CLOSE_WEBSOCKETS": "true",
        "PYTHONPATH": os.pathsep.join([ROOT, os.environ.get("PYTHONPATH", "")]),
    }
    file = Path(__file__).with_name("streaming_app.py")
    with ExitStack() as stack:
        one, other = (stack.enter_context(served(file, **variables)) for _ in range(2))
        yield Site(one, other, postgres, table)


async def logout(_site: Site, visitor: Visitor, _handle: str) -> None:
    await asyncio.to_thread(visitor.get, "/logout")


async def login(_site: Site, visitor: Visitor, _handle: str) -> None:
    await asyncio.to_thread(visitor.get, "/login?user=bob")


async def login_again(_site: Site, visitor: Visitor, _handle: str) -> None:
    await asyncio.to_thread(visitor.get, "/login?user=ann")


async def revoke(site: Site, _visitor: Visitor, handle: str) -> None:
    assert await site.store.revoke("ann", handle)


async def revoke_all(site: Site, _visitor: Visitor, _handle: str) -> None:
    assert await site.store.revoke_all("ann") == 1


async def delete(site: Site, _visitor: Visitor, _handle: str) -> None:
    site.table.execute("DELETE FROM session WHERE user_id = 'ann'")


async def expire(site: Site, _visitor: Visitor, _handle: str) -> None:
    site.table.execute("UPDATE session SET expire_date = now()")


End = Callable[[Site, Visitor, str], Awaitable[None]]


@pytest.mark.parametrize(
    "end",
    [logout, login, login_again, revoke, revoke_all, delete, expire],
    ids=lambda it: it.__name__,
)
async def test_ends(site: Site, end: End) -> None:
    """A WebSocket, a stream of events and a long poll end within two seconds, however their
    session ended, and the application's WebSocket gets the code.
    """
    visitor = Visitor(site.one)
    await asyncio.to_thread(visitor.get, "/login?user=ann")
    handle = (await asyncio.to_thread(visitor.get, "/handle")).text

    async with asyncio.timeout(20), streams(site.other, visitor.cookie_header) as opened:
        await end(site, visitor, handle)
        began = time.monotonic()
        ends = await opened.ends()

    assert max(ends) - began < LIMIT
    assert Visitor(site.other).get("/closed").text == "4401"


@pytest.mark.parametrize("page", ["/renew", "/confirm"])
async def test_goes_on(site: Site, page: str) -> None:
    """A new key that another process gives to the session ends no stream; a logout does, under the
    new key.
    """
    visitor = Visitor(site.one)
    await asyncio.to_thread(visitor.get, "/login?user=ann")

    async with asyncio.timeout(20), streams(site.other, visitor.cookie_header) as opened:
        await asyncio.to_thread(visitor.get, page)
        await asyncio.sleep(LIMIT)  # there is no event when nothing happens
        assert opened.are_open()
        await asyncio.to_thread(visitor.get, "/logout")
        await opened.ends()
