"""Concurrent requests with the same session."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

import pytest
from psycopg_pool import AsyncConnectionPool
from starlette.types import Message, Receive, Scope, Send

from pgsession import PostgresStore, Session, SessionMiddleware, SessionNotFoundError
from tests.concurrency.visits import SECRET, Gate, Work, application, filling, key_in, visit
from tests.concurrency.witness import Witness, eventually

pytestmark = pytest.mark.usefixtures("long_patience")

MINUTE: Final = timedelta(minutes=1)


async def emptying(session: Session) -> None:
    session.pop("user")


async def replacing(session: Session) -> None:
    session.clear()
    session["user"] = "eve"


async def clearing(session: Session) -> None:
    session.clear()


async def renewing(session: Session) -> None:
    session.renew()


async def logging_in(session: Session) -> None:
    session["user"] = "bob"
    session.renew()


async def prolonging(session: Session) -> None:
    session.period = MINUTE


async def reading(session: Session) -> None:
    assert session["user"] == "ann"


async def taking(session: Session) -> None:
    await session.take("user")


async def saving(session: Session) -> None:
    session["saved"] = 1
    await session.save()
    session["more"] = 1


#: What a slow request does before another request ends its session.
SLOW: Final[dict[str, Work]] = {
    "merge": filling(cart=[1]),
    "removal": emptying,
    "replacement": replacing,
    "clear": clearing,
    "renewal": renewing,
    "period": prolonging,
    "touch": reading,
    "take": taking,
    "save": saving,
}
ENDINGS: Final[dict[str, Work]] = {"logout": clearing, "renewal": renewing, "login": logging_in}

slow_works = pytest.mark.parametrize("work", SLOW.values(), ids=SLOW)
endings = pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)


@pytest.fixture
async def cookie(store: PostgresStore) -> str:
    """The cookie of a session with the user ann."""
    return (await visit(application(store, filling(user="ann")))).cookie


@slow_works
@endings
async def test_ended_meanwhile(
    store: PostgresStore, witness: Witness, cookie: str, work: Work, ending: Work
) -> None:
    """A request whose session ends meanwhile sets no cookie and does not restore the session."""
    gate = Gate()
    slow = application(store, gate.after(work), touch_after=0)
    async with asyncio.TaskGroup() as group:
        loser = group.create_task(visit(slow, cookie))
        await gate.reached.wait()
        await visit(application(store, ending), cookie)
        left = await witness.values()
        gate.opened.set()

    answer = loser.result()
    assert answer.status == 200
    # A clear succeeds if the session has already ended.
    assert work is clearing or answer.cookies == []
    assert await witness.row(key_in(cookie)) is None
    assert await witness.values() == left


@slow_works
async def test_ended_afterwards(
    store: PostgresStore, witness: Witness, cookie: str, work: Work
) -> None:
    """A logout after a slow request has responded ends the session that it left."""
    answer = await visit(application(store, work, touch_after=0), cookie)
    browser = answer.cookie if answer.cookies else cookie

    goodbye = await visit(application(store, clearing), browser)

    assert work in {emptying, clearing} or goodbye.max_age == 0
    assert await witness.values() == []


@pytest.mark.parametrize("late", [filling(cart=[1]), emptying, clearing], ids=["set", "pop", "end"])
@endings
async def test_ended_before_late(
    store: PostgresStore, witness: Witness, cookie: str, late: Work, ending: Work
) -> None:
    """Changes that a background task makes to a session that has ended are not stored."""

    async def end_then_change(session: Session) -> None:
        await visit(application(store, ending), cookie)
        ended.extend(await witness.values())
        await late(session)

    ended: list[object] = []

    await visit(application(store, reading, late=end_then_change), cookie)

    assert await witness.row(key_in(cookie)) is None
    assert await witness.values() == ended


@endings
async def test_refused_save_caught(
    store: PostgresStore, witness: Witness, cookie: str, ending: Work
) -> None:
    """A handler that ignores the error of a rejected save does not restore the session."""

    async def shrug(session: Session) -> None:
        await visit(application(store, ending), cookie)
        session["cart"] = [1]
        with pytest.raises(SessionNotFoundError):
            await session.save()
        with suppress(SessionNotFoundError):
            await session.save()
        session["cart"] = [2]

    answer = await visit(application(store, shrug, late=filling(cart=[3])), cookie)

    assert answer.status == 200
    assert answer.cookies == []
    assert await witness.row(key_in(cookie)) is None
    assert {"cart": [2]} not in await witness.values()


async def test_first_first(store: PostgresStore, witness: Witness) -> None:
    """Two first requests of one browser create two complete sessions, each with its own cookie."""
    gates = [Gate(), Gate()]
    apps = [application(store, gate.after(filling(n=n))) for n, gate in enumerate(gates)]
    async with asyncio.TaskGroup() as group:
        visits = [group.create_task(visit(app)) for app in apps]
        for gate in gates:
            await gate.reached.wait()
        for gate in reversed(gates):
            gate.opened.set()

    keys = [each.result().key for each in visits]
    assert len(set(keys)) == 2
    assert [await witness.value(key) for key in keys] == [{"n": 0}, {"n": 1}]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["in turn", "overtaken"])
async def test_merge_merge(
    store: PostgresStore, witness: Witness, cookie: str, order: tuple[int, int]
) -> None:
    """Two requests that change different members are both kept; else the later response wins."""
    gates = [Gate(), Gate()]
    works = [filling(first=1, common="first"), filling(second=2, common="second")]
    async with asyncio.TaskGroup() as group:
        visits = [
            group.create_task(visit(application(store, gate.after(work)), cookie))
            for gate, work in zip(gates, works, strict=True)
        ]
        for gate in gates:
            await gate.reached.wait()
        for place in order:
            gates[place].opened.set()
            await visits[place]

    later = ["first", "second"][order[-1]]
    expected = {"user": "ann", "first": 1, "second": 2, "common": later}
    assert await witness.value(key_in(cookie)) == expected


async def test_emptied_while_filled(store: PostgresStore, witness: Witness, cookie: str) -> None:
    """A session that one request empties while another fills it is kept, with its cookie."""
    gate = Gate()
    async with asyncio.TaskGroup() as group:
        slow = group.create_task(visit(application(store, gate.after(emptying)), cookie))
        await gate.reached.wait()
        await visit(application(store, filling(cart=[1])), cookie)
        gate.opened.set()

    assert slow.result().cookies == []
    assert await witness.values() == [{"cart": [1]}]


@pytest.fixture
async def pool(witness: Witness) -> AsyncIterator[AsyncConnectionPool[Any]]:
    """A pool of one connection, which serves waiting callers in order."""
    async with AsyncConnectionPool(
        witness.conninfo,
        min_size=1,
        kwargs={"autocommit": True, "application_name": witness.name},
        open=False,
    ) as pool:
        yield pool


async def test_emptied_while_renewed(
    witness: Witness, cookie: str, pool: AsyncConnectionPool[Any]
) -> None:
    """A session that is renewed between being emptied and being cleared is not cleared."""
    gate = Gate()
    store = PostgresStore(pool)

    async def is_queued() -> bool:
        return pool.get_stats().get("requests_waiting") == 1

    async with asyncio.TaskGroup() as group:
        winner = group.create_task(visit(application(store, gate.after(logging_in)), cookie))
        await gate.reached.wait()
        async with witness.holding_row(key_in(cookie)):
            loser = group.create_task(visit(application(store, emptying), cookie))
            await witness.waiting(1)
            gate.opened.set()
            await eventually(is_queued)

    assert loser.result().cookies == []
    assert await witness.value(winner.result().key) == {"user": "bob"}
    assert await witness.values() == [{"user": "bob"}]


async def test_takers(
    make_store: Callable[..., PostgresStore], witness: Witness, cookie: str
) -> None:
    """Of twenty requests to two processes that have all loaded a member, one takes it."""
    stores = [make_store(), make_store()]
    gates = [Gate() for _ in range(20)]
    taken: list[object] = []

    def taking_behind(gate: Gate) -> Work:
        async def take(session: Session) -> None:
            assert session["user"] == "ann"
            await gate.passed()
            taken.append(await session.take("user"))
            assert "user" not in session

        return take

    async with asyncio.TaskGroup() as group:
        for place, gate in enumerate(gates):
            app = application(stores[place % 2], taking_behind(gate))
            group.create_task(visit(app, cookie))
        for gate in gates:
            await gate.reached.wait()
        for gate in gates:
            gate.opened.set()

    assert sorted(taken, key=str) == [None] * 19 + ["ann"]
    assert await witness.values() == [{}]


WRITES: Final[dict[str, tuple[Work, list[dict[str, object]]]]] = {
    "merge": (filling(cart=[1]), [{"user": "ann", "cart": [1]}]),
    "replacement": (replacing, [{"user": "eve"}]),
    "renewal": (logging_in, [{"user": "bob"}]),
    "emptying": (emptying, []),
    "logout": (clearing, []),
}


@pytest.mark.parametrize(("work", "values"), WRITES.values(), ids=WRITES)
async def test_committed_first(
    store: PostgresStore,
    witness: Witness,
    cookie: str,
    work: Work,
    values: list[dict[str, object]],
) -> None:
    """When the server gets the first message of the response, the changes are committed."""
    seen: list[object] = []

    async def look() -> None:
        seen.extend(await witness.values())

    await visit(application(store, work), cookie, on_start=look)

    assert seen == values


async def test_created_first(store: PostgresStore, witness: Witness) -> None:
    """When the server gets the message with a new cookie, the new session is committed."""
    seen: list[object] = []

    async def look() -> None:
        seen.extend(await witness.values())

    await visit(application(store, filling(user="ann")), on_start=look)

    assert seen == [{"user": "ann"}]


async def test_save_while_settling(store: PostgresStore, witness: Witness, cookie: str) -> None:
    """A save during the commit of the response waits for that commit, and no change is lost."""
    saving: list[asyncio.Task[None]] = []

    async def save(session: Session) -> None:
        await witness.waiting(1)
        session["cart"] = [1]
        gate.opened.set()
        await session.save()

    async def work(session: Session) -> None:
        session["seen"] = 1
        saving.append(asyncio.create_task(save(session)))

    gate = Gate()
    async with asyncio.TaskGroup() as group, witness.holding_row(key_in(cookie)):
        group.create_task(visit(application(store, work), cookie))
        await gate.opened.wait()
        await asyncio.sleep(0)
    await saving[0]

    assert await witness.value(key_in(cookie)) == {"user": "ann", "seen": 1, "cart": [1]}


async def test_settled_twice_at_once(store: PostgresStore, witness: Witness) -> None:
    """Two responses that start at once, against the protocol, create one session."""
    start = {"type": "http.response.start", "status": 200, "headers": []}
    sent: list[Message] = []

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        scope["session"]["user"] = "ann"
        await asyncio.gather(send(dict(start)), send(dict(start)))

    async def note(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "scheme": "https", "path": "/", "headers": []}
    await SessionMiddleware(app, store=store, secret_key=SECRET)(scope, receive, note)

    assert len(sent) == 2
    assert await witness.values() == [{"user": "ann"}]
