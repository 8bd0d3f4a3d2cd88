"""A primary with a standby that replaces it under load."""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pgsession import PostgresStore, StoreUnavailableError
from pgsession.core.login import Login
from pgsession.core.store import Changes
from pgsession.settings import DEFAULT_WATCH_EVERY
from tests.faults.conftest import Report
from tests.faults.servers import Server, new_server, new_standby
from tests.faults.site import HEALING, SECRET, Writers, opened_site, tasks_left
from tests.project.documents import Document
from tests.waiting import policy_of, request

Pair = tuple[Server, Server]

REPLICATED = "ALTER SYSTEM SET synchronous_standby_names = '*'"

MODES = pytest.mark.parametrize("mode", ["immediate", "fast"], ids=["crash", "planned"])

#: Streams learn of an end within these seconds.
LIMIT = 2.0


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """A primary with synchronous replication to its standby."""
    with (
        new_server(tmp_path / "primary") as primary,
        new_standby(primary, tmp_path / "standby") as standby,
    ):
        primary.execute(REPLICATED)
        primary.execute("SELECT pg_reload_conf()")
        yield primary, standby


def both(*servers: Server, **keywords: str) -> str:
    """Return a conninfo with several hosts."""
    hosts = ",".join("127.0.0.1" for _ in servers)
    ports = ",".join(str(server.port) for server in servers)
    return servers[0].conninfo(host=hosts, port=ports, **keywords)


@MODES
async def test_promotion(pair: Pair, report: Report, mode: str) -> None:
    """When a standby is promoted, the site switches to it, and no acknowledged change is lost."""
    primary, standby = pair
    async with opened_site(both(primary, standby), report.seen) as site:
        keys = [await site.store.generate({}) for _ in range(8)]
        async with Writers(site, keys) as writers:
            await writers.progress(300)
            await asyncio.to_thread(primary.stop, mode)
            await asyncio.to_thread(standby.promote)
            report.healed = await site.heal(keys[0])
            standby.execute("ALTER SYSTEM RESET synchronous_standby_names")
            standby.execute("SELECT pg_reload_conf()")
            await writers.progress(300)

        found = await writers.found()
    report.remark = f"{writers.count} acknowledged, {found} found"
    assert found == writers.count
    assert report.healed < HEALING


@MODES
async def test_streams(
    pair: Pair, report: Report, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    """When a standby is promoted, no stream is told that its session has ended, and a revocation on
    the new primary is told as soon as on the old one.
    """
    primary, standby = pair
    caplog.set_level(logging.WARNING, "pgsession")
    async with PostgresStore(both(primary, standby), timeout=1) as store:
        policy = policy_of(store, DEFAULT_WATCH_EVERY)
        keys = {user: await store.login(None, Login(user), Changes()) for user in ("ann", "bob")}
        streams = {user: await request(policy, key) for user, key in keys.items()}
        waiting = {user: each.wait_for_end() for user, each in streams.items()}

        await asyncio.to_thread(primary.stop, mode)
        async with asyncio.timeout(30):
            while not any("not told" in it for it in caplog.messages):  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.1)
        assert not any(each.done() for each in waiting.values())
        await asyncio.to_thread(standby.promote)
        standby.execute("ALTER SYSTEM RESET synchronous_standby_names")
        standby.execute("SELECT pg_reload_conf()")
        report.healed = await _revoke(store, "ann")
        async with asyncio.timeout(LIMIT):
            await waiting["ann"]
        assert not waiting["bob"].done()  # the same statement has asked for both
        for each in streams.values():
            each.end_streams()
    assert report.healed < HEALING
    assert tasks_left() == []


async def _revoke(store: PostgresStore, user: str) -> float:
    """Retry a revocation until it succeeds; return the seconds that it took."""
    began = time.monotonic()
    async with asyncio.timeout(30):
        while True:
            try:
                assert await store.revoke_all(user) == 1
            except StoreUnavailableError:
                await asyncio.sleep(0.05)
            else:
                return time.monotonic() - began


async def test_demotion(pair: Pair, report: Report) -> None:
    """Connections to a primary that has become a standby are closed, and not kept for an hour."""
    primary, standby = pair
    # For its clients, a read-only server is the same as a standby.
    async with opened_site(both(primary, standby), report.seen) as site:
        key = await site.store.generate({})
        await asyncio.gather(*(site.get("/write", key, a=str(n)) for n in range(20)))
        await asyncio.to_thread(standby.promote)
        standby.execute("ALTER SYSTEM RESET synchronous_standby_names")
        standby.execute("SELECT pg_reload_conf()")
        primary.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        primary.execute("SELECT pg_reload_conf()")

        report.healed = await site.heal(key)
        assert standby.execute("SELECT session_data ->> 'healed' FROM session") == [("yes",)]
    assert report.healed < HEALING


async def test_standby_alone(pair: Pair) -> None:
    """A store does not open on a standby, and its error names `target_session_attrs`."""
    _, standby = pair

    with pytest.raises(StoreUnavailableError, match="target_session_attrs=read-write"):
        await PostgresStore(standby.conninfo()).open()


async def test_drill(
    server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program of the page says when changes fail, when they work again, and what is lost."""
    (program,) = Document("docs/operations/failover.md").programs
    names: dict[str, Any] = {"__name__": "drill"}
    exec(compile(program, "drill.py", "exec"), names)  # noqa: S102 - the project's own page
    monkeypatch.setenv("SESSION_DATABASE_URL", server.conninfo())
    monkeypatch.setenv("SESSION_SECRET_KEY", SECRET)
    said = ""

    async def until_said(text: str) -> None:
        nonlocal said
        async with asyncio.timeout(30):
            while text not in said:
                await asyncio.sleep(0.05)
                said += capsys.readouterr().out

    drill = asyncio.create_task(names["drill"]())
    await until_said("The drill has begun.\n")
    await asyncio.to_thread(server.stop)
    await until_said(" failed: ")
    await asyncio.to_thread(server.start)
    await until_said(" worked again, after ")
    server.execute("DELETE FROM session")
    await until_said("The session is lost: ")

    drill.cancel()
    with suppress(asyncio.CancelledError):
        await drill
    assert server.execute("SELECT FROM session") == []
