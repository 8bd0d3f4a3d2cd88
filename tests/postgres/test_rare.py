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

#: It serves a first request, which needs no store. From then on no module of the package can be
#: imported, as if its files were gone, and it uses what few applications use.
PROGRAM = """
import asyncio, sys
from dataclasses import dataclass
import pgsession
from pgsession import PostgresStore, SessionMiddleware, Sessions, SessionSettings

class Gone:
    def find_spec(self, name, path, target=None):
        if name.startswith("pgsession"):
            raise ImportError(f"{name} is imported late")

@dataclass
class Cart:
    items: int = 0

async def page(scope, receive, send):
    await pages.pop(0)(scope)
    kind = "http.response.start" if scope["type"] == "http" else "websocket.accept"
    await send({"type": kind, "status": 200, "headers": []})

async def nothing(scope):
    pass

async def count(scope):
    scope["session"]["visits"] = scope["session"].get("visits", 0) + 1

async def sign_in(scope):
    scope["session"].login("ann")
    scope["session"].flash("Hello!")

async def use(scope):
    session = scope["session"]
    assert [flash.text for flash in await session.flashes()] == ["Hello!"]
    session.typed(Cart, "cart", default=Cart()).items += 1
    assert len(await session.devices()) == 1
    assert pgsession.flashes and pgsession.repost
    async with session.lasting():
        pass
    async with session.exclusive():
        session["n"] = 1
    async with sessions.open(session) as other:
        other["m"] = 1
    waiting = asyncio.ensure_future(session.ended())
    await asyncio.sleep(0)
    waiting.cancel()

async def sign_out(scope):
    scope["session"] = None

async def visit(*headers, kind="http"):
    scope = {"type": kind, "scheme": "https", "path": "/", "headers": [*headers]}
    sent = []
    async def send(message):
        sent.append(message)
    async def receive():
        return {"type": "websocket.connect"}
    await middleware(scope, receive, send)
    cookies = [value for name, value in sent[0].get("headers", ()) if name == b"set-cookie"]
    return [(b"cookie", cookies[0].partition(b";")[0])] if cookies else headers

async def main():
    await visit()
    sys.meta_path.insert(0, Gone())
    cookie = await visit()
    await visit(*cookie, kind="websocket")
    cookie = await visit(*cookie)  # which signs in
    await visit(*cookie)
    assert [user.user_id for user in await store.signed_in()] == ["ann"]
    await visit(*cookie)  # which signs out
    assert await store.devices("ann") == []
    key = await store.generate({"n": 1})
    async with store.exclusive(key) as held:
        await held.touch(key)
        await held.rotate(key, 0, grace=60)
        await held.signed_in()
        await held.devices("ann")
        await held.revoke_all("ann")
    await store.sweep()
    await store.revoke_all("ann")
    assert await store.revoke_everyone() == 1
    await store.close()

pages = [nothing, count, count, sign_in, use, sign_out]
store = PostgresStore(sys.argv[1], schema=sys.argv[2], telemetry="observed" in sys.argv)
settings = SessionSettings(
    secret_key="6cB0zOGsXH2uDCkBDJUdhW9I5b1lDr7lSnu2yVvhq0s",
    close_websockets=True,
    telemetry="observed" in sys.argv,
)
sessions = Sessions(store, settings=settings)
middleware = SessionMiddleware(page, sessions=sessions)
asyncio.run(main())
print("done")
"""


@pytest.mark.parametrize("telemetry", ["off", "observed"])
def test_gone(database_url: str, migrated_schema: str, telemetry: str) -> None:
    """After the first call the package imports no more of itself: a sign-out needs no file."""
    command = [sys.executable, "-c", PROGRAM, database_url, migrated_schema, telemetry]
    done = subprocess.run(command, capture_output=True, check=False, text=True)

    assert (done.stderr, done.stdout) == ("", "done\n")


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
