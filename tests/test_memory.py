"""The memory use of the store in memory."""

from datetime import timedelta

from pgsession import MemoryStore


async def test_bounded() -> None:
    """Expired sessions that are never read again do not accumulate."""
    store = MemoryStore()
    kept = [await store.generate({"n": number}) for number in range(3)]

    for _ in range(5000):
        await store.generate(period=timedelta(seconds=-1))

    assert len(store._rows) <= 1024  # noqa: SLF001 - no method shows it
    assert [await store.get(key) is not None for key in kept] == [True] * 3


async def test_growing() -> None:
    """Live sessions are kept, however many there are."""
    store = MemoryStore()

    keys = [await store.generate() for _ in range(5000)]

    assert [key for key in keys if await store.get(key) is None] == []
