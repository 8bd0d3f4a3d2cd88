"""What an `exclusive` block leaves behind if it raises: what it committed, and nothing else."""

import asyncio
from contextlib import suppress
from datetime import timedelta

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from pgsession import PostgresStore, Session, SessionError, SessionMiddleware, Store
from pgsession.core.tracked import state_of
from tests.concurrency.visits import SECRET, Work, application, filling, key_in, visit
from tests.concurrency.witness import TIMEOUT, Witness


async def begun(store: Store, **members: object) -> str:
    """Begin a session; return its cookie."""
    return (await visit(application(store, filling(**members)))).cookie


async def value(store: Store, cookie: str) -> object:
    entry = await store.get(key_in(cookie))
    return None if entry is None else entry.value


async def taking(session: Session) -> list[object]:
    """Take a code in a block that raises, twice; return what was handed out."""
    taken = []
    for _ in range(2):
        with suppress(ZeroDivisionError):
            async with session.exclusive():
                taken.append(await session.take("code"))
                raise ZeroDivisionError
    assert "code" not in session
    return taken


async def test_taken(either: Store) -> None:
    """A member that a block took stays taken if the block raises, here and in the row."""
    cookie = await begun(either, user="ann", code="1234")
    taken: list[object] = []

    async def redeem(session: Session) -> None:
        taken.extend(await taking(session))

    await visit(application(either, redeem), cookie)
    await visit(application(either, redeem), cookie)

    assert taken == ["1234", None, None, None]
    assert await value(either, cookie) == {"user": "ann"}


@pytest.mark.parametrize("new", [True, False], ids=["new session", "known session"])
async def test_taken_unsaved(either: Store, *, new: bool) -> None:
    """The same holds for a member that was not saved before the block."""
    cookie = None if new else await begun(either, user="eve", code="0000")
    taken: list[object] = []

    async def redeem(session: Session) -> None:
        session.update(user="ann", code="1234")
        taken.extend(await taking(session))

    answer = await visit(application(either, redeem), cookie)

    assert taken == ["1234", None]
    assert await value(either, cookie or answer.cookie) == {"user": "ann"}


async def test_taken_with_the_change(either: Store) -> None:
    """A block that takes a member and succeeds commits its changes beside it."""
    cookie = await begun(either, code="1234", credits=2)

    async def redeem(session: Session) -> None:
        async with session.exclusive():
            assert await session.take("code") == "1234"
            session["credits"] -= 1

    await visit(application(either, redeem), cookie)

    assert await value(either, cookie) == {"credits": 1}


@pytest.mark.parametrize("before", [True, False], ids=["unsaved before", "nothing before"])
async def test_saved(either: Store, *, before: bool) -> None:
    """What a block saved before it raised stays, and is not written again after the next block."""
    cookie = await begun(either, credits=10)

    async def spend(session: Session) -> None:
        async with session.exclusive():
            session["credits"] -= 1

    async def fail(session: Session) -> None:
        if before:
            session["credits"] = 20
        with suppress(ZeroDivisionError):
            async with session.exclusive():
                session["credits"] -= 1
                await session.save()
                session["credits"] -= 1
                raise ZeroDivisionError
        await visit(application(either, spend), cookie)

    await visit(application(either, fail), cookie)

    assert await value(either, cookie) == {"credits": 18 if before else 8}


async def test_reloaded(either: Store) -> None:
    """A block that reloads and raises removes nothing that another request has stored."""
    cookie = await begun(either, user="ann")

    async def fail(session: Session) -> None:
        session["before"] = 1
        with suppress(ZeroDivisionError):
            async with session.exclusive():
                session["held"] = 1
                await visit(application(either, filling(cart=[1], user="eve")), cookie)
                await session.reload()
                raise ZeroDivisionError
        assert session == {"user": "eve", "cart": [1], "before": 1}

    await visit(application(either, fail), cookie)

    assert await value(either, cookie) == {"user": "eve", "cart": [1], "before": 1}


async def test_reverted(either: Store) -> None:
    """A change from before a block stays to be saved if the block only undoes it and raises."""
    cookie = await begun(either, user="ann")

    async def fail(session: Session) -> None:
        session["user"] = "eve"
        with suppress(ZeroDivisionError):
            async with session.exclusive():
                session["user"] = "ann"
                await session.save()
                raise ZeroDivisionError

    await visit(application(either, fail), cookie)

    assert await value(either, cookie) == {"user": "eve"}


async def test_renewed(either: Store) -> None:
    """A renewal that a block saved stays if the block raises: the browser gets the new key."""
    cookie = await begun(either, user="ann")

    async def fail(session: Session) -> None:
        with suppress(ZeroDivisionError):
            async with session.exclusive():
                session.renew()
                session["cart"] = [1]
                await session.save()
                session["cart"].append(2)
                raise ZeroDivisionError

    answer = await visit(application(either, fail), cookie)

    assert await value(either, cookie) is None
    assert await value(either, answer.cookie) == {"user": "ann", "cart": [1]}


@pytest.mark.parametrize(
    ("saves", "granted"),
    [
        pytest.param(True, timedelta(seconds=60), id="saved"),
        pytest.param(False, timedelta(seconds=30), id="reloaded"),
    ],
)
async def test_period(either: Store, *, saves: bool, granted: timedelta) -> None:
    """After a block that raised, the session has the period that is stored."""
    cookie = await begun(either, user="ann")

    async def fail(session: Session) -> None:
        with suppress(ZeroDivisionError):
            async with session.exclusive():
                if saves:
                    session.period = 60
                    await session.save()
                else:
                    await either.touch(key_in(cookie), period=30, granted=True)
                    await session.reload()
                session.period = 90
                raise ZeroDivisionError
        assert (session.granted, state_of(session).period_changed) == (granted, False)

    await visit(application(either, fail), cookie)

    entry = await either.get(key_in(cookie))
    assert entry is not None
    assert entry.granted == granted


@pytest.mark.parametrize("known", [True, False], ids=["known session", "new session"])
async def test_nested(either: Store, *, known: bool) -> None:
    """A block in a block of the same session is an error, and the outer one goes on."""
    cookie = await begun(either, user="ann") if known else None

    async def nest(session: Session) -> None:
        async with session.exclusive():
            with pytest.raises(SessionError, match="Do not nest"):
                async with session.exclusive():
                    pytest.fail("the lock is held already")
            session["held"] = 1

    answer = await visit(application(either, nest), cookie)

    assert await value(either, cookie or answer.cookie) == {"held": 1} | (
        {"user": "ann"} if known else {}
    )


async def saving(session: Session) -> None:
    """Save in a block."""
    async with session.exclusive():
        session["n"] += 1
        await session.save()


async def another_saving(session: Session) -> None:
    """Raise in a block while another task saves."""
    async with session.exclusive():
        session["n"] += 1
        other = asyncio.create_task(session.save())
        try:
            await asyncio.Event().wait()
        finally:
            other.add_done_callback(lambda done: done.exception())


async def clearing_by_take(session: Session) -> None:
    """Take in a block."""
    async with session.exclusive():
        await session.take("n")


@pytest.mark.parametrize(
    ("work", "left"),
    [
        pytest.param(saving, 2, id="save"),
        pytest.param(another_saving, 2, id="another task"),
        pytest.param(clearing_by_take, None, id="take"),
    ],
)
async def test_cancelled_write(
    store: PostgresStore, witness: Witness, *, work: Work, left: int | None
) -> None:
    """A write in a block that is cancelled is committed before the lock is free, or never."""
    cookie = await begun(store, n=0)
    seen: list[object] = []

    async def follow(session: Session) -> None:
        async with session.exclusive(TIMEOUT):
            seen.append(session.get("n"))
            if "n" in session:
                session["n"] += 1

    async with asyncio.TaskGroup() as group:
        async with witness.holding_row(key_in(cookie)):
            failing = asyncio.create_task(visit(application(store, work), cookie))
            await witness.waiting(1)
            failing.cancel()
            group.create_task(visit(application(store, follow), cookie))
            for _ in range(3):  # later reads, which are answered
                await asyncio.sleep(0)
                await store.get(key_in(cookie))
            assert seen == []
            failing.cancel()  # again
        await asyncio.wait([failing])

    assert failing.cancelled()
    assert seen == [None if left is None else left - 1]
    assert await witness.value(key_in(cookie)) == ({} if left is None else {"n": left})


async def test_saved_by_another_task(either: Store) -> None:
    """After a block has raised, no task of its request saves what the block had changed."""
    cookie = await begun(either, n=0)

    async def fail(session: Session) -> None:
        asking = asyncio.Event()

        async def save_later() -> None:
            await asking.wait()
            await session.save()

        async with asyncio.TaskGroup() as group:
            group.create_task(save_later())
            with suppress(ZeroDivisionError):
                async with session.exclusive():
                    session["n"] = 1
                    asking.set()
                    raise ZeroDivisionError

    await visit(application(either, fail), cookie)

    assert await value(either, cookie) == {"n": 0}


async def test_response_in_a_block(either: Store) -> None:
    """A response in a block commits the session; what comes after it is undone with the block."""
    cookie = await begun(either, n=0)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        session = scope["session"]
        with suppress(ZeroDivisionError):
            async with session.exclusive():
                session["n"] = 1
                await PlainTextResponse("ok")(scope, receive, send)
                session["n"] = 2
                raise ZeroDivisionError
        assert session == {"n": 1}

    assert (await visit(SessionMiddleware(app, either, SECRET), cookie)).status == 200

    assert await value(either, cookie) == {"n": 1}
