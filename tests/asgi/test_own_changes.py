"""What a request does to its own session, and what of it ends its own streams."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from pgsession import MemoryStore, RequestEndedError, Session, SessionEndedError
from pgsession.asgi.binding import Binding
from pgsession.asgi.policy import Policy
from pgsession.core.store import Store
from tests.waiting import policy_of, request

#: How often the sessions are asked for here, in seconds.
EVERY = 0.01


class Slow(MemoryStore):
    """Answers after some rounds of the watcher, and commits a block as late."""

    def __init__(self) -> None:
        super().__init__()
        self.key = ""
        #: Raised in place of a block's commit.
        self.failure: Exception | None = None

    async def rounds(self) -> None:
        """Wait until sessions would have been asked for three times."""
        await asyncio.sleep(3 * EVERY)

    async def login(self, *arguments: Any, **keywords: Any) -> str:
        self.key = await super().login(*arguments, **keywords)
        await self.rounds()
        return self.key

    async def generate(self, *arguments: Any, **keywords: Any) -> str:
        self.key = await super().generate(*arguments, **keywords)
        await self.rounds()
        return self.key

    @asynccontextmanager
    async def exclusive(self, *arguments: Any, **keywords: Any) -> AsyncIterator[Store]:
        async with super().exclusive(*arguments, **keywords) as held:
            yield held
            await self.rounds()
            if self.failure is not None:
                raise self.failure


@pytest.fixture
def store() -> Slow:
    return Slow()


@pytest.fixture
def policy(store: Slow) -> Policy:
    return policy_of(store, EVERY)


@pytest.fixture
async def visitor(policy: Policy, store: Slow) -> Binding:
    """A request of a visitor with a session."""
    return await bound(policy, await store.generate({"cart": 1}))


@pytest.fixture
async def user(policy: Policy, store: Slow, visitor: Binding) -> Binding:
    """A request of a user."""
    visitor.session.login("ann")
    await visitor.save()
    return await bound(policy, store.key)


async def bound(policy: Policy, key: str) -> Binding:
    """Return a request with the session of a key, or one without a cookie."""
    if key:
        binding = await request(policy, key)
        assert isinstance(binding, Binding)
        return binding
    return Binding(policy, {"type": "http", "headers": []})


def sign_in(session: Session) -> None:
    session.login("ann")


def fill(session: Session) -> None:
    session["cart"] = 2


@pytest.mark.parametrize(("begin", "has_row"), [(sign_in, False), (sign_in, True), (fill, False)])
async def test_beside_commit(
    policy: Policy, store: Slow, begin: Callable[[Session], None], has_row: bool
) -> None:
    """A first wait that begins while the response commits is for the session that it commits."""
    binding = await bound(policy, await store.generate({"cart": 1}) if has_row else "")
    begin(binding.session)
    committing = asyncio.ensure_future(binding.commit(extend=True))
    await asyncio.sleep(0)
    waiting = asyncio.ensure_future(binding.ended())
    await committing
    await store.rounds()
    assert not waiting.done()

    await store.clear(store.key)
    async with asyncio.timeout(5):
        await waiting


async def test_request_over(policy: Policy, visitor: Binding) -> None:
    """Nothing is registered by a request that is over: neither by a save that is under way then,
    nor by a wait that begins afterwards.
    """
    waiting = asyncio.ensure_future(visitor.ended())
    await asyncio.sleep(0)
    visitor.session.login("ann")
    saving = asyncio.ensure_future(visitor.save())
    await asyncio.sleep(0)
    visitor.end_streams()
    await saving
    with pytest.raises(RequestEndedError):
        async with visitor.lasting():
            pass
    with pytest.raises(RequestEndedError):
        await visitor.ended()

    assert waiting.cancelled()
    assert len(policy.watching.here()) == 0


async def test_block_outlives_request(policy: Policy, store: Slow, visitor: Binding) -> None:
    """A block that outlives its request waits for the end of the login that was under way then, and
    is forgotten when it is done.
    """
    done = asyncio.Event()

    async def block() -> None:
        async with visitor.lasting():
            await done.wait()

    blocked = [asyncio.ensure_future(block()) for _ in range(2)]
    await asyncio.sleep(0)
    visitor.session.login("ann")
    saving = asyncio.ensure_future(visitor.save())
    await asyncio.sleep(0)
    visitor.end_streams()
    await saving
    await store.rounds()
    assert not any(each.done() for each in blocked)

    await store.revoke_all("ann")
    async with asyncio.timeout(5):
        ends = await asyncio.gather(*blocked, return_exceptions=True)
    assert [type(end) for end in ends] == [SessionEndedError] * 2
    assert len(policy.watching.here()) == 0


async def test_block_done_after_request(policy: Policy, visitor: Binding) -> None:
    """A block that outlives its request is watched until it is done, and no longer."""
    done = asyncio.Event()

    async def block() -> None:
        async with visitor.lasting():
            await done.wait()

    blocked = asyncio.ensure_future(block())
    await asyncio.sleep(0)
    visitor.end_streams()
    assert len(policy.watching.here()) == 1
    done.set()
    await blocked

    assert len(policy.watching.here()) == 0


async def test_exclusive_login(store: Slow, visitor: Binding) -> None:
    """A login in an exclusive block ends none of its own streams, also before its commit."""
    waiting = [asyncio.ensure_future(visitor.ended())]
    await asyncio.sleep(0)
    async with visitor.exclusive(timeout=store.default_period):
        visitor.session.login("ann")
    waiting.append(asyncio.ensure_future(visitor.ended()))
    await store.rounds()
    assert not any(each.done() for each in waiting)

    assert await store.revoke_all("ann") == 1
    async with asyncio.timeout(5):
        await asyncio.gather(*waiting)


async def test_exclusive_logout(store: Slow, user: Binding) -> None:
    """A logout in an exclusive block ends its streams once it is committed, and not before."""
    waiting = asyncio.ensure_future(user.ended())
    await asyncio.sleep(0)

    async def look() -> None:
        await asyncio.sleep(EVERY)
        assert not waiting.done()

    store.rounds = look  # type: ignore[method-assign] # called before the commit
    async with user.exclusive(timeout=store.default_period):
        user.session.logout()
    async with asyncio.timeout(5):
        await waiting
        await user.ended()


async def test_exclusive_logout_undone(store: Slow, user: Binding) -> None:
    """A logout whose commit fails ends nothing."""
    waiting = [asyncio.ensure_future(user.ended())]
    await asyncio.sleep(0)
    store.failure = LookupError()

    async def sign_out() -> None:
        async with user.exclusive(timeout=store.default_period):
            user.session.logout()

    with pytest.raises(LookupError):
        await sign_out()
    waiting.append(asyncio.ensure_future(user.ended()))
    await store.rounds()
    assert not any(each.done() for each in waiting)

    assert await store.revoke_all("ann") == 1
    async with asyncio.timeout(5):
        await asyncio.gather(*waiting)


def pop(session: Session) -> None:
    session.pop("cart")


def clear(session: Session) -> None:
    session.clear()


@pytest.mark.parametrize("empty", [pop, clear])
async def test_emptied(store: Slow, visitor: Binding, empty: Callable[[Session], None]) -> None:
    """A visitor's request that empties its session ends none of its own streams."""
    waiting = [asyncio.ensure_future(visitor.ended())]
    await asyncio.sleep(0)
    empty(visitor.session)
    await visitor.save()
    waiting.append(asyncio.ensure_future(visitor.ended()))
    await store.rounds()

    assert visitor.handle is None
    assert not any(each.done() for each in waiting)
