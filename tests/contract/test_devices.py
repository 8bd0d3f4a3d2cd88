"""The sessions of a user: listed, and ended one by one, all together, or down to a number."""

import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, Final

import pytest

from pgsession import Changes, SettingsError
from pgsession.core.devices import Device
from pgsession.core.keys import digest
from pgsession.core.login import Client, Login
from pgsession.core.users import UserStore

SLACK: Final = timedelta(seconds=20)
HOUR: Final = timedelta(hours=1)

MakeStore = Callable[..., UserStore]


@pytest.fixture
def user() -> str:
    """A user of this test alone: the tests share the table."""
    return f"user {uuid.uuid4()}"


async def sign_in(store: UserStore, user: str, **texts: Any) -> str:
    """Return the handle of a new session of a user."""
    return digest(await store.login(None, Login(user, **texts), Changes()))


async def handles(store: UserStore, user: str) -> list[str]:
    return [device.handle for device in await store.devices(user)]


async def test_nobody(store: UserStore, user: str) -> None:
    """A user without sessions has no devices."""
    await store.generate()

    assert await store.devices(user) == []


async def test_order(store: UserStore, user: str) -> None:
    """The session that was extended last comes first."""
    keys = [await store.login(None, Login(user), Changes()) for _ in range(3)]
    await store.touch(keys[1])

    assert await handles(store, user) == [digest(keys[place]) for place in (1, 2, 0)]


async def test_fields(store: UserStore, user: str) -> None:
    """A device has the times of its session, in UTC, and what the login said."""
    login = Login(user, label="laptop", actor_id="root", client=Client("192.0.2.1", "Firefox"))
    key = await store.login(None, login, Changes({"a": 1}), period=HOUR)

    (device,) = await store.devices(user)

    now = datetime.now(UTC)
    assert device.handle == digest(key)
    for at in (device.created_at, device.last_seen_at, device.authenticated_at):
        assert at == pytest.approx(now, abs=SLACK)
        assert at.utcoffset() == timedelta(0)
    assert device.expires_at == pytest.approx(now + HOUR, abs=SLACK)
    assert (device.label, device.actor_id) == ("laptop", "root")
    assert (device.address, device.agent) == ("192.0.2.1", "Firefox")
    assert not device.is_current


async def test_defaults(store: UserStore, user: str) -> None:
    """What a login did not say is None."""
    await sign_in(store, user)

    (device,) = await store.devices(user)

    assert (device.label, device.actor_id, device.address, device.agent) == (None,) * 4


async def test_same_handle(store: UserStore, user: str) -> None:
    """The handle stays the same when the session is renewed, confirmed or signed in to again."""
    key = await store.login(None, Login(user), Changes())
    handle = digest(key)

    key = await store.confirm(await store.renew(key))
    assert await handles(store, user) == [handle]
    await store.login(key, Login(user), Changes())

    assert await handles(store, user) == [handle]


async def test_handle_opens_nothing(store: UserStore, user: str) -> None:
    """A handle is no key."""
    handle = await sign_in(store, user)

    assert await store.get(handle) is None
    assert await store.clear(handle)
    assert await handles(store, user) == [handle]


async def test_expired(store: UserStore, user: str) -> None:
    """A session that has expired is not listed, and there is nothing to end."""
    key = await store.login(None, Login(user), Changes())
    await store.touch(key, period=-1)

    assert await store.devices(user) == []
    assert not await store.revoke(user, digest(key))
    assert await store.revoke_all(user) == 0


@pytest.mark.parametrize("limit", ["max_lifetime", "max_inactivity"])
async def test_end_within_limits(make_store: MakeStore, user: str, limit: str) -> None:
    """A device expires at the end of its lifetime or inactivity, if that comes first."""
    store = make_store(default_period=HOUR * 24, **{limit: HOUR})
    await sign_in(store, user)

    (device,) = await store.devices(user)

    assert device.expires_at == pytest.approx(datetime.now(UTC) + HOUR, abs=SLACK)


def test_repr() -> None:
    """The repr of a device shows when, and neither who nor where nor its handle."""
    now = datetime.now(UTC)
    times = dict.fromkeys(("created_at", "last_seen_at", "expires_at", "authenticated_at"), now)
    texts = dict.fromkeys(("handle", "label", "actor_id", "address", "agent"), "secret")

    shown = repr(Device(**times, **texts))  # type: ignore[arg-type] # all are str

    assert "secret" not in shown
    assert repr(now) in shown


async def test_revoke(store: UserStore, user: str) -> None:
    """A revocation ends one session of the user, and says so once."""
    first, second = await sign_in(store, user), await sign_in(store, user)

    assert await store.revoke(user, first) is True
    assert await store.revoke(user, first) is False

    assert await handles(store, user) == [second]


async def test_revoke_renewed(store: UserStore, user: str) -> None:
    """A revocation ends a session under whatever key it has by now."""
    key = await store.renew(await store.login(None, Login(user), Changes()))

    assert await store.revoke(user, digest(key))

    assert await store.get(key) is None


async def test_foreign_handle(store: UserStore, user: str) -> None:
    """A handle of another user's session, or of a visitor's, ends nothing."""
    other, visitor = f"{user} b", await store.generate()
    handle = await sign_in(store, other)

    assert await store.revoke(user, handle) is False
    assert await store.revoke(user, digest(visitor)) is False

    assert await handles(store, other) == [handle]
    assert await store.get(visitor) is not None


@pytest.mark.parametrize(
    "handle",
    ["", "nö", "\0", "\ud800", "'", "%", "%s", ",", "a" * 100_000, "k" * 40, "💥"],
    ids=ascii,
)
async def test_odd_handle(store: UserStore, user: str, handle: str) -> None:
    """A string that is no handle ends nothing, and is no error."""
    await sign_in(store, user)

    assert await store.revoke(user, handle) is False

    assert len(await store.devices(user)) == 1


async def test_revoke_all(store: UserStore, user: str) -> None:
    """All sessions of the user end, with the administrator's; those of others stay."""
    await sign_in(store, user)
    await sign_in(store, user, actor_id="root")
    other = await sign_in(store, f"{user} b")

    assert await store.revoke_all(user) == 2
    assert await store.revoke_all(user) == 0

    assert await store.devices(user) == []
    assert await handles(store, f"{user} b") == [other]


async def test_keep(store: UserStore, user: str) -> None:
    """All sessions of the user end but the one to keep, which may be a device."""
    await sign_in(store, user)
    key = await store.login(None, Login(user), Changes())
    (kept,) = [it for it in await store.devices(user) if it.handle == digest(key)]

    assert await store.revoke_all(user, keep=kept) == 1
    assert await store.revoke_all(user, keep=kept) == 0

    assert await store.get(key) is not None


@pytest.mark.parametrize("kept", [None, "unknown", "nö"])
async def test_keep_nothing(store: UserStore, user: str, kept: str | None) -> None:
    """A session without a row, or one that is gone, keeps nothing."""
    await sign_in(store, user)

    assert await store.revoke_all(user, keep=SimpleNamespace(handle=kept)) == 1


async def test_surplus(store: UserStore, user: str) -> None:
    """The sessions that signed in last stay, and the others end."""
    keys = [await store.login(None, Login(user), Changes()) for _ in range(4)]
    keys[0] = await store.login(keys[0], Login(user), Changes())
    await store.touch(keys[1])

    assert await store.end_surplus(user, 2) == 2

    assert set(await handles(store, user)) == {digest(keys[0]), digest(keys[3])}
    assert await store.end_surplus(user, 2) == 0


async def test_surplus_of_one(store: UserStore, user: str) -> None:
    """Sessions of others, and of visitors, do not count."""
    first, _ = await sign_in(store, user), await sign_in(store, f"{user} b")
    await store.generate()

    assert await store.end_surplus(user, 1) == 0

    assert await handles(store, user) == [first]


async def test_surplus_and_actors(store: UserStore, user: str) -> None:
    """A session of an administrator does not count, and stays."""
    actor = await sign_in(store, user, actor_id="root")
    await sign_in(store, user)
    last = await sign_in(store, user)
    late = await sign_in(store, user, actor_id="root")

    assert await store.end_surplus(user, 1) == 1

    assert set(await handles(store, user)) == {actor, last, late}


@pytest.mark.parametrize("most", [0, -1, True, None, "3", 1.5], ids=repr)
async def test_surplus_number(store: UserStore, user: str, most: Any) -> None:
    """The number of sessions that stay must be a positive number."""
    await sign_in(store, user)

    with pytest.raises(SettingsError, match="positive number"):
        await store.end_surplus(user, most)

    assert len(await store.devices(user)) == 1


OPERATIONS: Final[dict[str, Callable[[UserStore, Any], Awaitable[object]]]] = {
    "devices": lambda store, user: store.devices(user),
    "revoke": lambda store, user: store.revoke(user, "handle"),
    "revoke_all": lambda store, user: store.revoke_all(user),
    "end_surplus": lambda store, user: store.end_surplus(user, 1),
}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
@pytest.mark.parametrize(
    ("user_id", "error", "says"),
    [
        pytest.param(None, TypeError, "must be a str, not NoneType", id="None"),
        pytest.param(7, TypeError, r"pass str\(user_id\)", id="int"),
        pytest.param(uuid.UUID(int=7), TypeError, r"pass str\(user_id\)", id="UUID"),
        pytest.param(True, TypeError, "must be a str, not bool", id="bool"),
        pytest.param(b"ann", TypeError, "must be a str, not bytes", id="bytes"),
        pytest.param("", ValueError, "must not be empty", id="empty"),
        pytest.param("a" * 256, ValueError, "at most 255", id="long"),
        pytest.param("a\0", ValueError, "cannot store", id="NUL"),
        pytest.param("\ud800", ValueError, "cannot store", id="surrogate"),
    ],
)
async def test_no_user_id(
    store: UserStore,
    operation: Callable[[UserStore, Any], Awaitable[object]],
    user_id: object,
    error: type[Exception],
    says: str,
) -> None:
    """What cannot be a user's id is an error that says why, and not what was given."""
    with pytest.raises(error, match=says):
        await operation(store, user_id)


@pytest.mark.parametrize("user_id", ["a" * 255, "🖥" * 255, " ", "'; --", "%s", "NULL", "7"])
async def test_user_id(store: UserStore, user_id: str) -> None:
    """Any other string of up to 255 characters names a user."""
    await store.revoke_all(user_id)
    handle = await sign_in(store, user_id)

    assert await handles(store, user_id) == [handle]
    assert await store.revoke(user_id, handle)
