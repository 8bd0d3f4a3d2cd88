"""Who is signed in: the users with their sessions counted, in order, page by page."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from pgsession import Changes, MemoryStore, PostgresStore, SettingsError, SignedInUser
from pgsession.core.adoption import Adoption
from pgsession.core.login import Login
from tests.contract.test_adopting import adoption

Store = MemoryStore | PostgresStore

SLACK: Final = timedelta(seconds=20)
HOUR: Final = timedelta(hours=1)


@pytest.fixture
def users() -> list[str]:
    """Three users of this test alone: the tests share the table."""
    return [f"{name} {uuid.uuid4()}" for name in ("ann", "bob", "eve")]


async def sign_in(store: Store, user: str, **texts: Any) -> str:
    return await store.login(None, Login(user, **texts), Changes())


def counts(found: list[SignedInUser]) -> list[tuple[str, int]]:
    return [(each.user_id, each.sessions) for each in found]


async def test_counts(store: Store, users: list[str]) -> None:
    """The users with most sessions come first; a session of an administrator counts too."""
    ann, bob, _ = users
    for user in (ann, bob, bob):
        await sign_in(store, user)
    await sign_in(store, bob, actor_id="root")
    await store.generate()

    assert counts(await store.signed_in(among=users)) == [(bob, 3), (ann, 1)]


async def test_all(store: Store, users: list[str]) -> None:
    """Without names all users of the table are counted."""
    ann, _, _ = users
    top = sum(each.sessions for each in await store.signed_in(most=1))
    for _ in range(top + 1):
        await sign_in(store, ann)

    assert counts(await store.signed_in(most=1)) == [(ann, top + 1)]


@pytest.mark.parametrize("by", ["sessions", "seen"])
async def test_seen(store: Store, users: list[str], by: Any) -> None:
    """The user who was seen last comes first: of those with as many sessions, or of all."""
    ann, bob, eve = users
    key = await sign_in(store, ann)
    for user in (bob, eve, eve):
        await sign_in(store, user)
    await store.touch(key)

    first = [(eve, 2), (ann, 1)] if by == "sessions" else [(ann, 1), (eve, 2)]
    assert counts(await store.signed_in(by=by, among=users)) == [*first, (bob, 1)]


async def test_pages(store: Store, users: list[str]) -> None:
    """The pages together are the whole, and there is nothing after the end."""
    for number, user in enumerate(users):
        for _ in range(3 - number):
            await sign_in(store, user)

    pages = [await store.signed_in(most=2, skip=skip, among=users) for skip in (0, 2, 4)]

    assert [[user for user, _ in counts(page)] for page in pages] == [users[:2], users[2:], []]


async def test_times(store: Store, users: list[str]) -> None:
    """The times are the latest of the user's sessions, in UTC, as the devices have them."""
    ann, _, _ = users
    for _ in range(2):
        await sign_in(store, ann)

    (found,) = await store.signed_in(among=[ann])

    devices = await store.devices(ann)
    seen = max(device.last_seen_at for device in devices)
    proved = max(device.authenticated_at for device in devices)
    assert found.last_seen_at == pytest.approx(seen, abs=timedelta(milliseconds=50))
    assert found.authenticated_at == pytest.approx(proved, abs=timedelta(milliseconds=50))
    assert found.last_seen_at == pytest.approx(datetime.now(UTC), abs=SLACK)
    assert found.last_seen_at.utcoffset() == timedelta(0)


async def test_expired(store: Store, users: list[str]) -> None:
    """A session that has expired does not count, and a user without any other is not there."""
    ann, bob, _ = users
    for user in (ann, ann, bob):
        await store.touch(await sign_in(store, user), period=-1)
    await sign_in(store, ann)

    assert counts(await store.signed_in(among=users)) == [(ann, 1)]


@pytest.mark.parametrize("limit", ["max_lifetime", "max_inactivity"])
async def test_limits(make_store: Callable[..., Store], users: list[str], limit: str) -> None:
    """A session past its lifetime or inactivity does not count."""
    store = make_store(**{limit: timedelta(microseconds=1)})
    await sign_in(store, users[0])

    assert await store.signed_in(among=users) == []


async def test_taken_over(store: Store, users: list[str]) -> None:
    """A session that was taken over from before a switch counts once."""
    old: Adoption = adoption(user_id=users[0])
    await store.adopt(old)
    await store.adopt(old)

    assert counts(await store.signed_in(among=users)) == [(users[0], 1)]


async def test_in_a_block(store: Store, users: list[str]) -> None:
    """An `exclusive` block counts what it has written itself; others do once it has ended."""
    key = await store.generate()
    async with store.exclusive(key) as held:
        assert isinstance(held, MemoryStore | PostgresStore)
        await held.login(key, Login(users[0]), Changes())
        assert counts(await held.signed_in(among=users)) == [(users[0], 1)]
        assert await store.signed_in(among=users) == []

    assert counts(await store.signed_in(among=users)) == [(users[0], 1)]


async def test_among_nobody(store: Store, users: list[str]) -> None:
    """Among no users nobody is signed in."""
    await sign_in(store, users[0])

    assert await store.signed_in(among=[]) == []


@pytest.mark.parametrize(
    ("asked", "error", "says"),
    [
        ({"most": 0}, SettingsError, "most must be"),
        ({"most": 10_001}, SettingsError, "most must be"),
        ({"most": True}, SettingsError, "most must be"),
        ({"skip": -1}, SettingsError, "skip must be"),
        ({"skip": 2**31}, SettingsError, "skip must be"),
        ({"by": "name"}, SettingsError, "by must be"),
        ({"among": "ann"}, TypeError, "not one user id"),
        ({"among": [7]}, TypeError, "must be a str"),
        ({"among": [""]}, ValueError, "must not be empty"),
    ],
    ids=repr,
)
async def test_rejected(
    store: Store, asked: dict[str, Any], error: type[Exception], says: str
) -> None:
    """What cannot be answered is an error that says why."""
    with pytest.raises(error, match=says):
        await store.signed_in(**asked)


def test_repr() -> None:
    """The repr of a user shows how many sessions there are, and not who it is."""
    now = datetime.now(UTC)
    user = SignedInUser(user_id="ann", sessions=2, last_seen_at=now, authenticated_at=now)

    assert "ann" not in repr(user)
    assert "sessions=2" in repr(user)
