"""`session.save` and `session.reload` while other tasks use the same session."""

import asyncio
from typing import Final

import pytest

from pgsession import Changes, PostgresStore, Session
from tests.concurrency.visits import application, filling, idle, key_in, visit
from tests.concurrency.witness import Witness

pytestmark = pytest.mark.usefixtures("long_patience")

#: Blocks all writes to the table, including inserts.
LOCK_TABLE: Final = "LOCK TABLE session IN SHARE MODE"


@pytest.fixture
async def cookie(store: PostgresStore) -> str:
    """The cookie of a session with the user ann."""
    return (await visit(application(store, filling(user="ann")))).cookie


@pytest.mark.parametrize("late", [False, True], ids=["before the response", "after its start"])
@pytest.mark.parametrize(
    ("after", "value"),
    [
        pytest.param(2, {"a": 2, "b": 1}, id="other value"),
        pytest.param(None, {"b": 1}, id="removal"),
    ],
)
async def test_change_while_saving(
    witness: Witness,
    cookie: str,
    *,
    store: PostgresStore,
    late: bool,
    after: int | None,
    value: dict[str, object],
) -> None:
    """A change that another task makes while a save is in flight is stored by the next save."""

    async def change_while_saving(session: Session) -> None:
        session.update(a=1)
        async with asyncio.TaskGroup() as group, witness.holding_row(key_in(cookie)):
            group.create_task(session.save())
            await witness.waiting(1)
            session["b"] = 1
            if after is None:
                del session["a"]
            else:
                session["a"] = after
        assert await witness.value(key_in(cookie)) == {"user": "ann", "a": 1}

    work, finish = (idle, change_while_saving) if late else (change_while_saving, idle)

    await visit(application(store, work, late=finish), cookie)

    assert await witness.value(key_in(cookie)) == {"user": "ann"} | value


async def test_save_save(store: PostgresStore, witness: Witness, cookie: str) -> None:
    """When two saves of one session run at once, the values of the later one are kept."""

    async def save_twice(session: Session) -> None:
        async with asyncio.TaskGroup() as group, witness.holding_row(key_in(cookie)):
            session["a"] = 1
            group.create_task(session.save())
            await witness.waiting(1)
            session["a"] = 2
            session["b"] = 2
            group.create_task(session.save())

    await visit(application(store, save_twice), cookie)

    assert await witness.value(key_in(cookie)) == {"user": "ann", "a": 2, "b": 2}


async def test_first_save_save(store: PostgresStore, witness: Witness) -> None:
    """Two concurrent saves of a new session create one row, with the changes of both."""

    async def save_twice(session: Session) -> None:
        async with asyncio.TaskGroup() as group, witness.holding(LOCK_TABLE):
            session["a"] = 1
            group.create_task(session.save())
            await witness.waiting(1)
            session["b"] = 2
            group.create_task(session.save())

    answer = await visit(application(store, save_twice))

    assert await witness.values() == [{"a": 1, "b": 2}]
    assert await witness.value(answer.key) == {"a": 1, "b": 2}


async def test_answer_while_saving(store: PostgresStore, witness: Witness) -> None:
    """A response that starts while the first save is in flight sets the cookie of that session."""
    saving: list[asyncio.Task[None]] = []
    left = asyncio.Event()

    async def save_and_leave(session: Session) -> None:
        session["a"] = 1
        saving.append(asyncio.create_task(session.save()))
        await witness.waiting(1)
        left.set()

    async with asyncio.TaskGroup() as group, witness.holding(LOCK_TABLE):
        answering = group.create_task(visit(application(store, save_and_leave)))
        await left.wait()
    await asyncio.gather(*saving)

    assert await witness.values() == [{"a": 1}]
    assert await witness.value(answering.result().key) == {"a": 1}


async def test_reload(store: PostgresStore, witness: Witness, cookie: str) -> None:
    """Reloading reads the changes of other requests, and keeps the unsaved changes."""

    async def reload(session: Session) -> None:
        session.update(cart=[1], common="ours")
        del session["gone"]
        await store.merge(
            key_in(cookie), Changes(set={"theirs": 1, "common": "theirs"}, removed=["user"])
        )
        await session.reload()
        assert session == {"cart": [1], "common": "ours", "theirs": 1}

    await store.merge(key_in(cookie), Changes(set={"gone": 1}))

    await visit(application(store, reload), cookie)

    assert await witness.value(key_in(cookie)) == {"cart": [1], "common": "ours", "theirs": 1}


async def test_change_while_reloading(store: PostgresStore, witness: Witness, cookie: str) -> None:
    """A change that another task makes while a reload is in flight is kept."""

    async def reload(session: Session) -> None:
        async with (
            asyncio.TaskGroup() as group,
            witness.holding("LOCK TABLE session IN ACCESS EXCLUSIVE MODE"),
        ):
            group.create_task(session.reload())
            await witness.waiting(1)
            session["cart"] = [1]
            del session["user"]

        assert session == {"cart": [1]}

    await visit(application(store, reload), cookie)

    assert await witness.value(key_in(cookie)) == {"cart": [1]}


async def test_change_while_taking(store: PostgresStore, witness: Witness, cookie: str) -> None:
    """A member that is set while its old value is being taken is either taken or kept."""

    async def take(session: Session) -> None:
        async with asyncio.TaskGroup() as group, witness.holding_row(key_in(cookie)):
            taking = group.create_task(session.take("user"))
            await witness.waiting(1)
            session["user"] = "eve"

        assert taking.result() == "eve" or session["user"] == "eve"

    await visit(application(store, take), cookie)
