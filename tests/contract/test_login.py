"""Signing in binds a session to a user under a new key; signing out ends it."""

from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest

from pgsession import Changes, Entry, InvalidValueError, SessionNotFoundError
from pgsession.core.keys import digest
from pgsession.core.login import Client, Login, SignedIn
from pgsession.core.users import LoginState, UserStore, as_user_store

HOUR = timedelta(hours=1)
WEEK = timedelta(days=7)
SLACK = timedelta(seconds=20)
MOMENT = timedelta(milliseconds=10)

MakeStore = Callable[..., UserStore]


@pytest.fixture
def user() -> str:
    """A user of this test alone: the tests share the table."""
    return f"user {uuid4()}"


def said(found: SignedIn) -> tuple[str, int, str | None, str | None, str | None]:
    """Return what a login has said, without its time."""
    return (found.user_id, found.login_number, found.stamp, found.label, found.actor_id)


async def read(store: UserStore, key: str) -> Entry:
    entry = await store.get(key)
    assert entry is not None
    return entry


async def signed_in(store: UserStore, key: str) -> SignedIn:
    found = (await read(store, key)).signed_in
    assert found is not None
    return found


async def test_visitor(store: UserStore) -> None:
    """A session that nobody has signed in to has no user."""
    assert (await read(store, await store.generate({"cart": [1]}))).signed_in is None


async def test_same_row(store: UserStore, user: str) -> None:
    """A login keeps the row and its content, gives it another key, and the key before is dead."""
    before = await store.generate({"cart": [1], "step": 2})

    key = await store.login(before, Login(user), Changes({"name": "Ann"}, {"step"}))

    assert await store.get(before) is None
    assert digest(key) == digest(before)
    assert (await read(store, key)).value == {"cart": [1], "name": "Ann"}
    assert [device.handle for device in await store.devices(user)] == [digest(key)]


async def test_replaced(store: UserStore, user: str) -> None:
    """A login with `replaced` changes keeps nothing of the content."""
    before = await store.generate({"cart": [1]})

    key = await store.login(before, Login(user), Changes({"name": "Ann"}, replaced=True))

    assert (await read(store, key)).value == {"name": "Ann"}


async def test_new_row(store: UserStore, user: str) -> None:
    """A login without a key makes a session with the value that is set."""
    key = await store.login(None, Login(user), Changes({"name": "Ann"}))

    assert (await read(store, key)).value == {"name": "Ann"}
    assert len(key) == 40
    assert (await signed_in(store, key)).login_number == 1


async def test_texts(store: UserStore, user: str) -> None:
    """The user, the stamp, the label and the actor are read as they were given."""
    login = Login(user, stamp="7", label="Büro 🖥", actor_id="root")

    for before in (None, await store.generate()):
        found = await signed_in(store, await store.login(before, login, Changes()))

        assert (found.user_id, found.stamp) == (user, "7")
        assert (found.label, found.actor_id) == ("Büro 🖥", "root")
        assert timedelta(0) <= found.authenticated_for < SLACK


async def test_next_login(store: UserStore, user: str) -> None:
    """Another login replaces all that the one before said, and raises the login number."""
    first = await store.login(
        None, Login(user, "7", "laptop", "root", Client("192.0.2.1", "Firefox")), Changes()
    )

    second = await store.login(first, Login(f"{user} b"), Changes())

    found = await signed_in(store, second)
    assert said(found) == (f"{user} b", 2, None, None, None)
    (device,) = await store.devices(f"{user} b")
    assert (device.address, device.agent) == (None, None)
    assert await store.devices(user) == []


@pytest.mark.parametrize("how", ["renewed", "cleared", "expired", "logged in", "never issued"])
async def test_dead_key(store: UserStore, user: str, how: str) -> None:
    """A login under a dead key raises `SessionNotFoundError` and signs nobody in."""
    key = await store.generate({"a": 1})
    match how:
        case "renewed":
            await store.renew(key)
        case "cleared":
            await store.clear(key)
        case "expired":
            await store.touch(key, period=-1)
        case "logged in":
            await store.login(key, Login(f"{user} b"), Changes())
        case _:
            key = "k" * 40

    with pytest.raises(SessionNotFoundError):
        await store.login(key, Login(user), Changes())

    assert await store.devices(user) == []


async def test_invalid_value(store: UserStore, user: str) -> None:
    """A login with a value that cannot be stored changes nothing."""
    before = await store.generate({"a": 1})

    for key in (before, None):
        with pytest.raises(InvalidValueError):
            await store.login(key, Login(user), Changes({"bad": {1, 2}}))

    assert (await read(store, before)).value == {"a": 1}
    assert await store.devices(user) == []


async def test_period(store: UserStore, user: str) -> None:
    """A login grants the period that it is given, as the session's own if it says so."""
    for before in (None, await store.generate()):
        key = await store.login(before, Login(user), Changes(), period=HOUR, granted=True)

        entry = await read(store, key)
        assert entry.granted == HOUR
        assert entry.period == pytest.approx(HOUR, abs=SLACK)


async def test_default_period(store: UserStore, user: str) -> None:
    """A login without a period takes the default period again."""
    before = await store.generate(period=HOUR, granted=True)

    key = await store.login(before, Login(user), Changes())

    entry = await read(store, key)
    assert entry.granted is None
    assert entry.period == pytest.approx(WEEK, abs=SLACK)


@pytest.mark.parametrize("how", ["login", "confirm"])
async def test_begins_anew(make_store: MakeStore, user: str, how: str) -> None:
    """A login and a confirmation begin the creation time and the lifetime anew."""
    store = make_store(max_lifetime=60)
    key = await store.login(None, Login(user), Changes())
    begun = await read(store, key)
    (device,) = await store.devices(user)
    while (before := await read(store, key)).period > begun.period - timedelta(seconds=0.4):
        pass

    if how == "login":
        key = await store.login(key, Login(user), Changes())
    else:
        key = await store.confirm(key, period=WEEK)

    after, (again,) = await read(store, key), await store.devices(user)
    assert again.created_at > device.created_at + MOMENT
    assert before.lifetime is not None
    assert after.lifetime is not None
    assert after.lifetime > before.lifetime + MOMENT
    assert after.period > before.period + MOMENT


async def test_renewal_keeps_the_lifetime(make_store: MakeStore, user: str) -> None:
    """A renewal begins neither the creation time nor the time of the login anew."""
    store = make_store()
    key = await store.login(None, Login(user), Changes())
    (before,) = await store.devices(user)

    await store.renew(key, Changes({"a": 1}))

    (after,) = await store.devices(user)
    assert abs(after.created_at - before.created_at) < MOMENT
    assert abs(after.authenticated_at - before.authenticated_at) < MOMENT


async def test_renewal_keeps_the_user(store: UserStore, user: str) -> None:
    """Renewals, writes and touches keep the user and all that the login said."""
    key = await store.login(None, Login(user, "7", "laptop", "root"), Changes())
    before = await signed_in(store, key)

    key = await store.renew(key, Changes({"a": 1}))
    await store.set(key, {"b": 2})
    await store.merge(key, Changes({"c": 3}), period=HOUR, granted=True)
    await store.touch(key)

    after = await signed_in(store, key)
    assert said(after) == said(before)


async def test_confirm(store: UserStore, user: str) -> None:
    """A confirmation gives another key and another time, and keeps everything else."""
    before = await store.login(None, Login(user, "7", "laptop"), Changes({"a": 1}))
    first = await signed_in(store, before)

    key = await store.confirm(before, Changes({"b": 2}))

    second = await signed_in(store, key)
    assert await store.get(before) is None
    assert digest(key) == digest(before)
    assert (await read(store, key)).value == {"a": 1, "b": 2}
    assert second.authenticated_at > first.authenticated_at
    assert said(second) == said(first)


async def test_confirm_keeps_the_period(store: UserStore, user: str) -> None:
    """A confirmation without a period keeps the session's own period."""
    before = await store.login(None, Login(user), Changes(), period=HOUR, granted=True)

    key = await store.confirm(before)

    assert (await read(store, key)).granted == HOUR


async def test_confirm_dead_key(store: UserStore, user: str) -> None:
    """A confirmation under a dead key raises `SessionNotFoundError`."""
    key = await store.login(None, Login(user), Changes())
    await store.renew(key)

    with pytest.raises(SessionNotFoundError):
        await store.confirm(key)


async def test_rising_times(store: UserStore, user: str) -> None:
    """Each login and each confirmation is later than the one before."""
    key = await store.login(None, Login(user), Changes())
    times = [(await signed_in(store, key)).authenticated_at]
    for again in (store.confirm, lambda key: store.login(key, Login(user), Changes())):
        key = await again(key)
        times.append((await signed_in(store, key)).authenticated_at)

    assert all(earlier < later for earlier, later in pairwise(times))


async def test_logout(store: UserStore, user: str) -> None:
    """A logout ends the session."""
    key = await store.login(None, Login(user), Changes())

    assert await store.logout(key, 1)

    assert await store.get(key) is None
    assert await store.devices(user) == []


async def test_logout_beside_a_renewal(store: UserStore, user: str) -> None:
    """A logout under a key that was renewed meanwhile ends the session all the same."""
    before = await store.login(None, Login(user), Changes())
    for again in (store.renew, store.confirm):
        key = await again(before)

        assert await store.logout(before, 1)

        assert await store.get(key) is None
        before = await store.login(None, Login(user), Changes())


async def test_logout_beside_a_login(store: UserStore, user: str) -> None:
    """A logout does not end what somebody has signed in to since."""
    before = await store.login(None, Login(user), Changes())
    key = await store.login(before, Login(f"{user} b"), Changes())

    assert not await store.logout(before, 1)

    assert await store.get(key) is not None


async def test_logout_of_a_visitor(store: UserStore) -> None:
    """A logout of a session without a user, whose login number is 0, ends it."""
    before = await store.generate()
    key = await store.renew(before)

    assert await store.logout(before, 0)

    assert await store.get(key) is None


async def test_logout_twice(store: UserStore, user: str) -> None:
    """A logout of a session that is gone says that it is gone."""
    key = await store.login(None, Login(user), Changes())

    assert await store.logout(key, 1)
    assert await store.logout(key, 1)
    assert await store.logout("k" * 40, 3)


@pytest.mark.parametrize("how", ["renew", "confirm", "login"])
async def test_retired(store: UserStore, user: str, how: str) -> None:
    """A key that a renewal, a confirmation or a login has replaced is retired."""
    first = await store.generate()
    second = await store.login(first, Login(user), Changes())
    match how:
        case "renew":
            third = await store.renew(second)
        case "confirm":
            third = await store.confirm(second)
        case _:
            third = await store.login(second, Login(user), Changes())

    assert await store.is_retired(first)
    assert await store.is_retired(second)
    assert not await store.is_retired(third)


async def test_not_retired(store: UserStore) -> None:
    """A key whose row was never renewed, is gone or has expired is not retired."""
    living, gone, expired = [await store.generate() for _ in range(3)]
    heir = await store.renew(gone)
    await store.clear(heir)
    last = await store.renew(expired)
    await store.touch(last, period=-1)

    for key in (living, gone, expired, last, "k" * 40, f"{'k' * 40}.{'v' * 32}"):
        assert not await store.is_retired(key)


async def test_if_empty(store: UserStore, user: str) -> None:
    """A session with a user is not empty, even without members."""
    for before in (None, await store.generate()):
        key = await store.login(before, Login(user), Changes())

        assert not await store.clear(key, only_if_empty=True)

        assert await store.get(key) is not None


async def test_login_states(store: UserStore, user: str) -> None:
    """Login states are returned for the sessions that live, by handle; a visitor's number is 0."""
    visitor, gone, expired = [await store.generate() for _ in range(3)]
    key = await store.login(None, Login(user), Changes())
    key = await store.login(await store.renew(key), Login(user), Changes())
    await store.clear(gone)
    await store.touch(expired, period=-1)

    states = await store.login_states(list(map(digest, (visitor, gone, expired, key, "k"))))

    assert states == {digest(visitor): LoginState(0), digest(key): LoginState(2)}
    assert await store.login_states([]) == {}


async def test_within_a_block(store: UserStore, user: str) -> None:
    """A login in an `exclusive` block counts when the block is over, and not if it raises."""
    visitor = await store.generate({"a": 1})

    async def sign_in(*, failing: bool) -> str:
        async with store.exclusive(visitor) as held:
            key = await as_user_store(held).login(visitor, Login(user), Changes())
            if failing:
                raise ZeroDivisionError
        return key

    with pytest.raises(ZeroDivisionError):
        await sign_in(failing=True)
    assert (await read(store, visitor)).signed_in is None

    assert (await signed_in(store, await sign_in(failing=False))).user_id == user


def test_reprs() -> None:
    """No repr shows who signs in, from where, or what the application noted."""
    client = Client("192.0.2.1", "secret agent")
    login = Login("secret user", "secret stamp", "secret label", "secret actor", client)
    found: Any = SignedIn("secret user", None, None, 1, "secret stamp")  # type: ignore[arg-type] # no times

    for it in (client, login, found):
        assert "secret" not in f"{it!r} {it} {[it]}"
        assert "192" not in repr(it)
