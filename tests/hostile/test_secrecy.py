"""No error, log, page or repr shows a key, cookie, value, secret or password."""

import asyncio
import html
import logging
import re
import sys
from collections.abc import Callable

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from psycopg import Connection
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from pgsession import (
    Changes,
    PostgresStore,
    SessionError,
    SessionMiddleware,
    SessionSettings,
)
from pgsession.postgres.schema import migrate
from tests.concurrency.witness import Witness
from tests.hostile.forgeries import FORGERIES
from tests.hostile.overhearing import Ear, Overheard, listening
from tests.hostile.secret import PASSWORD, REFUSED, SECRET, VALUE
from tests.hostile.site import write
from tests.pages import NAME

FRAMEWORKS = pytest.mark.parametrize("framework", [Starlette, FastAPI])


@FRAMEWORKS
async def test_ordinary(client: AsyncClient) -> None:
    """Writing, renewing, failing and logging out expose no secret."""
    for page in ("look", "write", "look", "fall", "renew", "write", "leave", "write"):
        await client.get(f"/{page}")


async def test_forged(client: AsyncClient, ear: Ear) -> None:
    """A forged cookie is not exposed either: it may belong to another site or be almost valid."""
    await client.get("/write")
    good = client.cookies[NAME].encode()
    client.cookies.clear()

    for forge in FORGERIES.values():
        await client.get("/fall", headers=[(b"cookie", text) for text in forge(good)])

    ear.keep("x" * 100, "k" * 20)


@FRAMEWORKS
@pytest.mark.parametrize("kind", REFUSED)
async def test_refused(client: AsyncClient, kind: str) -> None:
    """An error for a rejected value names its path, also on the debug page."""
    await client.get("/write")

    response = await client.get("/spoil", params={"kind": kind})

    assert response.status_code == 500
    # The page shows local variables; Python 3.11 cannot print an integer of this size.
    if kind != "huge" or sys.version_info >= (3, 12):
        assert re.search(r'session\["it"\]|bytes of JSON', html.unescape(response.text))


@pytest.mark.parametrize("page", ["write", "leave"])
async def test_killed(client: AsyncClient, witness: Witness, page: str) -> None:
    """A connection lost during a statement gives a 503 that exposes no secret."""
    await client.get("/write")
    key = client.cookies[NAME][:40]

    async with witness.holding_row(key):
        answer = asyncio.create_task(client.get(f"/{page}"))
        await witness.waiting(1)
        (process,) = await witness.in_transaction()
        await witness.kill(process)
        assert (await answer).status_code == 503


async def test_out_of_time(client: AsyncClient, witness: Witness) -> None:
    """A statement that exceeds the timeout gives a 503 that exposes no secret."""
    await client.get("/write")

    async with witness.holding_row(client.cookies[NAME][:40]):
        assert (await client.get("/write")).status_code == 503


@pytest.mark.parametrize("wrong", [{"port": "1", "host": "127.0.0.1"}, {"dbname": "nowhere"}])
async def test_unreachable(settings: SessionSettings, ear: Ear, wrong: dict[str, str]) -> None:
    """The error for an unreachable database does not contain its password."""
    url = make_conninfo(settings.database_url or "", **wrong)
    elsewhere = SessionSettings(secret_key=SECRET, database_url=url, timeout=1)
    app = Starlette(
        debug=True,
        routes=[Route("/write", write)],
        middleware=[Middleware(SessionMiddleware, settings=elsewhere)],
    )
    transport = ASGITransport(Overheard(app, ear), raise_app_exceptions=False)

    async with AsyncClient(transport=transport, base_url="https://testserver") as client:
        response = await client.get("/write")

    ear.note(response.text, repr(elsewhere))
    assert response.status_code == 503


#: The password, and its results where it is not escaped, in URLs and in keywords.
WRITTEN = {
    "whole": f"postgresql://ann:{PASSWORD}@127.0.0.1:1/app",
    "in-the-query": f"postgresql:///app?host=127.0.0.1&port=1&password={PASSWORD}",
    "as-keyword": f"host=127.0.0.1 port=1 password={PASSWORD}",
    "with-a-blank": f"host=127.0.0.1 port=1 password={PASSWORD[:10]} {PASSWORD[10:]}",
    "open-quote": f"host=127.0.0.1 port=1 password='{PASSWORD}",
    "of-SQLAlchemy": f"postgresql+psycopg://ann:{PASSWORD}@127.0.0.1:1/app",
    "of-JDBC": f"jdbc:postgresql://127.0.0.1:1/app?password={PASSWORD}",
    "without-scheme": f"ann:{PASSWORD}@127.0.0.1:1/app",
    "as-database": f"dbname=postgresql://ann:{PASSWORD}@127.0.0.1:1/app",
    "open-bracket": f"postgresql://ann:{PASSWORD}@[::1/app",
    **{
        f"with-{letter}": f"postgresql://ann:{PASSWORD[:10]}{letter}{PASSWORD[10:]}@127.0.0.1:1/app"
        for letter in "/@?#%:;&=[]+"
    },
}


@pytest.mark.parametrize("url", WRITTEN.values(), ids=WRITTEN)
async def test_password(ear: Ear, url: str) -> None:
    """Errors about a wrong or unreachable database URL hide the password, also in their causes."""
    ear.keep(PASSWORD)

    async def open_store() -> None:
        await PostgresStore(url, timeout=2).open()

    async def open_settings() -> None:
        await SessionSettings(secret_key=SECRET, database_url=url, timeout=2).make_store().open()

    async def open_pool() -> None:
        pool = AsyncConnectionPool(url, open=False, timeout=0.1, reconnect_timeout=0.1, min_size=1)
        await PostgresStore(pool).open()

    async def apply() -> None:
        migrate(url)

    attempts = [open_store, open_settings, apply]
    if url is WRITTEN["whole"]:
        attempts.append(open_pool)
    for attempt in attempts:
        with pytest.raises(SessionError) as caught:
            await attempt()
        ear.note_error(caught.value)


async def test_unreadable(client: AsyncClient, table: Connection) -> None:
    """A row that cannot be read is logged, but not its content."""
    await client.get("/write")
    row = f'{{"u": "{VALUE}", "n": {"9" * 5_000}}}'
    table.execute("UPDATE session SET session_data = %s::jsonb", (row,))

    assert (await client.get("/write")).status_code == 200


@pytest.mark.parametrize("prepared", [True, False], ids=["prepared", "unprepared"])
async def test_activity(
    settings: SessionSettings, witness: Witness, table: Connection, ear: Ear, *, prepared: bool
) -> None:
    """pg_stat_activity shows the text of the statements without their parameters."""

    def look() -> None:
        query = "SELECT query FROM pg_stat_activity WHERE application_name = %s"
        seen = [text for (text,) in table.execute(query, (witness.name,))]
        assert seen
        ear.note(*seen)

    changes = Changes(set={"u": VALUE}, removed=[VALUE])
    store = PostgresStore(
        settings.database_url or "", schema=settings.schema, pool_size=1, prepared=prepared
    )
    async with store:
        key = await store.generate({"u": VALUE})
        look()
        await asyncio.gather(*(store.generate({"u": VALUE}) for _ in range(5)))
        look()
        await store.get(key)
        look()
        await store.set(key, {"u": VALUE})
        look()
        await asyncio.gather(*(store.merge(key, changes) for _ in range(5)))
        look()
        await store.touch(key)
        look()
        await store.take(key, VALUE)
        look()
        async with store.exclusive(key) as held:
            look()
            await held.merge(key, changes)
            look()
        renewed = await store.renew(key, changes)
        ear.keep(key, renewed)
        look()
        await store.clear(renewed, only_if_empty=True)
        look()
        await store.clear(renewed)
        look()


def leak_log(_ear: Ear) -> None:
    logging.getLogger("psycopg.pool").debug("connecting: %s", VALUE)


def leak_record(_ear: Ear) -> None:
    logging.getLogger().info("nothing to see", extra={"given": VALUE})


def leak_cause(ear: Ear) -> None:
    error = KeyError()
    error.__cause__ = TypeError()
    error.__cause__.__context__ = LookupError(VALUE)
    ear.note_error(error)


def leak_note(_ear: Ear) -> None:
    error = LookupError()
    error.add_note(VALUE)
    logging.getLogger("asyncio").error("failed", exc_info=error)


def leak_diagnosis(ear: Ear) -> None:
    ear.note_error(ExceptionGroup("several", [UnicodeEncodeError("ascii", VALUE, 0, 1, "why")]))


def leak_callback(_ear: Ear) -> None:
    asyncio.get_running_loop().call_soon(len, VALUE)


def leak_task(_ear: Ear) -> None:
    async def fail() -> None:
        raise LookupError(VALUE)

    asyncio.get_running_loop().create_task(fail())


LEAKS = (
    leak_log,
    leak_record,
    leak_cause,
    leak_note,
    leak_diagnosis,
    leak_callback,
    leak_task,
)


@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: leak.__name__)
async def test_heard(leak: Callable[[Ear], None]) -> None:
    """The listener of these tests finds secrets in each of these places."""
    ear = Ear(VALUE)

    async with listening(ear):
        leak(ear)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    assert ear.leaks() != []
