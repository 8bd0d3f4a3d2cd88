"""Ending all sessions: the same in both stores. The tests share a table, which each one empties."""

from collections.abc import Callable
from secrets import token_bytes
from typing import Any

import pytest

from pgsession import Changes, MemoryStore, PostgresStore, SessionNotFoundError
from pgsession.core.login import Login
from tests.contract.test_adopting import adoption

MakeStore = Callable[..., MemoryStore | PostgresStore]


@pytest.fixture
async def everyone(make_store: MakeStore) -> MemoryStore | PostgresStore:
    """A store without sessions."""
    store = make_store()
    await store.revoke_everyone()
    return store


async def test_all_end(everyone: MemoryStore | PostgresStore) -> None:
    """The sessions of users and of visitors end, and stay dead; the living ones are counted."""
    keys = [
        await everyone.generate({"cart": 1}),
        await everyone.login(None, Login("ann"), Changes()),
        await everyone.renew(await everyone.login(None, Login("bob"), Changes())),
    ]
    await everyone.generate(period=-1)

    assert await everyone.revoke_everyone() == 3

    for key in keys:
        assert await everyone.get(key) is None
        with pytest.raises(SessionNotFoundError):
            await everyone.merge(key, Changes({"a": 1}))
    assert await everyone.revoke_everyone() == 0


async def test_progress(everyone: MemoryStore | PostgresStore) -> None:
    """The progress tells how many have ended so far."""
    for _ in range(3):
        await everyone.generate()
    told: list[int] = []

    assert await everyone.revoke_everyone(progress=told.append) == 3

    assert told == [3]


async def test_limits(make_store: MakeStore) -> None:
    """A session that a limit of the store has ended does not count, and is removed."""
    await make_store().revoke_everyone()
    await make_store().generate()

    assert await make_store(max_lifetime=-1).revoke_everyone() == 0
    assert await make_store().revoke_everyone() == 0


async def test_adopted(everyone: MemoryStore | PostgresStore) -> None:
    """An old cookie that was taken over before is not taken over again."""
    identity = token_bytes(32)
    assert await everyone.adopt(adoption(identity)) is not None

    assert await everyone.revoke_everyone() == 1

    assert await everyone.adopt(adoption(identity)) is None
    assert await everyone.adopt(adoption()) is not None


async def test_afterwards(everyone: MemoryStore | PostgresStore) -> None:
    """A session that begins afterwards lives."""
    await everyone.revoke_everyone()

    key: Any = await everyone.generate({"a": 1})

    assert await everyone.get(key) is not None
