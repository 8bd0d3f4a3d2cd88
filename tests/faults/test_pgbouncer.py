"""PgBouncer in transaction mode between the store and its server."""

import asyncio
import json
import logging
import random
import re
import secrets
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool

from pgsession import Changes, PostgresStore, SettingsError, StoreUnavailableError
from pgsession.core.keys import digest
from pgsession.core.login import Login
from tests.faults.bouncer import PROGRAM, bouncer, version
from tests.faults.conftest import Report
from tests.faults.proxy import proxied
from tests.faults.servers import Server
from tests.faults.site import HEALING, Writers, opened_site
from tests.programs import pgsession
from tests.project.documents import Document

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no pgbouncer here: install Debian's")

#: The first version that supports prepared statements.
CARRYING = (1, 22)


@pytest.fixture(params=[None, False, True], ids=["default", "unprepared", "prepared"])
def prepared(request: pytest.FixtureRequest) -> bool | None:
    """What the store is told about prepared statements."""
    if request.param and version() < CARRYING:
        pytest.skip("this pgbouncer does not support prepared statements")
    given: bool | None = request.param
    return given


@pytest.fixture
def conninfo(server: Server, tmp_path: Path, prepared: bool | None) -> Iterator[str]:
    """The conninfo of a PgBouncer with three connections to the server."""
    with bouncer(server, tmp_path / "bouncer", prepared=bool(prepared)) as it:
        yield it


@pytest.fixture
def plain(server: Server, tmp_path: Path) -> Iterator[str]:
    """The conninfo of a PgBouncer that does not support prepared statements."""
    with bouncer(server, tmp_path / "bouncer", prepared=False) as it:
        yield it


async def test_whole_life(conninfo: str, prepared: bool | None) -> None:
    """Whatever can be done to a session can be done through it."""
    async with PostgresStore(conninfo, prepared=prepared) as store:
        key = await store.generate({"a": 1}, period=60)
        await store.merge(key, Changes(set={"b": 2}))
        await store.touch(key, period=timedelta(hours=1))
        key = await store.renew(key, Changes(set={"c": 3}))
        assert await store.take(key, "c") == 3
        async with store.exclusive(key) as held:
            await held.merge(key, Changes(removed={"a"}))
        entry = await store.get(key)
        assert entry is not None
        assert entry.value == {"b": 2}
        await store.clear(key)
        assert await store.get(key) is None


async def test_many_clients(conninfo: str, prepared: bool | None) -> None:
    """Many processes' worth of clients share its connections, and none meets another's."""
    stores = [PostgresStore(conninfo, prepared=prepared) for _ in range(10)]
    key = await stores[0].generate({"count": 0})

    async def count(store: PostgresStore, number: int) -> None:
        for turn in range(20):
            await store.merge(key, Changes(set={f"{number}": turn}))
            await store.get(key)
            async with store.exclusive(key, timeout=20) as held:
                entry = await held.get(key)
                assert entry is not None
                assert entry.value is not None
                await held.merge(key, Changes(set={"count": entry.value["count"] + 1}))

    await asyncio.gather(*(count(store, number) for number, store in enumerate(stores)))

    entry = await stores[0].get(key)
    assert entry is not None
    assert entry.value == {"count": 200} | {f"{number}": 19 for number in range(10)}
    for store in stores:
        await store.close()


async def test_server_connections_killed(
    server: Server, conninfo: str, report: Report, prepared: bool | None
) -> None:
    """No acknowledged change is lost when the server ends PgBouncer's connections."""
    async with opened_site(conninfo, report.seen, timeout=2, prepared=prepared) as site:
        keys = [await site.store.generate({}) for _ in range(8)]
        async with Writers(site, keys) as writers:
            for _ in range(5):
                await writers.progress(20)
                await asyncio.to_thread(server.kill_backends, "pgsession")
        report.healed = await site.heal(keys[0])

        found = await writers.found()
    report.remark = f"{writers.count} acknowledged, {found} found"
    assert found == writers.count
    assert report.healed < HEALING


async def use(store: PostgresStore, direct: PostgresStore, number: int) -> None:
    """Do fifty things to sessions through a pooler, and look at each directly afterwards."""
    dice = random.Random(number)  # noqa: S311 - which things
    for _ in range(50):
        key = await direct.generate({"n": 1})
        match dice.choice(("get", "merge", "clear")):
            case "get":
                assert await store.get(key) is not None
                assert await direct.get(key) is not None
            case "merge":
                await store.merge(key, Changes(set={"n": 5}))
                entry = await direct.get(key)
                assert entry is not None
                assert entry.value == {"n": 5}
            case _:
                await store.clear(key)
                assert await direct.get(key) is None


async def test_no_statement_is_another(server: Server, plain: str) -> None:
    """Stores with default settings that share server connections do what they were told."""
    async with PostgresStore(server.conninfo()) as direct, AsyncExitStack() as stack:
        stores = [
            await stack.enter_async_context(PostgresStore(plain, pool_size=2)) for _ in range(3)
        ]
        await asyncio.gather(
            *(use(store, direct, n) for n, store in enumerate(stores * 4)),
        )


async def test_callers_pools(server: Server, plain: str) -> None:
    """The same holds for pools of the caller's, even if they prepare every statement."""
    kwargs = {"autocommit": True, "prepare_threshold": 0}
    async with PostgresStore(server.conninfo()) as direct, AsyncExitStack() as stack:
        stores = []
        for _ in range(3):
            pool = AsyncConnectionPool(plain, open=False, min_size=1, kwargs=kwargs)
            store = PostgresStore(await stack.enter_async_context(pool))
            stores.append(await stack.enter_async_context(store))
        await asyncio.gather(
            *(use(store, direct, n) for n, store in enumerate(stores * 2)),
        )


async def test_found_out(plain: str, caplog: pytest.LogCaptureFixture) -> None:
    """By default one line in the log says that a pooler was found."""
    caplog.set_level(logging.INFO, "pgsession")
    async with PostgresStore(plain) as store:
        await store.generate()

    assert [record.message for record in caplog.records if "pooler" in record.message] == [
        "A pooler stands between this process and PostgreSQL: statements are not prepared."
    ]


async def test_prepared_in_vain(plain: str) -> None:
    """A store that is told to prepare behind a pooler that mixes statements up does not open."""
    store = PostgresStore(plain, prepared=True)
    with pytest.raises(SettingsError, match="mixes up"):
        await store.open()
    await store.close()


def test_check(plain: str, server: Server) -> None:
    """`pgsession check` tells whether a pooler stands in between, and whether it can work."""
    for url, prepared, told in (
        (plain, "", "ok +connection +through a pooler"),
        (plain, "true", "wrong +connection +through a pooler that mixes up"),
        (server.conninfo(), "", "ok +connection +direct"),
    ):
        variables = {
            "SESSION_DATABASE_URL": url,
            "SESSION_SECRET_KEY": "s" * 32,
            "SESSION_PREPARED": prepared,
        }
        done = pgsession("check", **variables)
        assert re.search(rf"^{told}", done.stdout, re.MULTILINE)


async def test_operators(plain: str, server: Server) -> None:
    """The commands of operators list, count and end sessions through a pooler."""
    async with PostgresStore(server.conninfo()) as store:
        keys = [await store.login(None, Login("operated"), Changes()) for _ in range(3)]
        variables = {"SESSION_DATABASE_URL": plain}

        def run(*arguments: str) -> Any:
            done = pgsession(*arguments, "--json", **variables)
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout)

        listed = run("devices", "operated")["sessions"]
        assert {each["handle"] for each in listed} == set(map(digest, keys))
        assert run("revoke", "operated", digest(keys[0]), "--yes")["ended"] == 1
        assert run("stats")["counts"]["living"] >= 2
        assert run("revoke", "--everyone", "--yes")["ended"] >= 2
        assert [await store.get(key) for key in keys] == [None] * 3


@pytest.mark.parametrize("owner", ["caller's pool", "own pool", "own pool, prepared"])
async def test_takes_over_the_address(server: Server, plain: str, owner: str) -> None:
    """A pooler that comes in between later mixes nothing up either."""
    port = int(conninfo_to_dict(plain)["port"] or 0)
    async with (
        PostgresStore(server.conninfo()) as direct,
        proxied(server.port) as proxy,
        AsyncExitStack() as stack,
    ):
        url = server.conninfo(port=proxy.port)
        stores = []
        for _ in range(3):
            if owner == "caller's pool":
                kwargs = {"autocommit": True}
                pool = AsyncConnectionPool(url, open=False, min_size=1, kwargs=kwargs)
                store = PostgresStore(await stack.enter_async_context(pool))
            else:
                prepared = True if owner == "own pool, prepared" else None
                store = PostgresStore(url, pool_size=2, prepared=prepared)
            stores.append(await stack.enter_async_context(store))
        proxy.target = port
        proxy.cut()
        for store in stores:
            await wait_for_store(store)

        await asyncio.gather(
            *(use(store, direct, n) for n, store in enumerate(stores * 2)),
        )


async def wait_for_store(store: PostgresStore) -> None:
    """Wait until a store whose connections were cut answers again."""
    async with asyncio.timeout(30):
        while True:
            with suppress(StoreUnavailableError):
                await store.get(secrets.token_hex())
                return


def test_sql_of_operators(plain: str) -> None:
    """The statements of an operator that docs/reference/sql.md names work through it."""
    pgsession("migrate", SESSION_DATABASE_URL=plain, SESSION_SCHEMA="web")
    with psycopg.connect(plain, autocommit=True, prepare_threshold=None) as connection:
        connection.execute(Document("docs/reference/sql.md").statements[0].encode())
        connection.execute("VACUUM web.session")
        connection.execute("CREATE INDEX CONCURRENTLY own ON web.session (user_id)")
        connection.execute("DROP SCHEMA web CASCADE")
