"""Rare statements are imported and written when they are first used, and before a transaction."""

import subprocess
import sys

import pytest

from pgsession.errors import StoreClosedError
from pgsession.postgres.batching import single_calls
from pgsession.postgres.connections.dedicated import Dedicated
from pgsession.postgres.statements.table import Table
from pgsession.postgres.statements.text import Wording
from pgsession.postgres.store import PostgresStore
from pgsession.postgres.table_name import TableName

#: It opens the store, serves a visitor and uses a lock. It prints the modules that this imports.
PROGRAM = """
import asyncio, sys
from pgsession import PostgresStore, SessionMiddleware

async def page(scope, receive, send):
    scope["session"]["visits"] = scope["session"].get("visits", 0) + 1
    await send({"type": "http.response.start", "status": 200, "headers": []})

async def main():
    url, schema = sys.argv[1:]
    sent, before = [], set()

    def imported():
        new = {each for each in sys.modules if each.startswith("pgsession")} - before
        before.update(new)
        return sorted(new)

    async def send(message):
        sent.append(message)

    async def visit(*headers):
        scope = {"type": "http", "scheme": "https", "path": "/", "headers": [*headers]}
        await middleware(scope, None, send)

    store = PostgresStore(url, schema=schema, telemetry=False)
    middleware = SessionMiddleware(page, store, "6cB0zOGsXH2uDCkBDJUdhW9I5b1lDr7lSnu2yVvhq0s")
    imported()
    await store.open()
    await visit()
    cookie = dict(sent[0]["headers"])[b"set-cookie"].partition(b";")[0]
    await visit((b"cookie", cookie))
    print("served", *imported())
    key = await store.generate({"n": 1})
    async with store.exclusive(key) as held:
        imported()
        await held.touch(key)
        await held.rotate(key, 0, grace=60)
        await held.signed_in()
        await held.devices("ann")
        await held.revoke_all("ann")
        print("held", *imported())
    await store.close()

asyncio.run(main())
"""


def test_served(database_url: str, migrated_schema: str) -> None:
    """A store that opens, requests and blocks import nothing of the package any more."""
    command = [sys.executable, "-c", PROGRAM, database_url, migrated_schema]
    shown = subprocess.run(command, capture_output=True, check=True, text=True).stdout

    assert shown == "served\nheld\n"


def test_complete() -> None:
    """The statements of a complete table are written before a block begins its transaction."""
    table = Table(Wording(TableName()))
    table.complete()
    written = dict(vars(table))

    single_calls(table, Dedicated.__new__(Dedicated))

    assert vars(table) == written


def test_settled_later() -> None:
    """Rare statements follow what was found of the database before they were written."""
    table = Table(Wording(TableName()))
    table.prepared, table.is_distributed = False, True

    assert not table.listing.prepared
    assert table.prepared is False
    assert table.is_distributed


async def test_closed(database_url: str, migrated_schema: str) -> None:
    """A rare call that comes first while the store is being closed is rejected as others are."""
    async with PostgresStore(database_url, schema=migrated_schema) as store:
        engine = store._here()  # noqa: SLF001 - to close a part of it
        await engine._batches.close()  # noqa: SLF001 - as `close` does first

        with pytest.raises(StoreClosedError):
            await engine.calls.devices("ann")
