"""What a session tells of its user, and what it asks for after a login or a logout."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import pytest
from msgspec.structs import replace

from pgsession.core.content import UNCHANGED
from pgsession.core.devices import Device
from pgsession.core.login import NO_SIGNING, Login, SignedIn, microseconds
from pgsession.core.period import DEFAULT_PERIOD
from pgsession.core.session import Session, attached
from pgsession.core.store import Entry
from pgsession.core.tracked import state_of
from pgsession.errors import (
    InvalidPeriodError,
    ResponseStartedError,
    SessionError,
)

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
MICROSECOND: Final = timedelta(microseconds=1)
THEN: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

ANN: Final = SignedIn("ann", microseconds(THEN), HOUR // MICROSECOND, 3, "7", "laptop", None)
AS_ANN: Final = replace(ANN, actor_id="root")


def loaded(user: SignedIn | None = ANN, **value: Any) -> Session:
    """Return a session as it is loaded from a store."""
    return Session(Entry(value, period=DAY, granted=HOUR, signed_in=user))


def facts(session: Session) -> list[object]:
    return [session.user_id, session.stamp, session.label, session.actor_id]


class Attached:
    """A request whose response has started or not, with a store that keeps users or not."""

    default_period: Final = DEFAULT_PERIOD
    value_limit: Final = 1000
    handle: Final = "handle"
    is_writing: Final = False
    remaining: Final = DEFAULT_PERIOD

    def __init__(self, *, started: bool = False, keeps_users: bool = True) -> None:
        self.started = started
        self._keeps_users = keeps_users

    def check_users(self) -> None:
        if not self._keeps_users:
            raise SessionError("It keeps no users.")

    async def devices(self, user_id: str) -> list[Device]:
        return [
            Device(
                handle=user_id,
                created_at=THEN,
                last_seen_at=THEN,
                expires_at=THEN,
                authenticated_at=THEN,
            )
        ]

    async def save(self) -> None:
        raise NotImplementedError

    async def reload(self) -> None:
        raise NotImplementedError

    def exclusive(self, timeout: timedelta) -> AbstractAsyncContextManager[None]:
        raise NotImplementedError

    async def take(self, name: str, default: object) -> Any:
        raise NotImplementedError

    async def ended(self) -> None:
        raise NotImplementedError

    def lasting(self) -> AbstractAsyncContextManager[None]:
        raise NotImplementedError


def test_visitor() -> None:
    """A visitor has no user, and has proved nothing."""
    session = loaded(None)

    assert facts(session) == [None] * 4
    assert session.authenticated_at is None
    assert not session.is_fresh(DAY)
    assert state_of(session).login_number == 0


def test_user() -> None:
    """A session tells what the store has of the last login."""
    session = loaded(AS_ANN)

    assert facts(session) == ["ann", "7", "laptop", "root"]
    assert session.authenticated_at == THEN
    assert state_of(session).login_number == 3


@pytest.mark.parametrize(
    ("within", "is_fresh"),
    [
        (HOUR * 2, True),
        (7200, True),
        (HOUR, False),
        (HOUR - timedelta(seconds=1), False),
        (timedelta(0), False),
        (-HOUR, False),
    ],
    ids=str,
)
def test_is_fresh(within: Any, is_fresh: bool) -> None:
    """A session is fresh if the age that the database returned, and the time since, is less."""
    assert loaded().is_fresh(within) is is_fresh


def test_clocks() -> None:
    """An application's clock that is wrong by years changes nothing about `is_fresh`."""
    session = loaded(replace(ANN, since=microseconds(datetime(2100, 1, 1, tzinfo=UTC))))

    assert not session.is_fresh(timedelta(minutes=59))
    assert session.is_fresh(timedelta(minutes=61))


@pytest.mark.parametrize("within", [float("nan"), float("inf"), "1", None], ids=repr)
def test_wrong_age(within: Any) -> None:
    """An age that is no period is an error, also for a visitor."""
    for session in (loaded(), loaded(None)):
        with pytest.raises((InvalidPeriodError, TypeError)):
            session.is_fresh(within)


@pytest.mark.parametrize("act", ["login", "confirm"])
def test_proved_now(act: str) -> None:
    """In the request that signs in or confirms, the session is fresh, as of now."""
    session = loaded()
    before = datetime.now(UTC)

    session.login("ann") if act == "login" else session.confirm()

    assert session.is_fresh(timedelta(microseconds=1))
    assert not session.is_fresh(timedelta(0))
    assert session.authenticated_at is not None
    assert before <= session.authenticated_at <= datetime.now(UTC)


def test_login() -> None:
    """A login is seen at once, and what it does not say is None."""
    session = loaded(None)

    session.login("ann", stamp="8", label="phone", actor_id="root")
    assert facts(session) == ["ann", "8", "phone", "root"]
    session.login("ann", actor_id="root")

    assert facts(session) == ["ann", None, None, "root"]
    assert state_of(session).signing.login == Login("ann", actor_id="root")


def test_login_takes_the_period() -> None:
    """A login sets the period that it is given, and the default without one."""
    session = loaded()

    session.login("ann", period=DAY)
    assert (session.period, session.granted, state_of(session).period_changed) == (DAY, DAY, 1)
    session.login("ann")

    assert (session.period, session.granted) == (DEFAULT_PERIOD, None)
    assert state_of(session).period_changed


@pytest.mark.parametrize(
    ("user", "login", "left"),
    [
        pytest.param(None, {}, {"a": 1, "b": 2}, id="visitor"),
        pytest.param(None, {"keep": ["a", "z"]}, {"a": 1}, id="visitor, keep"),
        pytest.param(None, {"keep": []}, {}, id="visitor, keep nothing"),
        pytest.param(None, {"actor_id": "root"}, {"a": 1, "b": 2}, id="visitor, actor"),
        pytest.param(ANN, {}, {"a": 1, "b": 2}, id="same"),
        pytest.param(ANN, {"keep": []}, {"a": 1, "b": 2}, id="same, keep"),
        pytest.param(ANN, {"actor_id": "root"}, {}, id="actor begins"),
        pytest.param(AS_ANN, {"actor_id": "root"}, {"a": 1, "b": 2}, id="same actor"),
        pytest.param(AS_ANN, {}, {}, id="actor ends"),
        pytest.param(AS_ANN, {"actor_id": "eve"}, {}, id="other actor"),
        pytest.param(replace(ANN, user_id="bob"), {}, {}, id="other"),
        pytest.param(replace(ANN, user_id="bob"), {"keep": ["a"]}, {}, id="other, keep"),
    ],
)
def test_content(user: SignedIn | None, login: dict[str, Any], left: dict[str, Any]) -> None:
    """The content stays for the same user and after a visitor, and goes for another one."""
    session = loaded(user, a=1, b=2)

    session.login("ann", **login)

    assert dict(session) == left
    assert state_of(session).changes(session).replaced == (left != {"a": 1, "b": 2})
    assert state_of(session).is_signing_in(session)


def test_keep_is_no_text() -> None:
    """One name in place of several is an error, as its letters would be the names."""
    session = loaded(None, cart=1)

    with pytest.raises(TypeError, match="keep"):
        session.login("ann", keep="cart")

    assert session.user_id is None
    assert dict(session) == {"cart": 1}


WRONG: Final[dict[str, tuple[dict[str, Any], type[Exception], str]]] = {
    "int": ({"user_id": 7}, TypeError, r"pass str\(user_id\)"),
    "UUID": ({"user_id": UUID(int=7)}, TypeError, r"pass str\(user_id\)"),
    "None": ({"user_id": None}, TypeError, "NoneType"),
    "empty": ({"user_id": ""}, ValueError, "empty"),
    "long": ({"user_id": "a" * 256}, ValueError, "255"),
    "NUL": ({"user_id": "\0"}, ValueError, "cannot store"),
    "surrogate": ({"user_id": "\ud800"}, ValueError, "cannot store"),
    "actor int": ({"actor_id": 7}, TypeError, r"pass str\(actor_id\)"),
    "actor empty": ({"actor_id": ""}, ValueError, "actor_id must not be empty"),
    "stamp int": ({"stamp": 7}, TypeError, "stamp must be a str or None, not int"),
    "stamp long": ({"stamp": "a" * 256}, ValueError, "stamp must have at most 255"),
    "label NUL": ({"label": "\0"}, ValueError, "label has characters"),
    "period": ({"period": 0}, InvalidPeriodError, "positive"),
}


@pytest.mark.parametrize(("given", "error", "says"), WRONG.values(), ids=WRONG)
def test_wrong_login(given: dict[str, Any], error: type[Exception], says: str) -> None:
    """A login with what cannot be stored is an error that names it, and has changed nothing."""
    session = loaded(replace(ANN, user_id="bob"), a=1)

    with pytest.raises(error, match=says):
        session.login(**{"user_id": "ann", "keep": (), **given})

    assert (session.user_id, dict(session), session.granted) == ("bob", {"a": 1}, HOUR)
    assert state_of(session).signing is NO_SIGNING
    assert state_of(session).changes(session) is UNCHANGED


@pytest.mark.parametrize("text", ["a" * 255, "🖥" * 255, " ", "\n"], ids=ascii)
def test_any_text(text: str) -> None:
    """Any other text of up to 255 characters does."""
    session = loaded(None)

    session.login(text, stamp=text, label=text, actor_id=text)

    assert facts(session) == [text] * 4


def test_empty_stamp() -> None:
    """An empty stamp or label is one."""
    session = loaded(None)

    session.login("ann", stamp="", label="")

    assert facts(session) == ["ann", "", "", None]


def test_confirm_visitor() -> None:
    """Nobody can confirm who is not signed in, or has just signed out."""
    signed_out = loaded()
    signed_out.logout()

    for session in (loaded(None), signed_out):
        with pytest.raises(SessionError, match=r"call login\(\) first"):
            session.confirm()


def test_confirm_keeps() -> None:
    """A confirmation changes neither content nor period nor what the login said."""
    session = loaded(AS_ANN, a=1)

    session.confirm()

    assert facts(session) == ["ann", "7", "laptop", "root"]
    assert (dict(session), session.granted, state_of(session).period_changed) == (
        {"a": 1},
        HOUR,
        False,
    )
    assert state_of(session).signing.is_confirmed


def test_confirm_after_login() -> None:
    """A confirmation after a login in the same request is part of it."""
    session = loaded(None)

    session.login("ann")
    session.confirm()

    assert state_of(session).is_signing_in(session)
    assert session.user_id == "ann"


def test_logout() -> None:
    """After a logout there is no user, no content, and no period of one's own."""
    session = loaded(AS_ANN, a=1)

    session.logout()

    assert facts(session) == [None] * 4
    assert (session.authenticated_at, session.is_fresh(DAY)) == (None, False)
    assert (dict(session), session.granted) == ({}, None)
    assert state_of(session).login_number == 3  # which login is to end


def test_logout_then_login() -> None:
    """After a logout the next login begins with what was set since."""
    session = loaded(ANN, a=1)

    session.logout()
    session["b"] = 2
    session.login("ann")

    assert dict(session) == {"b": 2}
    assert state_of(session).changes(session).replaced
    assert not state_of(session).signing.is_logout


@pytest.mark.parametrize(
    ("members", "is_signing_in"), [({}, False), ({"a": 1}, True)], ids=["empty", "filled again"]
)
def test_clear_after_login(members: dict[str, Any], is_signing_in: bool) -> None:
    """A `clear()` after a login undoes it, unless something is set afterwards."""
    session = loaded(None, a=1)

    session.login("ann")
    session.clear()
    session.update(members)

    assert state_of(session).is_signing_in(session) is is_signing_in


def test_done() -> None:
    """Once a login is done, the session tells of it, and asks for nothing more."""
    session = loaded(None)
    session.login("ann", stamp="8", label="phone")
    asked = state_of(session).wishes

    state_of(session).note_done(state_of(session).signing, login_number=4)
    state_of(session).acknowledge(UNCHANGED, is_new=False, wishes=asked)

    assert facts(session) == ["ann", "8", "phone", None]
    assert state_of(session).login_number == 4
    assert session.is_fresh(1)
    assert state_of(session).signing is NO_SIGNING


def test_asked_meanwhile() -> None:
    """What a handler asks for while its login is committed stays to be done."""
    session = loaded(None)
    session.login("ann")
    asked = state_of(session).wishes
    session.confirm()

    state_of(session).acknowledge(UNCHANGED, is_new=False, wishes=asked)

    assert state_of(session).signing.is_confirmed


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(lambda it: it.login("bob"), id="login"),
        pytest.param(lambda it: it.confirm(), id="confirm"),
    ],
)
def test_attachment(act: Callable[[Session], None]) -> None:
    """A login needs a response that has not started and a store that keeps users."""
    for attachment, error in (
        (Attached(started=True), ResponseStartedError),
        (Attached(keeps_users=False), SessionError),
    ):
        session = attached(Session, attachment, Entry({"a": 1}, DAY, signed_in=ANN))

        with pytest.raises(error):
            act(session)

        assert (session.user_id, dict(session)) == ("ann", {"a": 1})
        assert state_of(session).signing is NO_SIGNING


async def test_devices() -> None:
    """Devices are those of the user; a visitor has none, and a session without a request none."""
    session = attached(Session, Attached(), Entry({}, DAY, signed_in=ANN))

    assert [device.handle for device in await session.devices()] == ["ann"]
    assert session.handle == "handle"
    session.logout()
    assert await session.devices() == []
    with pytest.raises(SessionError, match="no request"):
        await loaded().devices()
    assert loaded().handle is None


@pytest.mark.parametrize(
    "look",
    [
        pytest.param(lambda it: it.user_id, id="user_id"),
        pytest.param(lambda it: it.stamp, id="stamp"),
        pytest.param(lambda it: it.label, id="label"),
        pytest.param(lambda it: it.actor_id, id="actor_id"),
        pytest.param(lambda it: it.authenticated_at, id="authenticated_at"),
        pytest.param(lambda it: it.is_fresh(1), id="is_fresh"),
        pytest.param(lambda it: it.handle, id="handle"),
        pytest.param(lambda it: it.login("ann"), id="login"),
        pytest.param(lambda it: it.confirm(), id="confirm"),
        pytest.param(lambda it: it.logout(), id="logout"),
    ],
)
def test_access(look: Callable[[Session], object]) -> None:
    """Whatever tells of the user marks the session as accessed, so that no cache keeps it."""
    session = loaded()

    look(session)

    assert session.accessed


def test_snapshot() -> None:
    """A snapshot restores what was asked for before, and forgets what was asked since."""
    session = loaded(None, a=1)
    before = state_of(session).snapshot(session)

    session.login("ann", keep=())
    after = state_of(session).snapshot(session)
    state_of(session).restore(session, before)
    assert (session.user_id, dict(session), session.granted) == (None, {"a": 1}, HOUR)

    state_of(session).restore(session, after)
    assert (session.user_id, dict(session), session.granted) == ("ann", {}, None)


def test_repr() -> None:
    """The repr shows nothing of the user."""
    session = loaded(
        SignedIn("secret", microseconds(THEN), HOUR // MICROSECOND, 1, "secret", "secret", "secret")
    )
    session.login("secret")

    assert (
        "secret" not in f"{session!r} {(state := state_of(session)).signing!r} {state.signed_in!r}"
    )
