"""Part 3: the store's calls, compared with bare statements through a pool and with Redis."""

import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool
from redis.asyncio import Redis

from benchmarks.measure import Part, Sample, Trial, alternate, closed_loop, said
from benchmarks.options import Options
from benchmarks.peers import naive
from benchmarks.rows import fill
from benchmarks.servers import Places
from benchmarks.values import VALUE
from pgsession import Changes, PostgresStore
from pgsession.core.keys import digest, new_key

LOADS = (1, 64)
TITLES = {
    "ours": "pgsession",
    "naive": "one statement a call",
    "bare": "bare statement",
    "redis": "Redis",
}
TEXT = json.dumps(VALUE)
WEEK = 604_800.0

#: Rows for a round whose calls consume rows; the round ends when none is left.
SPARE = 6_000

#: Calls that succeed only once for each key.
USING_UP = frozenset({"clear", "renew"})

KeyCall = Callable[[str], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Subject:
    """The calls of one store. Each takes a key (or its digest, for bare statements)."""

    get: KeyCall
    merge: KeyCall
    generate: KeyCall
    clear: KeyCall
    renew: KeyCall


async def measure(places: Places, options: Options) -> Part:
    """Measure every call of every store."""
    async with AsyncExitStack() as stack:
        store = PostgresStore(places.postgres, pool_size=places.pool_size, telemetry=False)
        await stack.enter_async_context(store)
        pool = await stack.enter_async_context(places.pool())
        subjects = {
            "ours": stores(store),
            "naive": stores(naive.NaiveStore(pool)),
            "bare": statements(pool),
        }
        client = None
        if places.redis is not None:
            client = Redis(unix_socket_path=places.redis, max_connections=1024)
            await stack.enter_async_context(client)
            subjects["redis"] = commands(client)
        keys = Keys(places, client)
        await keys.make(options.sessions)
        trials = [
            Trial(name, work, load, partial(run, getattr(subject, work), keys, work, name, load))
            for work in ("get", "merge", "generate", "clear", "renew")
            for load in LOADS
            for name, subject in subjects.items()
        ]
        cells = await alternate(trials, rounds=options.rounds, seconds=options.seconds)
    return Part(cells, {"titles": TITLES}, said(options.rounds, options.seconds))


class Keys:
    """Keys of live sessions. Some calls consume their keys."""

    def __init__(self, places: Places, client: "Redis | None") -> None:
        self._places = places
        self._client = client
        self._steady: list[str] = []

    async def make(self, count: int) -> None:
        """Make the keys that are not consumed."""
        self._steady = [new_key() for _ in range(count)]
        for redis in (False, True):
            await self._fill(self._steady, redis=redis)

    async def choose(self, work: str, name: str) -> list[str]:
        """Return the keys, or their digests, for one round of a subject."""
        keys = self._steady
        if work in USING_UP:
            keys = [new_key() for _ in range(SPARE)]
            await self._fill(keys, redis=name == "redis")
        return [digest(key) for key in keys] if name == "bare" else keys

    async def _fill(self, keys: list[str], *, redis: bool) -> None:
        if not redis:
            await fill(self._places.postgres, keys, TEXT)
        elif self._client is not None:
            await self._client.mset(dict.fromkeys(keys, TEXT))


async def run(  # noqa: PLR0917 - a partial binds all but the last
    call: KeyCall, keys: Keys, work: str, name: str, load: int, seconds: float
) -> Sample:
    """Measure one call for one round."""
    chosen = await keys.choose(work, name)
    most = len(chosen) if work in USING_UP else None
    count = len(chosen)

    async def one(number: int) -> None:
        await call(chosen[number % count])

    return await closed_loop(one, in_flight=load, seconds=seconds, most=most)


def stores(store: PostgresStore | naive.NaiveStore) -> Subject:
    """Return the calls of a store."""
    changes = Changes(set={"count": 1})
    return Subject(
        get=store.get,
        merge=lambda key: store.merge(key, changes),
        generate=lambda _: store.generate(VALUE),
        clear=store.clear,
        renew=store.renew,
    )


def statements(pool: AsyncConnectionPool[AsyncConnection[Any]]) -> Subject:
    """Return calls of one statement each; the digests are computed beforehand."""

    async def send(statement: str, *arguments: object) -> None:
        async with pool.connection() as connection:
            cursor = await connection.execute(statement.encode(), arguments, prepare=True)
            if cursor.description is not None:
                await cursor.fetchone()

    return Subject(
        get=lambda key: send(naive.GET, key),
        merge=lambda key: send(naive.MERGE, [], '{"count": 1}', None, key),
        generate=lambda _: send(naive.GENERATE, new_key(), TEXT, WEEK),
        clear=lambda key: send(naive.CLEAR, key),
        renew=lambda key: send(naive.RENEW, new_key(), key),
    )


def commands(client: Redis) -> Subject:
    """Return calls of one command each. Redis always stores the whole value."""
    seconds = int(WEEK)
    return Subject(
        get=client.get,
        merge=lambda key: client.set(key, TEXT, ex=seconds),
        generate=lambda _: client.set(new_key(), TEXT, ex=seconds),
        clear=client.delete,
        renew=lambda key: client.rename(key, new_key()),
    )
