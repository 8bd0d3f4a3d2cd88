"""Races of two operations on one row, in either order: both wait before either proceeds."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from datetime import timedelta
from functools import partial
from typing import Any, Final, TypeAlias

import pytest
from psycopg import AsyncConnection

from pgsession import Changes, PostgresStore, SessionNotFoundError
from pgsession.core.login import Login
from pgsession.core.store import Written
from pgsession.core.users import UserStore, as_user_store
from pgsession.postgres.statements.text import LONGEST_WAIT
from tests.concurrency.witness import Witness, eventually, outcome

pytestmark = pytest.mark.usefixtures("long_patience")

Operation: TypeAlias = Callable[[PostgresStore, str], Coroutine[Any, Any, object]]
Editing: TypeAlias = Callable[[UserStore, str], Coroutine[Any, Any, object]]

#: The statement of a sweep with its clock an hour ahead, so that it removes rows that
#: are still valid.
SWEEP: Final = "DELETE FROM session WHERE expire_date < now() + interval '1 hour'"
MINUTE: Final = 60
HOUR: Final = timedelta(hours=1)


def merging(**members: object) -> Operation:
    return lambda store, key: store.merge(key, Changes(set=members))


def removing(*names: str) -> Operation:
    return lambda store, key: store.merge(key, Changes(removed=names))


def replacing(**members: object) -> Operation:
    return lambda store, key: store.set(key, members)


def touching(store: PostgresStore, key: str) -> Coroutine[Any, Any, object]:
    return store.touch(key)


def clearing(store: PostgresStore, key: str) -> Coroutine[Any, Any, object]:
    return store.clear(key)


def clearing_empty(store: PostgresStore, key: str) -> Coroutine[Any, Any, object]:
    return store.clear(key, only_if_empty=True)


def renewing(store: PostgresStore, key: str) -> Coroutine[Any, Any, object]:
    return store.renew(key)


def taking(store: PostgresStore, key: str) -> Coroutine[Any, Any, object]:
    return store.take(key, "a")


#: What extends a session.
EDITS: Final[dict[str, Editing]] = {
    "merge": lambda store, key: store.merge(key, Changes({"a": 1}), period=MINUTE),
    "touch": lambda store, key: store.touch(key),
    "renewal": lambda store, key: store.renew(key, period=MINUTE),
    "login": lambda store, key: store.login(key, Login("ann"), Changes()),
    "confirmation": lambda store, key: store.confirm(key, period=MINUTE),
}


def heir_among(outcomes: list[object]) -> str:
    (heir,) = [each for each in outcomes if isinstance(each, str)]
    return heir


@pytest.mark.parametrize(
    ("first", "second", "value"),
    [
        pytest.param(merging(a=1), merging(a=2), {"a": 2, "z": 0}, id="same key, 1 then 2"),
        pytest.param(merging(a=2), merging(a=1), {"a": 1, "z": 0}, id="same key, 2 then 1"),
        pytest.param(
            merging(a=1), merging(b=2), {"a": 1, "b": 2, "z": 0}, id="other keys, a then b"
        ),
        pytest.param(
            merging(b=2), merging(a=1), {"a": 1, "b": 2, "z": 0}, id="other keys, b then a"
        ),
        pytest.param(removing("z"), merging(z=1), {"z": 1}, id="removal then edit"),
        pytest.param(merging(z=1), removing("z"), {}, id="edit then removal"),
        pytest.param(removing("z"), merging(a=1), {"a": 1}, id="removal then other key"),
        pytest.param(merging(a=1), removing("z"), {"a": 1}, id="other key then removal"),
        pytest.param(merging(a=1), replacing(b=2), {"b": 2}, id="merge then whole value"),
        pytest.param(replacing(b=2), merging(a=1), {"a": 1, "b": 2}, id="whole value then merge"),
    ],
)
async def test_merge_merge(
    store: PostgresStore,
    witness: Witness,
    first: Operation,
    second: Operation,
    value: dict[str, Any],
) -> None:
    """Two concurrent writes both take effect; for the same member, the later one wins."""
    key = await store.generate({"z": 0})

    outcomes = await witness.race(key, first(store, key), second(store, key))

    assert outcomes == [Written(), Written()]
    assert await witness.value(key) == value


WRITES = {
    "merge": merging(a=1),
    "removal": removing("z"),
    "set": replacing(a=1),
    "touch": touching,
    "renewal": renewing,
}
writes = pytest.mark.parametrize("writing", WRITES.values(), ids=WRITES.keys())


@writes
async def test_clear_first(store: PostgresStore, witness: Witness, writing: Operation) -> None:
    """A write after a clear does not find the session, and does not create one."""
    key = await store.generate({"z": 0})

    cleared, refused = await witness.race(key, clearing(store, key), writing(store, key))

    assert cleared is True
    assert isinstance(refused, SessionNotFoundError)
    assert await witness.values() == []


@pytest.mark.parametrize("writing", [merging(a=1), touching], ids=["merge", "touch"])
async def test_clear_second(store: PostgresStore, witness: Witness, writing: Operation) -> None:
    """A clear after a write ends the session with the changes."""
    key = await store.generate({"z": 0})

    outcomes = await witness.race(key, writing(store, key), clearing(store, key))

    assert outcomes == [Written(), True]

    assert await witness.values() == []


async def test_renew_clear(store: PostgresStore, witness: Witness) -> None:
    """A clear of an old key does not end the renewed session."""
    key = await store.generate({"z": 0})

    outcomes = await witness.race(key, renewing(store, key), clearing(store, key))

    assert outcomes[1] is True
    assert await witness.value(heir_among(outcomes)) == {"z": 0}
    assert await witness.values() == [{"z": 0}]


async def test_merge_renew(store: PostgresStore, witness: Witness) -> None:
    """A renewal keeps the changes that were merged before it."""
    key = await store.generate({"z": 0})

    outcomes = await witness.race(key, merging(a=1)(store, key), renewing(store, key))

    assert await witness.value(heir_among(outcomes)) == {"a": 1, "z": 0}
    assert await witness.values() == [{"a": 1, "z": 0}]


@pytest.mark.parametrize(
    "writing",
    [merging(a=1), removing("z"), replacing(a=1), touching],
    ids=["merge", "removal", "set", "touch"],
)
async def test_renew_first(store: PostgresStore, witness: Witness, writing: Operation) -> None:
    """A write under an old key gets `SessionNotFoundError`; the renewed session is unchanged."""
    key = await store.generate({"z": 0}, period=MINUTE)

    outcomes = await witness.race(key, renewing(store, key), writing(store, key))

    assert isinstance(outcomes[1], SessionNotFoundError)
    row = await witness.row(heir_among(outcomes))
    assert row is not None
    assert row.value == {"z": 0}
    assert row.remaining <= MINUTE
    assert await witness.values() == [{"z": 0}]


async def test_renew_renew(store: PostgresStore, witness: Witness) -> None:
    """Of two renewals of one key, only the first succeeds."""
    key = await store.generate({"z": 0})

    first, second = await witness.race(key, renewing(store, key), renewing(store, key))

    assert isinstance(first, str)
    assert isinstance(second, SessionNotFoundError)
    assert await witness.value(first) == {"z": 0}
    assert await witness.values() == [{"z": 0}]


async def test_touch_touch(store: PostgresStore, witness: Witness) -> None:
    """Of two touches, the later one sets the expiry."""
    key = await store.generate({"z": 0})

    await witness.race(key, store.touch(key), store.touch(key, period=MINUTE))

    row = await witness.row(key)
    assert row is not None
    assert row.remaining <= MINUTE


@pytest.mark.parametrize(
    "using",
    [touching, lambda store, key: store.merge(key, Changes(), period=None)],
    ids=["touch", "merge"],
)
async def test_sweep_first(store: PostgresStore, witness: Witness, using: Operation) -> None:
    """Using a session that was swept does not restore it."""
    key = await store.generate({"z": 0}, period=MINUTE)

    swept, refused = await witness.race(key, witness.execute(SWEEP), using(store, key))

    assert swept == 1
    assert isinstance(refused, SessionNotFoundError)
    assert await witness.values() == []


async def test_touch_sweep(store: PostgresStore, witness: Witness) -> None:
    """A session whose expiry has just been extended is not swept."""
    key = await store.generate({"z": 0}, period=MINUTE)

    outcomes = await witness.race(key, store.touch(key), witness.execute(SWEEP))

    assert outcomes == [Written(), 0]

    assert await witness.values() == [{"z": 0}]


async def test_renew_sweep(store: PostgresStore, witness: Witness) -> None:
    """A session that has just been renewed is not swept under its old key."""
    key = await store.generate({"z": 0}, period=MINUTE)

    outcomes = await witness.race(key, store.renew(key, period=7200), witness.execute(SWEEP))

    assert outcomes[1] == 0
    assert await witness.value(heir_among(outcomes)) == {"z": 0}


async def test_merge_expiry(store: PostgresStore, witness: Witness) -> None:
    """A merge that waits while the session expires gets `SessionNotFoundError`."""
    key = await store.generate({"z": 0})

    _, refused = await witness.race(key, store.touch(key, period=-1), merging(a=1)(store, key))

    assert isinstance(refused, SessionNotFoundError)
    assert await witness.values() == [{"z": 0}]


@pytest.mark.parametrize("is_held", [False, True], ids=["plain", "exclusive"])
@pytest.mark.parametrize("editing", EDITS.values(), ids=EDITS.keys())
async def test_expired_meanwhile(
    store: PostgresStore, witness: Witness, editing: Editing, *, is_held: bool
) -> None:
    """An edit whose row is locked until its session has expired does not extend the session."""
    key = await store.generate({"z": 0}, period=0.5)

    async def edit() -> object:
        async with store.exclusive(key) if is_held else nullcontext(store) as writing:
            return await editing(as_user_store(writing), key)

    async with asyncio.TaskGroup() as group, witness.holding_row(key):
        edited = group.create_task(outcome(edit()))
        await eventually(witness.has_met_edit)
        await eventually(partial(witness.has_expired, key))

    assert isinstance(edited.result(), SessionNotFoundError)
    assert await witness.has_expired(key)
    assert await witness.value(key) == {"z": 0}


async def test_too_old_meanwhile(
    make_store: Callable[..., PostgresStore], witness: Witness
) -> None:
    """An edit whose row is locked until `max_lifetime` has ended its session changes nothing."""
    store = make_store(max_lifetime=HOUR)
    key = await store.generate({"z": 0})
    await witness.execute("UPDATE session SET created_on = now() - interval '3599.5 s'")

    async with asyncio.TaskGroup() as group, witness.holding_row(key):
        edited = group.create_task(outcome(merging(a=1)(store, key)))
        await eventually(witness.has_met_edit)
        await eventually(partial(witness.is_older, key, HOUR))

    assert isinstance(edited.result(), SessionNotFoundError)
    assert await witness.value(key) == {"z": 0}


@pytest.mark.parametrize("name", ["merge", "login"])
async def test_expired_behind_table_lock(store: PostgresStore, witness: Witness, name: str) -> None:
    """An edit that waits for the whole table until its session has expired does not extend it."""
    editing = EDITS[name]
    await editing(as_user_store(store), await store.generate({"z": 0}))  # prepares the statement
    key = await store.generate({"z": 0}, period=1.5 * LONGEST_WAIT)

    async with asyncio.TaskGroup() as group, await AsyncConnection.connect(witness.conninfo) as ddl:
        await ddl.execute("LOCK TABLE session IN SHARE MODE")  # as CREATE INDEX does
        edited = group.create_task(outcome(editing(as_user_store(store), key)))
        await eventually(witness.has_met_edit)
        await eventually(partial(witness.has_expired, key))

    assert isinstance(edited.result(), SessionNotFoundError)
    assert await witness.has_expired(key)


@pytest.mark.parametrize("count", [1, 3], ids=["alone", "in a batch"])
async def test_ends_soon(store: PostgresStore, witness: Witness, count: int) -> None:
    """A session that is about to expire is extended at once if no one holds its row."""
    keys = [await store.generate({"z": 0}, period=LONGEST_WAIT) for _ in range(count)]

    written = await asyncio.gather(*(store.touch(key, period=MINUTE) for key in keys))

    assert written == [Written()] * count
    for key in keys:
        row = await witness.row(key)
        assert row is not None
        assert row.remaining > LONGEST_WAIT


async def test_take_take(store: PostgresStore, witness: Witness) -> None:
    """Of two takes of the same member, the first gets it."""
    key = await store.generate({"a": {"nonce": 1}, "z": 0})

    assert await witness.race(key, taking(store, key), taking(store, key)) == [{"nonce": 1}, None]

    assert await witness.value(key) == {"z": 0}


async def test_take_merge(store: PostgresStore, witness: Witness) -> None:
    """A member set after a take is kept; a member set before a take is taken."""
    key = await store.generate({"a": 1})

    assert await witness.race(key, taking(store, key), merging(a=2)(store, key)) == [
        1,
        Written(),
    ]
    assert await witness.value(key) == {"a": 2}
    assert await witness.race(key, merging(a=3)(store, key), taking(store, key)) == [
        Written(),
        3,
    ]
    assert await witness.value(key) == {}


@pytest.mark.parametrize("ending", [clearing, renewing], ids=["clear", "renewal"])
async def test_take_after(store: PostgresStore, witness: Witness, ending: Operation) -> None:
    """Nothing can be taken under a key that has been cleared or renewed."""
    key = await store.generate({"a": 1})

    assert (await witness.race(key, ending(store, key), taking(store, key)))[1] is None

    assert await witness.values() == ([] if ending is clearing else [{"a": 1}])


async def test_take_before(store: PostgresStore, witness: Witness) -> None:
    """A member that was taken is not in the renewed session."""
    key = await store.generate({"a": 1, "z": 0})

    outcomes = await witness.race(key, store.take(key, "z"), renewing(store, key))

    assert outcomes[0] == 0
    assert await witness.value(heir_among(outcomes)) == {"a": 1}


async def test_takers(make_store: Callable[..., PostgresStore], witness: Witness) -> None:
    """Of twenty takes from two pools, one gets the member and the others get None."""
    stores = [make_store(), make_store()] * 10
    key = await stores[0].generate({"a": "nonce", "z": 0})

    taken = await asyncio.gather(*(taking(store, key) for store in stores))

    assert sorted(taken, key=str) == [None] * 19 + ["nonce"]
    assert await witness.value(key) == {"z": 0}


async def test_merge_clear_empty(store: PostgresStore, witness: Witness) -> None:
    """An empty session that has just been filled is not cleared as empty."""
    key = await store.generate({})

    outcomes = await witness.race(key, merging(a=1)(store, key), clearing_empty(store, key))

    assert outcomes == [Written(), False]
    assert await witness.value(key) == {"a": 1}


async def test_clear_empty_merge(store: PostgresStore, witness: Witness) -> None:
    """A session that has just been cleared as empty cannot be filled."""
    key = await store.generate({})

    cleared, refused = await witness.race(key, clearing_empty(store, key), merging(a=1)(store, key))

    assert cleared is True
    assert isinstance(refused, SessionNotFoundError)
    assert await witness.values() == []


@pytest.mark.parametrize(
    "ending", [clearing, renewing, clearing_empty], ids=["clear", "renewal", "clear if empty"]
)
async def test_ended_empty(store: PostgresStore, witness: Witness, ending: Operation) -> None:
    """Clearing an empty session raises an error if another request has just ended or renewed it."""
    key = await store.generate({})

    outcomes = await witness.race(key, ending(store, key), clearing_empty(store, key))

    assert isinstance(outcomes[1], SessionNotFoundError)
    assert await witness.values() == ([{}] if ending is renewing else [])
