"""The session mapping that handlers use: a dict that tracks its changes."""

import copy
import json
import math
import re
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jinja2.exceptions import SecurityError
from jinja2.sandbox import SandboxedEnvironment
from starlette.requests import Request
from starlette.responses import JSONResponse

from pgsession.core.large import LARGE_VALUE
from pgsession.core.login import NO_SIGNING, SignedIn
from pgsession.core.period import DEFAULT_PERIOD
from pgsession.core.session import Session
from pgsession.core.store import Changes, Entry
from pgsession.core.tracked import state_of
from pgsession.core.value import decode_value, encode_value, printed_size
from pgsession.errors import (
    InvalidPeriodError,
    InvalidValueError,
    SessionError,
    UnsupportedTypeError,
    ValueTooLargeError,
)
from tests import states
from tests.states import changes_of, limited

DAY = timedelta(days=1)
PRIVATE = "hunter2"


class Markup(str):
    """A str subclass, as libraries define them."""

    __slots__ = ()


class Role(StrEnum):
    """A StrEnum."""

    ADMIN = "admin"


def loaded(*, granted: timedelta | None = None, **value: Any) -> Session:
    """Return a session as it is loaded from a store."""
    return states.loaded(Entry(json.loads(json.dumps(value)), period=DAY, granted=granted))


def do(session: Session, edit: Callable[[Session], object]) -> Session:
    edit(session)
    return session


def test_is_a_dict() -> None:
    """A session is a dict, so code that accepts dicts accepts it."""
    session = loaded(user=1, cart=["a"])

    assert isinstance(session, dict)
    assert session == {"user": 1, "cart": ["a"]}
    assert json.loads(bytes(JSONResponse(session).body)) == {"user": 1, "cart": ["a"]}
    assert {**session} == dict(session) == session.copy()
    assert list(session) == ["user", "cart"]


def test_new() -> None:
    """A session without an entry is new, empty and false."""
    session = Session()

    assert session.is_new
    assert not session
    assert not session.modified
    assert changes_of(session) == Changes()


@pytest.mark.parametrize("value", [None, {}], ids=["never set", "empty"])
def test_without_value(value: dict[str, Any] | None) -> None:
    """A live session without a value is empty, unmodified and not new."""
    session = Session(Entry(value, period=DAY))

    assert session == {}
    assert not session.is_new
    assert not session.modified


def test_accessed() -> None:
    """A session is accessed after `request.session` was read or `mark_accessed` was called."""
    session = loaded(user=1)
    before = session.accessed

    assert Request({"type": "http", "session": session}).session is session

    session.mark_accessed()
    assert (before, session.accessed) == (False, True)


def test_mark_modified() -> None:
    """`mark_modified` marks the session as accessed and does not make it modified."""
    session = loaded(user=1)

    session.mark_modified()

    assert session.accessed
    assert not session.modified


UNCHANGED: list[Any] = [
    pytest.param(dict.keys, id="look at the names"),
    pytest.param(lambda session: session["n"], id="get item"),
    pytest.param(lambda session: session.get("missing"), id="get"),
    pytest.param(lambda session: session.pop("missing", None), id="pop missing"),
    pytest.param(lambda session: session.setdefault("n", 5), id="setdefault of one that is there"),
    pytest.param(lambda session: session.update(n=1), id="update with the same"),
    pytest.param(lambda session: session.update({}), id="update with nothing"),
    pytest.param(lambda session: session.__setitem__("n", 1), id="set item to the same"),
    pytest.param(
        lambda session: session.update(n=session.pop("n")), id="remove and set back: another order"
    ),
    pytest.param(lambda session: (session.update(n=2), session.update(n=1)), id="set and set back"),
    pytest.param(lambda session: (session.update(new=2), session.pop("new")), id="add and remove"),
    pytest.param(
        lambda session: (session["list"].append(3), session["list"].pop()),
        id="nested edit and back",
    ),
    pytest.param(
        lambda session: session.update(dict={"b": 2, "a": 1}), id="nested names in another order"
    ),
    pytest.param(lambda session: session.update(list=(1, 2)), id="tuple for the same list"),
    pytest.param(lambda session: session.update(text=Markup("a")), id="str subclass"),
    pytest.param(lambda session: session.update(role=Role.ADMIN), id="StrEnum"),
    pytest.param(lambda session: session.update(zero=-0.0), id="negative zero"),
    pytest.param(lambda session: session.update(list=list(session["list"])), id="an equal list"),
]


def specimen() -> Session:
    return loaded(
        n=1, list=[1, 2], dict={"a": 1, "b": 2}, text="a", role="admin", zero=0.0, none=None
    )


@pytest.mark.parametrize("edit", UNCHANGED)
def test_unchanged(edit: Callable[[Session], object]) -> None:
    """An edit that leaves the same JSON is not a change, so nothing is written."""
    session = do(specimen(), edit)

    assert not session.modified
    assert not changes_of(session)


@pytest.mark.parametrize(
    ("edit", "changes"),
    [
        pytest.param(lambda s: s.update(n=2), Changes(set={"n": 2}), id="update"),
        pytest.param(lambda s: s.__setitem__("new", 1), Changes(set={"new": 1}), id="set item"),
        pytest.param(lambda s: s.__ior__({"n": 2}), Changes(set={"n": 2}), id="augmented or"),
        pytest.param(
            lambda s: s.setdefault("new", []).append(1), Changes(set={"new": [1]}), id="setdefault"
        ),
        pytest.param(lambda s: s.__delitem__("n"), Changes(removed={"n"}), id="del"),
        pytest.param(lambda s: s.pop("n"), Changes(removed={"n"}), id="pop"),
        pytest.param(lambda s: s.popitem(), Changes(removed={"none"}), id="popitem"),
        pytest.param(
            lambda s: s["list"].append(3), Changes(set={"list": [1, 2, 3]}), id="nested append"
        ),
        pytest.param(
            lambda s: s["dict"].update(a=5),
            Changes(set={"dict": {"a": 5, "b": 2}}),
            id="nested update",
        ),
        pytest.param(lambda s: s.update(n=True), Changes(set={"n": True}), id="True for 1"),
        pytest.param(lambda s: s.update(n=1.0), Changes(set={"n": 1.0}), id="1.0 for 1"),
        pytest.param(lambda s: s.update(zero=False), Changes(set={"zero": False}), id="False"),
        pytest.param(
            lambda s: s.update(list=[True, 2]),
            Changes(set={"list": [True, 2]}),
            id="nested True for 1",
        ),
        pytest.param(lambda s: s.update(none=0), Changes(set={"none": 0}), id="0 for None"),
        pytest.param(
            lambda s: s["list"].reverse(), Changes(set={"list": [2, 1]}), id="order of a list"
        ),
        pytest.param(
            lambda s: s.update(other=s.pop("n")),
            Changes(set={"other": 1}, removed={"n"}),
            id="rename",
        ),
    ],
)
def test_changed(edit: Callable[[Session], object], changes: Changes) -> None:
    """Every edit of the session, at the top level or below, is part of the changes to merge."""
    session = do(specimen(), edit)

    assert session.modified
    assert changes_of(session) == changes
    assert json.loads(changes_of(session).encode(limit=10_000)) == changes.set


def test_look_alike_is_written() -> None:
    """If True replaces 1, true is written."""
    session = do(loaded(n=1), lambda session: session.update(n=True))

    assert changes_of(session).encode(limit=100) == b'{"n":true}'


def test_pop_missing() -> None:
    """Removing a missing member raises KeyError, as in any dict."""
    session = loaded(n=1)

    with pytest.raises(KeyError):
        session.pop("missing")
    with pytest.raises(KeyError):
        del session["missing"]

    assert not session.modified


def test_or() -> None:
    """`|` returns a plain dict and does not change the session; `|=` changes the session itself."""
    session = loaded(n=1)
    union = session | {"m": 2}
    before = session

    session |= {"m": 2}

    assert type(union) is dict
    assert session is before
    assert session == union


def test_clear() -> None:
    """`clear` replaces the whole value, including members that other requests add meanwhile."""
    session = do(loaded(n=1), Session.clear)

    assert session == {}
    assert state_of(session).cleared
    assert session.modified
    assert changes_of(session) == Changes(replaced=True)


def test_clear_and_refill() -> None:
    """A session filled after `clear` replaces the whole value, even with the same members."""
    session = do(loaded(n=1, m=2), Session.clear)

    session["n"] = 1

    assert session.modified
    assert changes_of(session) == Changes(set={"n": 1}, replaced=True)
    assert changes_of(session).encode(limit=100) == b'{"n":1}'


def test_removing_all_is_no_clear() -> None:
    """Members removed one by one are merged: members that other requests add meanwhile stay."""
    session = do(loaded(n=1), lambda session: session.pop("n"))

    assert not state_of(session).cleared
    assert changes_of(session) == Changes(removed={"n"})


def test_many_removed() -> None:
    """The time to remove members is linear in their number.

    This needs a clock: functions that are written in C cannot be counted. It is generous: if each
    member were compared with each other one, this would take minutes.
    """
    session = Session({f"m{number}": number for number in range(60_000)})
    before = time.thread_time()

    for name in list(session)[1:]:
        del session[name]
    changes = changes_of(session)
    state_of(session).acknowledge(changes, is_new=False)

    assert len(changes.removed) == 59_999
    assert not session.modified
    assert time.thread_time() - before < 5


def test_entry_apart() -> None:
    """An edit of the session does not change the value of its entry."""
    entry = Entry({"n": 1}, period=DAY)
    session = Session(entry)

    session["n"] = 2

    assert entry.value == {"n": 1}


BAD: list[Any] = [
    pytest.param({1}, UnsupportedTypeError, r'session\["bad"\] is of type set', id="set"),
    pytest.param(
        [0, {"x": b""}], UnsupportedTypeError, r'session\["bad"\]\[1\]\["x"\]', id="nested bytes"
    ),
    pytest.param(math.nan, InvalidValueError, r'session\["bad"\] is NaN', id="NaN"),
    pytest.param("\0", InvalidValueError, r'session\["bad"\] has a NUL', id="NUL"),
    pytest.param("x" * 300, ValueTooLargeError, "more than 200 bytes", id="too large"),
]


@pytest.mark.parametrize(("bad", "error", "message"), BAD)
def test_bad_value(bad: object, error: type[Exception], message: str) -> None:
    """A value that cannot be stored counts as a change, fails on saving and affects no other."""
    session = limited(Entry({"n": 1}, period=DAY), 200)
    session.renew()
    session.period = 60
    session["bad"] = bad

    for _ in range(2):
        assert session.modified
        with pytest.raises(error, match=message):
            changes_of(session)

    assert (
        state_of(session).cleared,
        state_of(session).renewed,
        state_of(session).period_changed,
    ) == (False, True, True)
    assert session["n"] == 1
    del session["bad"]
    assert not session.modified
    assert not changes_of(session)


def test_bad_name() -> None:
    """A member whose name is not a string is rejected."""
    session: Any = loaded(n=1)

    session[1] = "one"

    assert session.modified
    with pytest.raises(UnsupportedTypeError, match="session has a key of type int"):
        changes_of(session)


def test_bad_value_for_a_good_one() -> None:
    """A value that cannot be stored raises an error, even if it looks like the stored value."""
    session = loaded(none=None, list=[1])

    session["none"] = math.nan
    with pytest.raises(InvalidValueError, match=r'session\["none"\] is NaN'):
        changes_of(session)

    session["none"] = None
    session["list"] = {1}
    with pytest.raises(UnsupportedTypeError, match=r'session\["list"\] is of type set'):
        changes_of(session)


def test_limit_counts_the_rest() -> None:
    """The limit applies to the whole session, not only to what a request adds."""
    session = limited(Entry({"old": "x" * 90}, period=DAY), 100)

    session["new"] = "y" * 20

    with pytest.raises(ValueTooLargeError):
        changes_of(session)


@pytest.mark.parametrize(
    "names",
    [["n"], ["é", "🙂"], ['"', "\n"], [str(number) for number in range(100)], [Markup("m")]],
    ids=["one", "beyond ASCII", "escapes", "many", "str subclass"],
)
def test_exact_limit(names: list[str]) -> None:
    """The text that PostgreSQL prints may have exactly as many bytes as the limit."""
    stored: dict[str, Any] = dict.fromkeys(names, "x")
    size = printed_size(encode_value({**stored, "new": (1, "ü")}, limit=10_000))

    for limit in (size, size - 1):
        session = limited(Entry(dict(stored), period=DAY), limit)
        session["new"] = (1, "ü")
        if limit == size:
            assert changes_of(session)
        else:
            with pytest.raises(ValueTooLargeError, match=f"is {size:,} bytes"):
                changes_of(session)


@pytest.mark.parametrize("odd", [1.7e308, -0.0, Markup("x"), [Markup("x")]], ids=repr)
def test_limit_counts_what_is_stored(odd: Any) -> None:
    """An unchanged member counts with the size of its stored text: floats with all their digits."""
    size = printed_size(encode_value({"odd": odd, "new": 1}, limit=10_000))

    for limit in (size, size - 1):
        stored = decode_value(encode_value({"odd": odd}, limit=size))
        session = limited(Entry(stored, period=DAY), limit)
        session["odd"] = odd
        session["new"] = 1
        if limit == size:
            assert changes_of(session).set == {"new": 1}
        else:
            with pytest.raises(ValueTooLargeError, match=f"is {size:,} bytes"):
                changes_of(session)


def test_shrinking_below_a_new_limit() -> None:
    """A session larger than a lowered limit may lose members step by step."""
    session = limited(Entry({"a": "x" * 90, "b": "x" * 90, "c": 1}, period=DAY), 50)

    del session["c"]

    assert changes_of(session) == Changes(removed={"c"})


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda it: it.update(n=9), id="as large as before"),
        pytest.param(lambda it: it["list"].reverse(), id="another order"),
        pytest.param(lambda it: it["list"].pop(), id="a smaller member"),
        pytest.param(lambda it: it.update(m=it.pop("n")), id="another name"),
        pytest.param(lambda it: (it.pop("n"), it.update(x=2)), id="one for another"),
        pytest.param(lambda it: (it.clear(), it.update(a="x" * 90)), id="replaced by less"),
        pytest.param(lambda it: (it.clear(), it.update(n=1)), id="replaced by much less"),
    ],
)
def test_changes_over_the_limit(edit: Callable[[Session], object]) -> None:
    """A session larger than a lowered limit takes changes that do not make it larger."""
    session = limited(Entry({"a": "x" * 90, "list": ["ü", 2], "n": 1}, period=DAY), 50)

    edit(session)

    assert changes_of(session)
    state_of(session).restore(session, state_of(session).snapshot(session))
    assert changes_of(session)


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda it: it.update(n=10), id="one digit more"),
        pytest.param(lambda it: it["list"].append(1), id="a larger member"),
        pytest.param(lambda it: it.update(m=None), id="a new member"),
        pytest.param(lambda it: (it.pop("n"), it.update(m=22)), id="one for a larger one"),
        pytest.param(lambda it: (it.clear(), it.update(a="x" * 200)), id="replaced by more"),
    ],
)
def test_growth_over_the_limit(edit: Callable[[Session], object]) -> None:
    """A session larger than a lowered limit takes no change that makes it larger by one byte."""
    session = limited(Entry({"a": "x" * 90, "list": ["ü", 2], "n": 1}, period=DAY), 50)

    edit(session)

    with pytest.raises(ValueTooLargeError):
        changes_of(session)


def test_over_the_limit_unchanged() -> None:
    """A session larger than a lowered limit can still be read."""
    session = limited(Entry({"a": "x" * 90}, period=DAY), 50)

    assert not session.modified
    assert not changes_of(session)


def test_default_period() -> None:
    """A session has the default period until it gets its own."""
    assert Session().period == DEFAULT_PERIOD
    assert Session().granted is None
    assert not state_of(Session()).period_changed


def test_own_period() -> None:
    """A period that was granted earlier is the period of the session."""
    session = loaded(granted=2 * DAY)

    assert (session.period, session.granted, state_of(session).period_changed) == (
        2 * DAY,
        2 * DAY,
        False,
    )


@pytest.mark.parametrize("period", [timedelta(minutes=1), 60, 60.0], ids=repr)
def test_set_period(period: timedelta | float) -> None:
    """A period is set as a timedelta or in seconds; this does not change the content."""
    session = loaded(n=1)

    session.period = period

    assert session.period == session.granted == timedelta(minutes=1)
    assert state_of(session).period_changed
    assert not session.modified


def test_same_period() -> None:
    """Setting the period that the session already has is not a change."""
    session = loaded(granted=DAY)

    session.period = DAY

    assert not state_of(session).period_changed


def test_grant_the_default() -> None:
    """Setting a period equal to the default is a change: the session now has its own period."""
    session = Session(Entry({}, period=DAY))

    session.period = DAY

    assert session.granted == DAY
    assert state_of(session).period_changed


def test_back_to_the_default() -> None:
    """Setting the period to None restores the default."""
    session = loaded(granted=DAY)

    session.period = None

    assert (session.period, session.granted) == (DEFAULT_PERIOD, None)
    assert state_of(session).period_changed


@pytest.mark.parametrize(
    "period",
    [0, -1, timedelta(0), -DAY, 1e-9, math.nan, math.inf, True, "60", 10**400],
    ids=lambda period: str(period)[:10],
)
def test_bad_period(period: Any) -> None:
    """A period that is not positive or not valid is rejected, and nothing changes."""
    session = loaded(granted=DAY)

    with pytest.raises(InvalidPeriodError):
        session.period = period

    assert (session.period, state_of(session).period_changed) == (DAY, False)


def test_renew() -> None:
    """Requesting a new key does not change the content."""
    session = loaded(n=1)

    session.renew()

    assert state_of(session).renewed
    assert not session.modified


def test_repr() -> None:
    """The repr shows neither content, keys, names nor the user."""
    session = Session(Entry({PRIVATE: PRIVATE}, period=DAY, signed_in=SignedIn(PRIVATE, 0, 0, 1)))

    assert repr(session) == "<Session is_new=False accessed=False>"
    assert PRIVATE not in repr(changes_of(session))


def test_print() -> None:
    """`print` shows the user and the names of the members, but no values."""
    session = Session(
        Entry({"cart": [PRIVATE], "a\nb": 1}, period=DAY, signed_in=SignedIn("ann", 0, 0, 1))
    )

    assert str(session) == r"<Session: user 'ann', no row, members ['cart', 'a\nb']>"
    assert str(Session()) == "<Session: visitor, no row, members []>"


def test_print_many() -> None:
    """Of many members, `print` shows the first twenty names and the number of the others."""
    session = Session({f"m{number}": 0 for number in range(30)})

    assert str(session).endswith("'m19'] and 10 more>")


@pytest.mark.parametrize("name", ["user", "perod", "stored", "_x", "user_id", "is_new"])
def test_unknown_attribute(name: str) -> None:
    """An attribute that a session does not have, or that cannot be set, is an error."""
    session = Session()

    with pytest.raises(AttributeError, match=f"{name}.* cannot be set|no attribute '{name}'"):
        setattr(session, name, "x")


def test_unknown_attribute_says_how() -> None:
    """The error about an unknown attribute says how a member is set."""
    with pytest.raises(AttributeError, match=re.escape("session['user'] = …")):
        Session().user = "ann"  # type: ignore[attr-defined]


def test_modified_may_be_set() -> None:
    """`modified` may be set to True, as with Starlette, and it changes nothing."""
    session = loaded(n=1)

    session.modified = True

    assert not session.modified
    assert session.accessed


def test_modified_hides_nothing() -> None:
    """`modified` and `accessed` cannot be set to False: nothing can be hidden."""
    with pytest.raises(ValueError, match="changes are found by comparing"):
        loaded(n=1).modified = False
    with pytest.raises(ValueError, match="it tells what was done"):
        loaded(n=1).accessed = False


def test_accessed_may_be_set() -> None:
    """`accessed` may be set to True, as Quart does."""
    session = loaded(n=1)

    session.accessed = True

    assert session.accessed


@pytest.mark.parametrize("call", ["login('eve')", "logout()", "clear()", "flash('x')", "renew()"])
def test_sandboxed_template(call: str) -> None:
    """A template in Jinja's sandbox cannot change a session."""
    template = SandboxedEnvironment().from_string("{{ session." + call + " }}")
    session = loaded(n=1)

    with pytest.raises(SecurityError):
        template.render(session=session)

    assert not session.modified
    assert state_of(session).wishes == (0, 0, 0, NO_SIGNING)


def test_dir() -> None:
    """`dir` lists the contract: the methods of a dict, and what docs/how-to/sessions.md names."""
    names = {name for name in dir(Session()) if not name.startswith("_")}

    assert names - set(dir(dict)) == {
        "accessed",
        "actor_id",
        "authenticated_at",
        "confirm",
        "device_bound",
        "devices",
        "ended",
        "exclusive",
        "flash",
        "flashes",
        "granted",
        "handle",
        "is_fresh",
        "is_new",
        "is_unavailable",
        "label",
        "lasting",
        "login",
        "logout",
        "mark_accessed",
        "mark_modified",
        "modified",
        "period",
        "proof_missing",
        "reload",
        "renew",
        "require_device_binding",
        "save",
        "stamp",
        "take",
        "typed",
        "user_id",
    }


@pytest.mark.parametrize("content", [[("a", 1)], "ann", 1], ids=["pairs", "text", "number"])
def test_no_content(content: Any) -> None:
    """What is no dict is refused, with a message that says what to give."""
    with pytest.raises(TypeError, match=r"takes its content as a dict, such as Session\("):
        Session(content)


def test_referenced_weakly() -> None:
    """A session can be referenced weakly, and nothing keeps it alive."""
    session = loaded(n=1)
    reference = weakref.ref(session)

    del session

    assert reference() is None


def test_acknowledge() -> None:
    """After `acknowledge`, what was stored is no longer a change and the flags are reset."""
    session = loaded(n=1, m=2)
    session.renew()
    session.period = 60
    session["n"] = 5
    del session["m"]

    state_of(session).acknowledge(changes_of(session), is_new=False)

    assert not session.modified
    assert not changes_of(session)
    assert (state_of(session).renewed, state_of(session).period_changed, session.is_new) == (
        False,
        False,
        False,
    )
    assert session == {"n": 5}
    assert session.period == timedelta(minutes=1)


def test_acknowledge_by_descent() -> None:
    """Tuples, enums and instances of str subclasses are unmodified after they were stored."""
    session = loaded()
    session.update(text=Markup("a"), list=(1, 2), role=Role.ADMIN)

    state_of(session).acknowledge(changes_of(session), is_new=False)

    assert not session.modified
    assert not any(state_of(session).is_unsaved(session, name) for name in session)


def test_acknowledge_clear() -> None:
    """After a clear was stored, later changes are merged again."""
    session = loaded(n=1)
    session.clear()
    session["m"] = 2

    state_of(session).acknowledge(changes_of(session), is_new=False)
    session["k"] = 3

    assert not state_of(session).cleared
    assert changes_of(session) == Changes(set={"k": 3})


def test_edit_during_save() -> None:
    """An edit made after `changes` and before `acknowledge` is still a change."""
    session = loaded(n=1)
    session["n"] = 2
    changes = changes_of(session)

    session["n"] = 3
    state_of(session).acknowledge(changes, is_new=False)

    assert changes_of(session) == Changes(set={"n": 3})


def test_rebase() -> None:
    """`rebase` takes over the stored members and keeps the unsaved ones as changes."""
    session = loaded(n=1, gone=1, mine=1)
    session["mine"] = 2
    session["new"] = 3

    state_of(session).rebase(
        session,
        Entry({"n": 9, "mine": 1, "other": 1}, period=DAY),
        changes_of(session),
    )

    assert session == {"n": 9, "mine": 2, "other": 1, "new": 3}
    assert changes_of(session) == Changes(set={"mine": 2, "new": 3})


def test_rebase_removal() -> None:
    """After `rebase`, a member that was removed locally stays removed, even if still stored."""
    session = do(loaded(n=1, m=1), lambda session: session.pop("n"))

    state_of(session).rebase(session, Entry({"n": 5, "m": 1}, period=DAY), changes_of(session))

    assert session == {"m": 1}
    assert changes_of(session) == Changes(removed={"n"})


def test_rebase_period() -> None:
    """`rebase` takes over a period that another request set, unless one was set locally."""
    session = loaded(granted=DAY)
    state_of(session).rebase(session, Entry({}, period=DAY, granted=2 * DAY), changes_of(session))
    theirs = session.period

    session.period = 3 * DAY
    state_of(session).rebase(session, Entry({}, period=DAY, granted=2 * DAY), changes_of(session))

    assert (theirs, session.period) == (2 * DAY, 3 * DAY)


def test_restore() -> None:
    """`restore` brings a session back to a snapshot, whatever was changed since."""
    session = loaded(n=1, list=[1])
    session["m"] = 2
    snapshot = state_of(session).snapshot(session)
    session["list"].append({1})
    session.clear()
    session.renew()

    state_of(session).restore(session, snapshot)

    assert session == {"n": 1, "list": [1], "m": 2}
    assert (state_of(session).cleared, state_of(session).renewed) == (False, False)
    assert changes_of(session) == Changes(set={"m": 2})


def test_snapshot_repr() -> None:
    """The repr of a snapshot shows no content."""
    session = loaded(text=PRIVATE)

    assert PRIVATE not in repr(state_of(session).snapshot(session))


@pytest.mark.parametrize(
    ("edit", "unsaved"),
    [
        pytest.param(dict.keys, False, id="stored"),
        pytest.param(lambda session: session.update(n=2), True, id="changed"),
        pytest.param(lambda session: session.update(n=True), True, id="look-alike"),
        pytest.param(lambda session: session.update(n=session["n"]), False, id="set the same"),
        pytest.param(lambda session: session.pop("n"), False, id="removed"),
    ],
)
def test_is_unsaved(edit: Callable[[Session], object], unsaved: bool) -> None:
    """A member is unsaved if it exists and differs from the stored one."""
    session = do(loaded(n=1), edit)

    assert state_of(session).is_unsaved(session, "n") is unsaved


@pytest.mark.parametrize("value", [1, None, [1]], ids=repr)
def test_forget(value: Any) -> None:
    """`forget` drops a member without making that a change, even if its value is None."""
    session = loaded(n=value, m=2)

    state_of(session).forget(session, "n")
    state_of(session).forget(session, "missing")

    assert session == {"m": 2}
    assert not session.modified


async def test_detached() -> None:
    """A session that belongs to no request raises an error where it would need a store."""
    session = loaded(n=1)

    with pytest.raises(SessionError, match="belongs to no request"):
        await session.save()
    with pytest.raises(SessionError, match="belongs to no request"):
        await session.reload()
    with pytest.raises(SessionError, match="belongs to no request"):
        await session.take("n")
    with pytest.raises(SessionError, match="belongs to no request"):
        session.exclusive()


def test_copies() -> None:
    """A deep copy of a session's dict shares nothing with the session."""
    session = loaded(list=[1])

    copied = copy.deepcopy(dict(session))
    copied["list"].append(2)

    assert not session.modified


VALUES = st.dictionaries(
    st.sampled_from("abc"),
    st.none() | st.booleans() | st.integers(0, 1) | st.sampled_from([0.0, 1.0, [1], [True], "1"]),
)


@given(before=VALUES, after=VALUES)
@settings(deadline=None)
def test_changes_lead_there(before: dict[str, Any], after: dict[str, Any]) -> None:
    """The changes, applied to the loaded value, give the session's value with the same types."""
    session = loaded(**before)
    for name in before:
        del session[name]
    session.update(after)

    changes = changes_of(session)

    merged = {name: before[name] for name in before.keys() - changes.removed}
    merged.update(json.loads(changes.encode(limit=10_000)))
    assert json.dumps(merged, sort_keys=True) == json.dumps(after, sort_keys=True)
    assert session.modified is bool(changes)
    assert all(repr(after[name]) != repr(before.get(name, ...)) for name in changes.set)


MEMBERS = st.none() | st.booleans() | st.integers(0, 1) | st.sampled_from([1.0, "1", [1], [True]])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.sampled_from("abc"), MEMBERS),
        st.tuples(st.just("delete"), st.sampled_from("abc")),
        st.tuples(st.just("append"), st.sampled_from("abc")),
        st.tuples(st.just("default"), st.sampled_from("abc"), MEMBERS),
        st.tuples(st.just("rename"), st.sampled_from("abc"), st.sampled_from("abc")),
        st.tuples(st.just("read"), st.sampled_from("abc")),
        st.tuples(st.just("save")),
    ),
    max_size=8,
)


def take_step(content: dict[str, Any], kind: str, *arguments: Any) -> None:
    """Do to a session, or to a dict, what a handler may do."""
    match kind, *arguments:
        case "set", name, member:
            content[name] = copy.deepcopy(member)
        case "delete", name:
            with suppress(KeyError):
                del content[name]  # `pop` would give the member away
        case "append", name:
            if isinstance(content.get(name), list):
                content[name].append(2)
        case "default", name, member:
            content.setdefault(name, copy.deepcopy(member))
        case "rename", old, new:
            if old in content:
                content[new] = content.pop(old)
        case "read", name:
            content.get(name)


@example(before={"a": 1}, steps=[("set", "a", True)])
@example(before={"a": True, "b": 1}, steps=[("set", "b", True), ("delete", "a"), ("set", "a", 1)])
@example(before={"a": [1]}, steps=[("set", "b", "x" * LARGE_VALUE), ("save",), ("append", "a")])
@example(before={"a": [1]}, steps=[("set", "a", [True])])
@example(before={"a": [1]}, steps=[("append", "a")])
@example(before={"a": [1]}, steps=[("set", "b", 1), ("save",), ("append", "a")])
@given(before=st.dictionaries(st.sampled_from("abc"), MEMBERS), steps=STEPS)
@settings(deadline=None)
def test_any_steps(before: dict[str, Any], steps: list[tuple[Any, ...]]) -> None:
    """After any steps, with saves between them, the changes lead from what is stored to the end."""
    stored = json.dumps(before)
    session, wanted = loaded(**before), json.loads(stored)
    for step in [*steps, ("save",)]:
        take_step(session, *step)
        take_step(wanted, *step)
        if step == ("save",):
            changes, merged = changes_of(session), json.loads(stored)
            for name in changes.removed:
                del merged[name]
            merged.update(json.loads(changes.encode(limit=100_000)))
            stored = json.dumps(merged)
            state_of(session).acknowledge(changes, is_new=False)
        assert session.modified is (
            json.dumps(wanted, sort_keys=True) != json.dumps(json.loads(stored), sort_keys=True)
        )


def test_asked_for_during_save() -> None:
    """Requests made during a save, for a new key or a period, remain after the save."""
    session = loaded(n=1)
    session["n"] = 2
    changes, wishes = changes_of(session), state_of(session).wishes

    session.renew()
    session.period = 60
    state_of(session).acknowledge(changes, is_new=False, wishes=wishes)

    assert state_of(session).renewed
    assert state_of(session).period_changed
    state_of(session).acknowledge(
        changes_of(session), is_new=False, wishes=state_of(session).wishes
    )
    assert not state_of(session).renewed
    assert not state_of(session).period_changed


def test_cleared_again_during_save() -> None:
    """A session that is cleared again while a replacement is saved remains cleared."""
    session = loaded(n=1)
    session.clear()
    session["n"] = 2
    changes, wishes = changes_of(session), state_of(session).wishes

    session.clear()
    state_of(session).acknowledge(changes, is_new=False, wishes=wishes)

    assert state_of(session).cleared


def test_with_content() -> None:
    """A session can be made from its content, as Starlette's class, and is then unchanged."""
    content = {"user": "ann", "cart": [1]}

    session = Session(content)
    assert session == content
    assert not session.modified

    session["cart"].append(2)
    assert session.modified
