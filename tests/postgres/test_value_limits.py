"""The limit of a value's size holds for what concurrent requests merge."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from psycopg import AsyncConnection, Connection
from psycopg_pool import AsyncConnectionPool

from pgsession import Changes, PostgresStore, SessionNotFoundError, ValueTooLargeError
from pgsession.core.keys import digest
from pgsession.core.store import Written

LIMIT = 1000


@pytest.fixture
async def limited(database_url: str, migrated_schema: str) -> Any:
    """A store whose values may have `LIMIT` bytes."""
    async with PostgresStore(database_url, schema=migrated_schema, value_limit=LIMIT) as store:
        yield store


async def content(store: PostgresStore, key: str) -> dict[str, Any] | None:
    entry = await store.get(key)
    assert entry is not None
    return entry.value


def printed(table: Connection) -> list[int]:
    query = "SELECT octet_length(session_data::text) FROM session"
    return [size for (size,) in table.execute(query).fetchall()]


def bounds(table: Connection) -> list[tuple[Any, ...]]:
    query = "SELECT size_bound, octet_length(session_data::text) FROM session"
    return table.execute(query).fetchall()


@pytest.fixture
async def oversized(database_url: str, migrated_schema: str, table: Connection) -> str:
    """The key of a session from before the limit was lowered: it has twice as many bytes."""
    async with PostgresStore(database_url, schema=migrated_schema) as before:
        key = await before.generate(dict.fromkeys("ab", "x" * LIMIT))
    assert printed(table) == [2 * LIMIT + 18]
    return key


@pytest.mark.parametrize("parallel", [True, False], ids=["parallel", "in turn"])
async def test_merged(limited: PostgresStore, table: Connection, parallel: bool) -> None:
    """Merges that would pass the limit together are refused one by one; the others are kept."""
    key, *others = [await limited.generate({}) for _ in range(3)]
    merges = [limited.merge(key, Changes(set={f"m{n}": "x" * 195})) for n in range(20)]
    merges += [limited.merge(other, Changes(set={"o": 1})) for other in others]

    results: list[object] = []
    for group in [merges] if parallel else [[merge] for merge in merges]:
        results += await asyncio.gather(*group, return_exceptions=True)

    refused = [isinstance(result, ValueTooLargeError) for result in results]
    assert refused == [False] * 4 + [True] * 16 + [False] * 2
    assert sorted(await content(limited, key) or {}) == ["m0", "m1", "m2", "m3"]
    assert [await content(limited, other) for other in others] == [{"o": 1}] * 2
    assert max(printed(table)) <= LIMIT


async def test_exactly_the_limit(limited: PostgresStore, table: Connection) -> None:
    """A merged value of exactly the limit, as PostgreSQL prints it, is stored; one more is not."""
    key = await limited.generate({"a": "x" * 500})
    rest = LIMIT - len('{"a": "", "b": ""}') - 500

    with pytest.raises(ValueTooLargeError):
        await limited.merge(key, Changes(set={"b": "x" * (rest + 1)}))
    await limited.merge(key, Changes(set={"b": "x" * rest}))

    assert printed(table) == [LIMIT]


async def test_replaced_members(limited: PostgresStore, table: Connection) -> None:
    """What counts is the value as it becomes, though it was changed a hundred times."""
    key = await limited.generate({"n": "x" * 900})

    for n in range(20):
        await limited.merge(key, Changes(set={"n": f"{n:0900}"}))
        await limited.merge(key, Changes(removed={"m"}, set={"k": 1}))

    [(bound, size)] = bounds(table)
    assert size <= bound <= LIMIT


async def test_bound(limited: PostgresStore, table: Connection) -> None:
    """The bound in the row is never less than what PostgreSQL prints, whatever changes it."""
    key = await limited.generate()
    for n in range(40):
        await limited.merge(key, Changes(set={str(n): [1, {"é,:": 'é,:"\\\n'}, 1e-5, True]}))
        if n % 5 == 0:
            await limited.set(key, {str(n): ["a", {"b": None}]})
        if n % 7 == 0:
            await limited.take(key, str(n))
            key = await limited.renew(key, Changes(set={"r": n}))
        [(bound, size)] = bounds(table)
        assert size is None or size <= bound


async def test_unknown_bound(limited: PostgresStore, table: Connection) -> None:
    """A row from before the bound was kept, or one that SQL has filled, is measured."""
    key = await limited.generate({"n": 1})
    table.execute(
        "UPDATE session SET size_bound = NULL, session_data = jsonb_build_object('n', %s::text)",
        ("x" * 980,),
    )

    with pytest.raises(ValueTooLargeError):
        await limited.merge(key, Changes(set={"m": "xxx"}))
    await limited.merge(key, Changes(set={"m": 1}))

    assert printed(table) == [989 + 8]


async def test_past_the_limit(limited: PostgresStore, oversized: str) -> None:
    """A session past a limit that was lowered can be read, extended, renewed and ended."""
    assert await content(limited, oversized) == dict.fromkeys("ab", "x" * LIMIT)
    await limited.touch(oversized, period=60)
    await limited.show(oversized, 0)
    assert await limited.rotate(oversized, 0, grace=-60) == 1
    key = await limited.renew(oversized)
    assert not await limited.clear(key, only_if_empty=True)
    async with limited.exclusive(key) as held:
        await held.touch(key)
    assert await limited.take(key, "a") == "x" * LIMIT
    await limited.clear(key)
    assert await limited.get(key) is None


SHRINKING: dict[str, Changes] = {
    "removal": Changes(removed={"a"}),
    "smaller": Changes(set={"a": "y" * 500}),
    "same size": Changes(set={"a": "y" * 900}),
    "swapped": Changes(set={"c": "y" * 900}, removed={"a"}),
    "replaced": Changes(set={"c": 1}, replaced=True),
}
GROWING: dict[str, Changes] = {
    "member": Changes(set={"c": 1}),
    "larger": Changes(set={"a": "y" * 905, "b": "x" * 1001}),
}


@pytest.mark.parametrize("way", ["merge", "renew", "exclusive"])
@pytest.mark.parametrize(
    ("changes", "is_kept"),
    [
        *(pytest.param(changes, True, id=name) for name, changes in SHRINKING.items()),
        *(pytest.param(changes, False, id=name) for name, changes in GROWING.items()),
    ],
)
async def test_past_the_limit_changed(
    database_url: str, migrated_schema: str, way: str, changes: Changes, is_kept: bool
) -> None:
    """A session past the limit takes the changes that do not make it larger, and no others."""
    async with PostgresStore(database_url, schema=migrated_schema) as before:
        key = await before.generate(dict.fromkeys("ab", "x" * 900))

    async def change() -> str:
        async with PostgresStore(database_url, schema=migrated_schema, value_limit=1700) as store:
            if way == "renew":
                return await store.renew(key, changes)
            if way == "merge":
                await store.merge(key, changes)
            else:
                async with store.exclusive(key) as held:
                    await held.merge(key, changes)
            return key

    if not is_kept:
        with pytest.raises(ValueTooLargeError):
            await change()
    async with PostgresStore(database_url, schema=migrated_schema) as after:
        value = await content(after, await change() if is_kept else key)

    kept = {} if changes.replaced else dict.fromkeys("ab", "x" * 900)
    for name in changes.removed:
        del kept[name]
    assert value == (kept | dict(changes.set) if is_kept else kept)


async def test_renewed_in_the_batch(limited: PostgresStore) -> None:
    """If edits of one session are refused one by one, those behind its renewal find a dead key."""
    key = await limited.generate({"a": "x" * 900})

    results = await asyncio.gather(
        limited.merge(key, Changes(set={"b": 1})),
        limited.merge(key, Changes(set={"c": "x" * 100})),
        limited.renew(key, Changes(set={"d": 1})),
        limited.merge(key, Changes(set={"e": 1})),
        return_exceptions=True,
    )

    assert results[0] == Written()
    assert isinstance(results[1], ValueTooLargeError)
    assert isinstance(results[2], str)
    assert isinstance(results[3], SessionNotFoundError)
    assert await content(limited, results[2]) == {"a": "x" * 900, "b": 1, "d": 1}


async def test_held_row(limited: PostgresStore, table: Connection) -> None:
    """The limit holds for a value that another transaction was changing meanwhile."""
    key = await limited.generate({"a": 1})
    with table.transaction():
        table.execute(
            "UPDATE session SET session_data = jsonb_build_object('n', %s::text),"
            " size_bound = NULL WHERE session_key = %s",
            ("x" * 980, digest(key)),
        )
        waiting = asyncio.ensure_future(limited.merge(key, Changes(set={"m": "x" * 50})))
        others = [await limited.generate() for _ in range(3)]
        await asyncio.gather(*map(limited.touch, others))
        assert not waiting.done()

    with pytest.raises(ValueTooLargeError):
        await waiting


@pytest.mark.parametrize("is_large", [True, False], ids=["past the limit", "within"])
async def test_many_removals(database_url: str, migrated_schema: str, is_large: bool) -> None:
    """Sixty thousand members are removed in one statement, well within the timeout."""
    limit = 2_000_000
    members: dict[str, int] = {f"member{n}": n for n in range(60_000)}
    async with PostgresStore(database_url, schema=migrated_schema, value_limit=limit) as store:
        key = await store.generate(members | {"kept": 1})
    if is_large:
        limit = 1000
    async with PostgresStore(
        database_url, schema=migrated_schema, value_limit=limit, timeout=5
    ) as store:
        await store.merge(key, Changes(removed=members.keys() | {"none"}, set={"new": 1}))

        assert await content(store, key) == {"kept": 1, "new": 1}


@pytest.mark.parametrize("count", [100, 101, 102])
async def test_removals(limited: PostgresStore, count: int) -> None:
    """Few members and many are removed alike, also from a session without a value."""
    removed = {str(n) for n in range(count)}
    some, empty = await limited.generate({"0": 0, "99": 99, "kept": 1}), await limited.generate()

    await limited.merge(some, Changes(removed=removed))
    await limited.merge(empty, Changes(removed=removed, set={"0": 1}))

    assert await content(limited, some) == {"kept": 1}
    assert await content(limited, empty) == {"0": 1}


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("SELECT s.session_key::pg_catalog.text, (%octet_length%", id="standing"),
        pytest.param("UPDATE %size_bound = pg_catalog.octet_length%", id="measured"),
    ],
)
async def test_done_once(database_url: str, migrated_schema: str, statement: str) -> None:
    """If what follows a batch's UPDATE fails, the edits that it has made are not made again."""
    kwargs = {"autocommit": True}
    pool = AsyncConnectionPool(database_url, kwargs=kwargs, min_size=1, max_size=1, open=False)
    async with PostgresStore(pool, schema=migrated_schema, value_limit=LIMIT) as store:

        async def batch(key: str) -> tuple[Any, ...]:
            large = await store.generate({"a": "x" * 900})
            return await asyncio.gather(
                store.renew(key, Changes(set={"m": 1})),
                store.merge(large, Changes(set={"b": "x" * 100})),
                return_exceptions=True,
            )

        key, _ = await batch(await store.generate({}))
        async with pool.connection() as connection:
            await forget_statements(connection, statement)
        results = await batch(key)

        assert isinstance(results[1], ValueTooLargeError)
        assert isinstance(results[0], str)
        assert await content(store, results[0]) == {"m": 1}


async def forget_statements(connection: AsyncConnection[Any], pattern: str) -> None:
    """Deallocate prepared statements, unseen by psycopg, as a pooler may."""
    found = await connection.execute(
        "SELECT name FROM pg_prepared_statements WHERE statement LIKE %s", (f"%{pattern}",)
    )
    names = [name for (name,) in await found.fetchall()]
    assert names
    for name in names:
        connection.pgconn.exec_(f'DEALLOCATE "{name}"'.encode())


async def test_without_autocommit(database_url: str, migrated_schema: str) -> None:
    """In a caller's pool without autocommit, an edit that has to wait undoes no other of its batch.

    The one that waits is measured alone, as its size is estimated above the limit.
    """
    options = f"-csearch_path={migrated_schema}"
    pool = AsyncConnectionPool(database_url, kwargs={"options": options}, open=False, min_size=2)
    async with (
        PostgresStore(pool, value_limit=LIMIT) as store,
        await AsyncConnection.connect(database_url, options=options) as holder,
    ):
        held, *others = [await store.generate({"n": 0}) for _ in range(6)]
        await holder.execute(
            "SELECT FROM session WHERE session_key = %s FOR UPDATE", [digest(held)]
        )
        large = asyncio.ensure_future(store.merge(held, Changes(set={"a": "," * 600})))
        written = await asyncio.gather(*(store.merge(key, Changes(set={"n": 1})) for key in others))
        await holder.rollback()
        await large

        assert written == [Written()] * 5
        assert [await content(store, key) for key in others] == [{"n": 1}] * 5
        assert await content(store, held) == {"n": 0, "a": "," * 600}


async def test_touch_beside_a_large_merge(limited: PostgresStore) -> None:
    """An edit that adds nothing is never refused, whatever is in the same batch."""
    key = await limited.generate()

    touched, merged = await asyncio.gather(
        limited.touch(key, period=99, granted=True),
        limited.merge(key, Changes(set={"a": "," * 600})),
    )

    assert (touched.granted, merged.granted) == (timedelta(seconds=99),) * 2


async def test_small_changes_of_a_large_session(
    counted: PostgresStore, statements: list[str], table: Connection
) -> None:
    """A small change of a large session is one statement, which measures nothing."""
    key = await counted.generate({"count": 0, "rest": [["x" * 90] * 10] * 200})
    statements.clear()

    for number in range(50):
        await counted.merge(key, Changes(set={"count": number}))

    [size] = printed(table)
    assert size > 180_000
    assert len(statements) == 50
    assert len(set(statements)) == 1
    [(bound, _)] = bounds(table)
    assert size < bound < size + 50 * 30
