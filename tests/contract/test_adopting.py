"""Taking over sessions from before a switch: the same in both stores."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from secrets import token_bytes
from typing import Any

import pytest

from pgsession import Adoption, InvalidValueError, SessionNotFoundError, Store
from pgsession.core.adoption import AdoptingStore, as_adopting_store, marker_of
from pgsession.core.keys import digest
from pgsession.core.predecessor import Derivation
from pgsession.core.users import as_user_store

SECRET, NEWER = "a secret of the old days, of 32 bytes", "a secret of the new days, of 32 bytes"


def adoption(identity: bytes | None = None, *secrets: str, **changed: Any) -> Adoption:
    """Return the adoption of an old session, by default one of its own, of ann."""
    identity = token_bytes(32) if identity is None else identity
    return replace(
        Adoption(
            marker=marker_of(identity),
            keys=Derivation(secrets or [SECRET], "session").keys(identity),
            content={"user": "ann"},
            remembered=timedelta(days=1),
        ),
        **changed,
    )


@pytest.fixture
def adopting(store: Store) -> AdoptingStore:
    return as_adopting_store(store)


async def test_content(adopting: AdoptingStore) -> None:
    """The first call makes the session, with its content, for the default period."""
    found = await adopting.adopt(adoption())

    assert found is not None
    key, entry, _ = found
    assert entry.value == {"user": "ann"}
    assert timedelta(days=6) < entry.period <= adopting.default_period
    assert entry.signed_in is None
    kept = await adopting.get(key)
    assert kept is not None
    assert kept.value == {"user": "ann"}


async def test_period(adopting: AdoptingStore) -> None:
    """The session gets the period that is given, and follows the default period later."""
    found = await adopting.adopt(adoption(), period=60)

    assert found is not None
    assert timedelta(0) < found[1].period <= timedelta(seconds=60)
    assert found[1].granted is None


async def test_parallel(adopting: AdoptingStore) -> None:
    """Parallel calls agree on one session, and a later one finds what became of it."""
    old = adoption()

    found = await asyncio.gather(*(adopting.adopt(old) for _ in range(6)))

    assert all(each is not None and each[0] == old.keys[0] for each in found)
    await adopting.set(old.keys[0], {"user": "ann", "cart": [1]})
    later = await adopting.adopt(old)
    assert later is not None
    assert later[1].value == {"user": "ann", "cart": [1]}


async def test_ended(adopting: AdoptingStore) -> None:
    """Once the session has ended, the old one is never taken over again."""
    old = adoption()
    await adopting.adopt(old)
    await adopting.clear(old.keys[0])

    assert await adopting.adopt(old) is None
    assert await adopting.get(old.keys[0]) is None


async def test_renewed(adopting: AdoptingStore) -> None:
    """Once the session was renewed, the old one opens it no more."""
    old = adoption()
    await adopting.adopt(old)
    heir = await adopting.renew(old.keys[0])

    assert await adopting.adopt(old) is None
    assert await adopting.get(heir) is not None


async def test_expired(adopting: AdoptingStore) -> None:
    """A session that has expired is not made again while its marker lives."""
    old = adoption()
    await adopting.adopt(old, period=-1)

    assert await adopting.adopt(old) is None


async def test_rotated_secret(adopting: AdoptingStore) -> None:
    """With a newer secret the session is still found, and an ended one not made again."""
    living, ended = token_bytes(32), token_bytes(32)
    before = await adopting.adopt(adoption(living, SECRET))
    await adopting.adopt(adoption(ended, SECRET))
    await adopting.clear(adoption(ended, SECRET).keys[0])

    after = await adopting.adopt(adoption(living, NEWER, SECRET))

    assert before is not None
    assert after is not None
    assert after[0] == before[0]
    assert await adopting.adopt(adoption(ended, NEWER)) is None
    assert await adopting.adopt(adoption(living, NEWER)) is None


async def test_marker_is_no_session(adopting: AdoptingStore) -> None:
    """A marker is no session: it is loaded, listed, watched and ended as none."""
    old = adoption(user_id="zoe")
    await adopting.adopt(old)
    users = as_user_store(adopting)

    assert await adopting.get(old.marker) is None
    assert [it.handle for it in await users.devices("zoe")] == [digest(old.keys[0])]
    assert await users.revoke_all("zoe") == 1
    assert await adopting.adopt(old) is None


@pytest.mark.parametrize("limit", ["max_lifetime", "max_inactivity"])
async def test_limits(make_store: Callable[..., Store], limit: str) -> None:
    """The limits of sessions count from now, and do not end the marker."""
    store = as_adopting_store(make_store(**{limit: 60}))
    brief = as_adopting_store(make_store(**{limit: 1e-6}))
    old = adoption()

    found = await store.adopt(old)

    assert found is not None
    assert timedelta(seconds=50) < found[1].period <= timedelta(seconds=60)
    if type(store).__name__ == "PostgresStore":  # in memory each store has its own sessions
        assert await brief.adopt(old) is None
        assert await brief.get(old.keys[0]) is None
    old = adoption()
    assert await brief.adopt(old) is None
    assert await brief.adopt(old) is None


async def test_user(adopting: AdoptingStore) -> None:
    """A user is signed in, since long ago: no check of a recent login accepts that."""
    found = await adopting.adopt(adoption(user_id="yan"))

    assert found is not None
    signed_in = found[1].signed_in
    assert signed_in is not None
    assert (signed_in.user_id, signed_in.login_number) == ("yan", 1)
    assert abs(signed_in.authenticated_at - datetime(1970, 1, 1, tzinfo=UTC)) < timedelta(minutes=1)
    assert signed_in.authenticated_for > timedelta(days=365 * 50)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param({"a": "\x00"}, id="null character"),
        pytest.param({"a": float("nan")}, id="NaN"),
        pytest.param({"a": object()}, id="no JSON"),
        pytest.param({"a": "x" * 2_000_000}, id="too large"),
    ],
)
async def test_unstorable(adopting: AdoptingStore, content: dict[str, Any]) -> None:
    """Content that cannot be stored makes no session and no marker."""
    identity = token_bytes(32)
    with pytest.raises(InvalidValueError):
        await adopting.adopt(adoption(identity, content=content))

    assert await adopting.adopt(adoption(identity)) is not None


async def test_dead_key(adopting: AdoptingStore) -> None:
    """Nothing but the adoption makes a session under a derived key."""
    old = adoption()

    with pytest.raises(SessionNotFoundError):
        await adopting.set(old.keys[0], {"user": "eve"})
