"""What a store in memory does about its memory."""

from datetime import timedelta

from pgsession import MemoryStore


async def test_bounded() -> None:
    """Sessions that nobody asks for again do not pile up."""
    store = MemoryStore()
    kept = [await store.generate({"n": number}) for number in range(3)]

    for _ in range(5000):
        await store.generate(period=timedelta(seconds=-1))

    assert len(store._rows) <= 1024  # noqa: SLF001 - what is forgotten cannot be asked for
    assert [await store.get(key) is not None for key in kept] == [True] * 3


async def test_growing() -> None:
    """Sessions that are alive stay, however many there are."""
    store = MemoryStore()

    keys = [await store.generate() for _ in range(5000)]

    assert [key for key in keys if await store.get(key) is None] == []
