"""The mapping records that it was used, whatever uses it."""

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from pgsession import Entry, Session
from pgsession.core.content import is_empty
from pgsession.core.tracked import READS, WRITES, TrackedDict, state_of
from tests.states import changes_of


def of(**members: Any) -> Session:
    session = Session()
    dict.update(session, members)
    return session


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
