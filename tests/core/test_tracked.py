"""The mapping records that it was used, whatever uses it."""

import copy
import json
import pickle
import re
import threading
from collections import ChainMap
from collections.abc import Callable
from datetime import timedelta
from operator import itemgetter
from typing import Any

import pytest

from pgsession import Entry, InvalidValueError, Session
from pgsession.core.baseline import Baseline
from pgsession.core.content import UNCHANGED, is_empty
from pgsession.core.large import LARGE_VALUE, UNDECODED_VALUE, read_value
from pgsession.core.tracked import READS, WRITES, TrackedDict, state_of
from tests.states import changes_of, loaded


def of(**members: Any) -> Session:
    session = Session()
    dict.update(session, members)
    return session


def entry_of(**members: Any) -> Entry:
    """Return an entry as a store reads it."""
    return Entry(read_value(json.dumps(members)), timedelta(days=1))


def use_as_keywords(session: Session) -> None:
    dict(**session)


def match(session: Session) -> None:
    match session:
        case {"user": _}:
            pass


def remove(session: Session) -> None:
    del session["user"]


@pytest.mark.parametrize(
    "use",
    [
        pytest.param(lambda it: it["user"], id="subscript"),
        pytest.param(lambda it: it.get("missing"), id="get"),
        pytest.param(lambda it: "user" in it, id="in"),
        pytest.param(bool, id="bool"),
        pytest.param(len, id="len"),
        pytest.param(list, id="list"),
        pytest.param(reversed, id="reversed"),
        pytest.param(sorted, id="sorted"),
        pytest.param(dict, id="dict"),
        pytest.param(lambda it: {**it}, id="unpacked"),
        pytest.param({}.update, id="into another dict"),
        pytest.param(use_as_keywords, id="as keywords"),
        pytest.param(match, id="match"),
        pytest.param(lambda it: it.keys(), id="keys"),
        pytest.param(lambda it: it.values(), id="values"),
        pytest.param(lambda it: it.items(), id="items"),
        pytest.param(lambda it: it == {}, id="equal"),
        pytest.param(lambda it: it != {}, id="not equal"),
        pytest.param(lambda it: it | {}, id="or"),
        pytest.param(lambda it: {} | it, id="or from the right"),
        pytest.param(lambda it: it.copy(), id="copy"),
        pytest.param(copy.copy, id="copy.copy"),
        pytest.param(copy.deepcopy, id="copy.deepcopy"),
        pytest.param(pickle.dumps, id="pickle"),
        pytest.param(json.dumps, id="json"),
        pytest.param("{user}".format_map, id="format_map"),
        pytest.param(lambda it: it.__setitem__("n", 1), id="assignment"),
        pytest.param(remove, id="del"),
        pytest.param(lambda it: it.pop("missing", None), id="pop"),
        pytest.param(lambda it: it.popitem(), id="popitem"),
        pytest.param(lambda it: it.setdefault("user", 1), id="setdefault"),
        pytest.param(lambda it: it.update(n=1), id="update"),
        pytest.param(lambda it: it.__ior__({"n": 1}), id="ior"),
        pytest.param(lambda it: it.clear(), id="clear"),
        pytest.param(lambda it: it.renew(), id="renew"),
        pytest.param(lambda it: setattr(it, "period", 60), id="period"),
    ],
)
def test_use(use: Callable[[Session], object]) -> None:
    """Every use of a session is an access."""
    session = of(user="ann")
    assert not session.accessed

    use(session)

    assert session.accessed


@pytest.mark.parametrize(
    "look",
    [
        repr,
        str,
        lambda it: it.modified,
        lambda it: state_of(it).is_unchanged(it),
        is_empty,
        changes_of,
        lambda it: state_of(it).snapshot(it),
        lambda it: state_of(it).is_unsaved(it, "user"),
    ],
    ids=[
        "repr",
        "str",
        "modified",
        "is_unchanged",
        "is_empty",
        "changes",
        "snapshot",
        "is_unsaved",
    ],
)
def test_no_use(look: Callable[[Session], object]) -> None:
    """What the middleware does with a session is no access, and neither is its repr."""
    session = Session(Entry({"user": ["ann"]}, Session().period))

    look(session)

    assert not session.accessed


def cart_of_match(session: Session) -> Any:
    match session:
        case {"cart": cart}:
            return cart


@pytest.mark.parametrize(
    "get",
    [
        pytest.param(lambda it: it["cart"], id="subscript"),
        pytest.param(lambda it: it.get("cart"), id="get"),
        pytest.param(itemgetter("cart"), id="itemgetter"),
        pytest.param(lambda it: dict(it)["cart"], id="dict"),
        pytest.param(lambda it: {**it}["cart"], id="unpacked"),
        pytest.param(lambda it: dict(**it)["cart"], id="as keywords"),
        pytest.param(cart_of_match, id="match"),
        pytest.param(lambda it: it.keys().mapping["cart"], id="keys"),
        pytest.param(lambda it: [*it.values()][1], id="values"),
        pytest.param(lambda it: [*it.items()][1][1], id="items"),
        pytest.param(lambda it: (it | {})["cart"], id="or"),
        pytest.param(lambda it: ({} | it)["cart"], id="or from the right"),
        pytest.param(lambda it: it.copy()["cart"], id="copy"),
        pytest.param(lambda it: copy.copy(it)["cart"], id="copy.copy"),
        pytest.param(lambda it: it.setdefault("cart", []), id="setdefault"),
        pytest.param(lambda it: it.setdefault("new", []), id="setdefault of a new one"),
        pytest.param(lambda it: it.typed(list[int], "cart"), id="typed"),
        pytest.param(lambda it: ChainMap(it)["cart"], id="in another mapping"),
    ],
)
@pytest.mark.parametrize("size", [0, LARGE_VALUE, UNDECODED_VALUE], ids=["small", "large", "huge"])
def test_deep_change(get: Callable[[Session], Any], size: int) -> None:
    """A change inside a list is found, in whatever way the handler got the list."""
    session = loaded(entry_of(user="ann", cart=[1], text=["x" * 1000] * (size // 1000 + 1)))

    get(session).append(2)

    assert session.modified
    assert changes_of(session)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda it, cart: it.__setitem__("new", cart), id="assignment"),
        pytest.param(lambda it, cart: it.update(new=cart), id="update"),
        pytest.param(lambda it, cart: it.__ior__({"new": cart}), id="ior"),
        pytest.param(lambda it, cart: it.setdefault("new", cart), id="setdefault"),
    ],
)
def test_deep_change_of_own(change: Callable[[Session, list[int]], object]) -> None:
    """So is a change of a list that the handler itself has put there, after it was saved too."""
    session, cart = loaded(entry_of(n=1)), [1]
    change(session, cart)
    state_of(session).acknowledge(changes_of(session), is_new=False)
    assert not session.modified

    cart.append(2)

    assert session.modified


@pytest.mark.parametrize("pop", [lambda it: it.pop("cart"), lambda it: it.popitem()[1]])
def test_removed_and_back(pop: Callable[[Session], list[int]]) -> None:
    """So is a change of a list that was removed, and comes back."""
    session = loaded(entry_of(cart=[1]))

    cart = pop(session)
    cart.append(2)
    session["cart"] = cart

    assert changes_of(session).set == {"cart": [1, 2]}


@pytest.mark.parametrize(
    "of", [dict, lambda it: Entry(it, timedelta(days=1))], ids=["dict", "entry"]
)
def test_content_of_caller(of: Callable[[dict[str, Any]], Any]) -> None:
    """So is a change of a list that the session was made of."""
    cart = [1]
    session = Session(of({"cart": cart}))

    cart.append(2)

    assert session.modified


def test_entry_of_others() -> None:
    """What a store does to an entry that it keeps is no change of the session."""
    entry = entry_of(n=1, user="ann")
    session = loaded(entry)
    assert entry.value is not None

    entry.value["n"] = 2

    assert session["user"] == "ann"
    assert not changes_of(session)


def test_content_of_others() -> None:
    """What JSON cannot hold, of another store, is refused where it is needed, by its name."""
    session = loaded(Entry({"n": 1, "b": [object()]}, timedelta(days=1)))

    assert session["n"] == 1
    assert not changes_of(session)
    with pytest.raises(InvalidValueError, match=re.escape('session["b"][0] is of type object')):
        _ = session["b"]


def test_given_away_during_save(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that another thread gets while the session is saved is compared from then on."""
    session, carts = loaded(entry_of(n=1, cart=[1])), list[list[int]]()
    taking = threading.Thread(target=lambda: carts.append(session["cart"]))
    changed = Baseline.changed

    def change_meanwhile(baseline: Baseline, *arguments: Any) -> Baseline:
        result = changed(baseline, *arguments)
        taking.start()
        taking.join(0.2)  # in vain: it has to wait until the result is in place
        return result

    monkeypatch.setattr(Baseline, "changed", change_meanwhile)
    session["n"] = 2
    state_of(session).acknowledge(changes_of(session), is_new=False)
    taking.join()
    carts[0].append(2)

    assert changes_of(session).set == {"cart": [1, 2]}


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(lambda it: it["user"], id="subscript"),
        pytest.param(lambda it: it.get("user"), id="get"),
        pytest.param(lambda it: it.get("missing"), id="get of none"),
        pytest.param(lambda it: "user" in it, id="in"),
        pytest.param(len, id="len"),
        pytest.param(list, id="list"),
        pytest.param(lambda it: it.keys(), id="keys"),
        pytest.param(lambda it: it.mark_accessed(), id="mark_accessed"),
    ],
)
def test_not_compared(read: Callable[[Session], object]) -> None:
    """Who reads text and numbers, or names, cannot have changed a list: none is compared."""
    session = loaded(entry_of(user="ann", cart=[1]))
    state = state_of(session)

    read(session)

    assert not state.is_written
    assert state.stored.is_untouched(session)
    assert changes_of(session) is UNCHANGED


def test_written_without_methods() -> None:
    """What code in C changes in the memory of the dict is found too."""
    session = loaded(entry_of(user="ann", cart=[1]))

    dict.update(session, user="eve")

    assert session["user"] == "eve"
    assert changes_of(session).set == {"user": "eve"}


def test_complete() -> None:
    """Every method of a dict is recorded, except those that use no content."""
    untouched = {
        "__class_getitem__",
        "__doc__",
        "__getattribute__",
        "__hash__",
        "__init__",
        "__new__",
        "__repr__",
        "__sizeof__",
        "fromkeys",
        # They are not implemented: each raises TypeError.
        "__ge__",
        "__gt__",
        "__le__",
        "__lt__",
    }

    assert vars(dict).keys() - {*READS, *WRITES} == untouched
    assert {*READS, *WRITES} <= vars(TrackedDict).keys()


def test_behaves_as_a_dict() -> None:
    """A session does what a dict does."""
    session = of(b=1, a=2)

    assert list(session) == ["b", "a"]
    assert session | {"c": 3} == {"b": 1, "a": 2, "c": 3}
    assert type(session | {}) is dict
    assert session == {"a": 2, "b": 1}
    assert session.pop("a") == 2
    assert session.setdefault("c", []) == []
    with pytest.raises(KeyError, match="missing"):
        session["missing"]
    with pytest.raises(TypeError, match="unhashable"):
        hash(session)
