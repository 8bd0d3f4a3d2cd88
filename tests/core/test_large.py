"""Large sessions: a member is decoded and compared only if somebody has looked at it."""

import copy
import json
import pickle
import tracemalloc
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgsession.asgi.ended import EndedSession, end
from pgsession.core.large import (
    UNDECODED_VALUE,
    LargeBaseline,
    LargeValue,
    UndecodedValue,
    read_value,
)
from pgsession.core.session import Session
from pgsession.core.store import Changes, Entry
from pgsession.core.tracked import state_of
from pgsession.core.undecoded import Undecoded, UndecodedMembers
from pgsession.core.value import decode_member, decode_value, encode_value, printed_size
from pgsession.errors import InvalidValueError, ValueTooLargeError
from tests.states import changes_of, limited, rebase

DAY = timedelta(days=1)
ROWS = [{"id": number, "name": "é:, \\", "at": 1.5} for number in range(200)]
VALUE = {
    "user": "ann",
    "n": 1,
    "rows": ROWS,
    "odd": {"b": [1e300, 0.0], "a": "x" * UNDECODED_VALUE},
}


def printed(value: dict[str, Any]) -> str:
    """Return the text of a value with blanks, as PostgreSQL prints it."""
    text = json.dumps(decode_value(encode_value(value, limit=10**9)), ensure_ascii=False)
    return text.replace("1e+300", f"{1e300:.1f}")


def written(value: dict[str, Any]) -> bytes:
    """Return the text of a value without blanks, as it is written here."""
    return encode_value(value, limit=10**9)


FORMS = pytest.mark.parametrize("form", [printed, written], ids=["printed", "written"])


def loaded(value: dict[str, Any], form: Callable[[Any], Any] = printed) -> Session:
    """Return a session as it is loaded from a store."""
    return Session(Entry(read_value(form(value)), DAY))


def undecoded(session: dict[str, Any]) -> set[str]:
    """Return the names of the members that nobody has looked at."""
    return {name for name, member in dict.items(session) if type(member) is Undecoded}


READS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "dict": dict,
    "unpacked": lambda it: {**it},
    "keywords": lambda it: dict(**it),
    "into another dict": lambda it: {} | it,
    "or": lambda it: it | {},
    "copy": lambda it: it.copy(),
    "copy.copy": copy.copy,
    "copy.deepcopy": copy.deepcopy,
    "pickle": lambda it: pickle.loads(pickle.dumps(it)),  # noqa: S301 - our own
    "json": lambda it: json.loads(json.dumps(it)),
    "items": lambda it: dict(it.items()),
    "values": lambda it: dict(zip(it.keys(), it.values(), strict=True)),
    "subscripts": lambda it: {name: it[name] for name in it},
    "get": lambda it: {name: it.get(name) for name in it},
    "pop": lambda it: {name: it.pop(name) for name in list(it)},
    "popitem": lambda it: dict(it.popitem() for _ in range(len(it))),
    "setdefault": lambda it: {name: it.setdefault(name) for name in it},
}


@FORMS
@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_reads(read: Callable[[dict[str, Any]], Any], form: Callable[[Any], Any]) -> None:
    """Whatever reads a large session, or the value of its entry, finds decoded members."""
    for it in (loaded(VALUE, form), read_value(form(VALUE))):
        assert undecoded(it) == {"rows", "odd"}
        assert json.dumps(read(it), sort_keys=True) == json.dumps(VALUE, sort_keys=True)


def test_comparison() -> None:
    """A large session, and the value of its entry, is equal to a dict with the same members."""
    other = {**VALUE, "rows": [1]}

    for make in (loaded, lambda value: read_value(printed(value))):
        assert make(VALUE) == VALUE
        assert dict(VALUE) == make(VALUE)
        assert make(VALUE) != other
        assert not make(VALUE) != VALUE  # noqa: SIM202 - it is a method of its own
    assert repr(read_value(printed(VALUE))) == repr(decode_value(printed(VALUE)))


def test_missing() -> None:
    """A member that is missing is so in a large session, too."""
    session = loaded(VALUE)

    assert session.get("missing", 5) == session.pop("missing", 5) == 5
    with pytest.raises(KeyError):
        session["missing"]
    with pytest.raises(TypeError):
        session.pop()  # type: ignore[call-overload]  # as with any dict
    assert undecoded(session) == {"rows", "odd"}


def test_one_object() -> None:
    """A member that was decoded is the same object afterwards, so that its changes are kept."""
    session = loaded(VALUE)

    session["rows"].append(1)

    assert session["rows"][-1] == 1
    assert changes_of(session) == Changes(set={"rows": [*ROWS, 1]})


@FORMS
def test_not_looked_at(form: Callable[[Any], Any]) -> None:
    """A change beside a large member neither decodes nor compares nor encodes that member."""
    session = loaded(VALUE, form)

    session["n"] += 1
    changes = changes_of(session)

    assert session.modified
    assert not state_of(session).is_unsaved(session, "rows")
    assert changes.encode(limit=10**6) == b'{"n":2}'
    state_of(session).acknowledge(changes, is_new=False)
    assert not session.modified
    assert "rows" in session
    assert len(session) == len(VALUE)
    assert undecoded(session) == {"rows", "odd"}


def test_memory() -> None:
    """A waiting request holds the text of a large session, and what its handler has looked at."""
    value = {"n": 1, "big": [[[number]] for number in range(100_000)], "other": ROWS}
    text = printed(value)
    tracemalloc.start()
    try:
        session = Session(Entry(read_value(text), DAY))
        session["n"] += 1
        state_of(session).acknowledge(changes_of(session), is_new=False)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert undecoded(session) == {"big", "other"}
    assert held < 1.1 * len(text) + 20_000


SAME: list[Any] = [
    pytest.param(lambda it: it["rows"], id="read"),
    pytest.param(lambda it: it.update(rows=list(ROWS)), id="set to the same"),
    pytest.param(lambda it: it.update(rows=tuple(ROWS)), id="tuple"),
    pytest.param(lambda it: it.update(rows=it.pop("rows")), id="removed and set back"),
    pytest.param(lambda it: (it["rows"].append(1), it["rows"].pop()), id="nested edit and back"),
    pytest.param(
        lambda it: it.update(rows=[dict(reversed(row.items())) for row in ROWS]), id="other order"
    ),
    pytest.param(lambda it: it["odd"]["b"].__setitem__(1, -0.0), id="negative zero"),
    pytest.param(lambda it: it.update(odd=dict(reversed(it["odd"].items()))), id="float, order"),
]


@FORMS
@pytest.mark.parametrize("edit", SAME)
def test_same(edit: Callable[[Session], object], form: Callable[[Any], Any]) -> None:
    """A large member that is looked at and is the same JSON afterwards is no change."""
    session = loaded(VALUE, form)

    edit(session)

    assert not changes_of(session)
    assert not session.modified


DIFFERENT: list[Any] = [
    pytest.param(lambda it: it["rows"][7].update(id=True), "rows", id="True for 1"),
    pytest.param(lambda it: it["rows"][1].update(id=1.0), "rows", id="1.0 for 1"),
    pytest.param(lambda it: it["rows"][7]["name"].join("ab"), None, id="none"),
    pytest.param(lambda it: it["odd"]["b"].append([]), "odd", id="deep inside"),
    pytest.param(lambda it: it.update(odd=5), "odd", id="a small one for a large one"),
    pytest.param(lambda it: it.update(n=ROWS), "n", id="a large one for a small one"),
    pytest.param(lambda it: it.update(new=[it["odd"]]), "new", id="another large one"),
]


@FORMS
@pytest.mark.parametrize(("edit", "name"), DIFFERENT)
def test_different(
    edit: Callable[[Session], object], name: str | None, form: Callable[[Any], Any]
) -> None:
    """A change of a large member is found, and saved alone, and is then none any more."""
    session = loaded(VALUE, form)

    edit(session)

    changes = changes_of(session)
    assert changes.set.keys() == ({name} if name else set())
    assert session.modified is bool(name)
    state_of(session).acknowledge(changes, is_new=False)
    assert not session.modified
    assert not changes_of(session)
    assert state_of(session).stored.size == printed_size(encode_value(dict(session), limit=10**9))
    assert decode_value(state_of(session).stored.text) == dict(session)


@pytest.mark.parametrize("bad", [{1}, [float("nan")], ["\0"], {1: 2}], ids=repr)
def test_bad(bad: object) -> None:
    """What cannot be stored is an error in place of a large member, too."""
    session = loaded(VALUE)
    session["rows"] = bad

    assert session.modified
    with pytest.raises(InvalidValueError, match=r'session\["rows"\]'):
        changes_of(session)


def test_removed() -> None:
    """A large member is removed without being decoded, and added again."""
    session = loaded(VALUE)

    del session["rows"]

    changes = changes_of(session)
    assert changes == Changes(removed={"rows"})
    state_of(session).acknowledge(changes, is_new=False)
    session["rows"] = [1]
    assert changes_of(session) == Changes(set={"rows": [1]})
    assert undecoded(session) == {"odd"}


def test_forgotten() -> None:
    """A large member that was taken is no change."""
    session = loaded(VALUE)

    state_of(session).forget(session, "rows")

    assert not session.modified
    assert session.keys() == VALUE.keys() - {"rows"}


def test_cleared() -> None:
    """`clear` replaces large members, too."""
    session = loaded(VALUE)
    session.clear()
    session["rows"] = ROWS

    changes = changes_of(session)

    assert changes == Changes(set={"rows": ROWS}, replaced=True)
    state_of(session).acknowledge(changes, is_new=False)
    assert not session.modified


def test_reloaded() -> None:
    """What is loaded again has its large members undecoded, and unsaved changes are kept."""
    session = Session(Entry({"n": 1}, DAY))
    session["n"] = 2

    state_of(session).rebase(session, Entry(read_value(printed(VALUE)), DAY), changes_of(session))

    assert undecoded(session) == {"rows", "odd"}
    assert changes_of(session) == Changes(set={"n": 2})
    rebase(session, Entry({"n": 3}, DAY))
    assert session == {"n": 2}


def test_restored() -> None:
    """A snapshot holds large members, and does not decode them."""
    session = loaded(VALUE)
    session["n"] = 2
    snapshot = state_of(session).snapshot(session)
    left = undecoded(session)
    session["rows"].clear()
    session["new"] = 1

    state_of(session).restore(session, snapshot)

    assert left == {"rows", "odd"}
    assert changes_of(session) == Changes(set={"n": 2})


def test_ended() -> None:
    """After its request a large session is read as any other."""
    session = loaded(VALUE)

    end(session, None)

    assert isinstance(session, EndedSession)
    assert dict(session) == VALUE
    assert session.get("user") == "ann"


def test_becomes_large() -> None:
    """A session that has become large keeps no second decoded copy, and finds its changes."""
    session = Session({"n": 1, "f": 1e300})
    rows: list[Any] = copy.deepcopy(ROWS) * 10
    session["rows"] = rows

    state_of(session).acknowledge(changes_of(session), is_new=False)

    assert not changes_of(session)
    assert state_of(session).stored.size == printed_size(encode_value(dict(session), limit=10**9))
    rows.append(1)
    assert changes_of(session) == Changes(set={"rows": rows})
    session["more"] = ["x" * UNDECODED_VALUE]
    state_of(session).acknowledge(changes_of(session), is_new=False)
    state_of(session).rebase(session, Entry(read_value(printed(VALUE)), DAY), changes_of(session))
    state_of(session).rebase(session, Entry(read_value(printed(VALUE)), DAY), changes_of(session))
    assert undecoded(session) == {"rows", "odd"}


@FORMS
@pytest.mark.parametrize("grows", [False, True], ids=["same", "one byte more"])
def test_limit(form: Callable[[Any], Any], *, grows: bool) -> None:
    """The limit is that of the printed value, to the byte, also beside undecoded members."""
    size = printed_size(encode_value(VALUE, limit=10**9))
    session = limited(Entry(read_value(form(VALUE)), DAY), size)
    session["n"] = 10 if grows else 9

    if grows:
        with pytest.raises(ValueTooLargeError, match=f"is {size + 1:,} bytes"):
            changes_of(session)
    else:
        assert changes_of(session)
    assert undecoded(session) == {"rows", "odd"}


@pytest.mark.parametrize(
    "number", ["1" + "0" * 5_000, "1" + "0" * 400 + ".5", "[" * 14_000 + "]" * 14_000]
)
def test_unreadable(number: str) -> None:
    """A large value with something that Python cannot read is an error when it is loaded."""
    text = f'{{"text": "{"x" * UNDECODED_VALUE}", "list": [{number}, "{"x" * 5_000}"]}}'

    with pytest.raises(InvalidValueError):
        read_value(text)
    with pytest.raises(InvalidValueError):
        read_value("[" + text + "]")


def test_long_digits() -> None:
    """A large value with a long number or text of digits is read as any other."""
    value = {"n": [10**3_900, 1.7e308], "text": "7" * UNDECODED_VALUE}

    assert read_value(written(value)) == value


def test_many_short_members() -> None:
    """A large session without a large list or object has all its members decoded."""
    value = {"list": [1], **{f"m{number}": number for number in range(10_000)}}

    assert type(read_value(printed(value))) is LargeValue
    assert not isinstance(loaded(value), UndecodedMembers)
    assert msgspec.json.decode(msgspec.json.encode(loaded(value))) == value
    assert type(read_value(printed(VALUE))) is UndecodedValue
    assert isinstance(loaded(VALUE), UndecodedMembers)


#: Hypothesis would print the members themselves.
MEMBERS = {
    "one": 1,
    "true": True,
    "float": 1.0,
    "text": "a",
    "none": None,
    "rows": [ROWS, 1],
    "rows and true": [ROWS, True],
    "list": ["x" * 5_000],
    "tuple": ("x" * 5_000,),
    "large float": 1e300,
    "dict": {},
}
VALUES = st.dictionaries(st.sampled_from("abcd"), st.sampled_from(list(MEMBERS)))


@FORMS
@given(stored=VALUES, new=VALUES, looked=st.sets(st.sampled_from("abcd")))
@settings(deadline=None, max_examples=30)
def test_changes_alike(
    stored: dict[str, str], new: dict[str, str], looked: set[str], form: Callable[[Any], Any]
) -> None:
    """A large session has the same changes as one that is decoded as a whole."""
    before, after = ({name: MEMBERS[it] for name, it in each.items()} for each in (stored, new))
    padded = {"pad": list(range(UNDECODED_VALUE)), **before}
    one = loaded(padded, form)
    other = Session(Entry(decode_value(form(padded)), DAY))
    for session in (one, other):
        for name in looked:
            session.get(name)
        for name in before.keys() - after.keys():
            del session[name]
        session.update(after)

    changes = changes_of(one)

    assert changes == changes_of(other)
    texts = (each.encode(limit=10**6) for each in (changes, changes_of(other)))
    assert len({json.dumps(decode_value(text), sort_keys=True) for text in texts}) == 1
    assert one.modified is other.modified is bool(changes)
    assert "pad" in undecoded(one)


def test_text_is_shared() -> None:
    """Text of a large session is kept once, as it cannot be changed in place."""
    session = loaded(VALUE | {"text": "x" * UNDECODED_VALUE})
    kept = state_of(session).stored

    assert isinstance(kept, LargeBaseline)
    assert kept.kept["text"] is dict.get(session, "text")
    session["text"] = "".join(["x"] * UNDECODED_VALUE)
    assert not changes_of(session)
    session["text"] += "x"
    assert changes_of(session) == Changes(set={"text": "x" * (UNDECODED_VALUE + 1)})


def test_long_text() -> None:
    """A large session of text is decoded at once, and finds its changes."""
    value = {f"m{number}": "x" * 1_000 for number in range(20)} | {"notes": ["y" * 5_000]}
    session = loaded(value)

    assert not undecoded(session)
    assert not changes_of(session)
    session["notes"].append("z")
    session["m7"] = "y"
    assert changes_of(session) == Changes(set={"notes": ["y" * 5_000, "z"], "m7": "y"})


def test_small_list() -> None:
    """A small list of a large session is compared as any other, however it was changed."""
    session = loaded(VALUE | {"roles": ["reader"], "none": None})

    assert not session.modified
    session["roles"].append("editor")
    assert changes_of(session) == Changes(set={"roles": ["reader", "editor"]})
    session["roles"].pop()
    del session["none"]
    assert changes_of(session) == Changes(removed={"none"})
    session["other"] = None
    assert session.modified
    session["none"] = session.pop("other")
    assert not session.modified


def test_equal() -> None:
    """Large sessions of the same content are equal, also to dicts of other classes."""
    value = VALUE | {"rows": ROWS * 10}

    assert loaded(value) == loaded(value)
    assert defaultdict(list, value) == loaded(value)
    assert loaded(value) != loaded(value | {"rows": ROWS})


def test_looked_at_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """If another thread has looked at a member meanwhile, both have the same object."""
    session = loaded(VALUE | {"rows": ROWS * 10})
    first: list[Any] = []

    def decode(text: bytes) -> Any:
        if not first:  # what another thread may do at this moment
            first.append(None)
            first[0] = session["rows"]
        return decode_member(text)

    monkeypatch.setattr("pgsession.core.undecoded.decode_member", decode)

    assert session["rows"] is first[0]
