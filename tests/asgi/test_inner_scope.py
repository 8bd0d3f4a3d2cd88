"""The scope of an application inside another session middleware."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from pgsession.asgi.neighbours import InnerScope

OUTER = object()


@pytest.fixture
def outer() -> dict[str, Any]:
    return {"type": "http", "path": "/", "session": OUTER}


@pytest.fixture
def inner(outer: dict[str, Any]) -> InnerScope:
    scope = InnerScope(outer)
    scope["session"] = "inner"
    return scope


def unite(scope: InnerScope) -> None:
    scope |= {"route": 1, "session": "another"}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda it: it.__setitem__("route", 1), id="assignment"),
        pytest.param(lambda it: it.update(route=1), id="update with keywords"),
        pytest.param(lambda it: it.update({"route": 1, "session": "another"}), id="update"),
        pytest.param(lambda it: it.update([("route", 1)]), id="update with pairs"),
        pytest.param(lambda it: it.setdefault("route", 1), id="setdefault"),
        pytest.param(unite, id="ior"),
    ],
)
def test_added(
    outer: dict[str, Any], inner: InnerScope, change: Callable[[InnerScope], object]
) -> None:
    """What the application puts into the scope is also outside, except the session."""
    change(inner)

    assert inner["route"] == 1
    assert outer == {"type": "http", "path": "/", "route": 1, "session": OUTER}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda it: it.__delitem__("path"), id="del"),
        pytest.param(lambda it: it.pop("path"), id="pop"),
    ],
)
def test_removed(
    outer: dict[str, Any], inner: InnerScope, change: Callable[[InnerScope], object]
) -> None:
    """What the application removes is also removed outside."""
    change(inner)

    assert outer == {"type": "http", "session": OUTER}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda it: it.__delitem__("session"), id="del"),
        pytest.param(lambda it: it.pop("session"), id="pop"),
        pytest.param(lambda it: it.popitem(), id="popitem"),
        pytest.param(lambda it: it.clear(), id="clear"),
    ],
)
def test_session_removed(
    outer: dict[str, Any], inner: InnerScope, change: Callable[[InnerScope], object]
) -> None:
    """The session outside stays, whatever the application does to its own."""
    change(inner)

    assert "session" not in inner
    assert outer["session"] is OUTER


def test_defaults(outer: dict[str, Any], inner: InnerScope) -> None:
    """A default adds nothing to what is there, and `pop` has one."""
    assert inner.setdefault("path", "/other") == "/"
    assert inner.setdefault("state") is None
    assert inner.pop("missing", 5) == 5
    assert outer["path"] == "/"


def test_added_outside(outer: dict[str, Any], inner: InnerScope) -> None:
    """What the middleware outside adds later is found inside."""
    outer["verified"] = True

    assert "verified" in inner
    assert inner["verified"]
    assert inner.get("verified")
    assert inner.get("missing", 5) == 5
    assert inner.pop("verified") is True
    assert "verified" not in outer
    outer["verified"] = True
    del inner["verified"]
    assert "verified" not in outer
    with pytest.raises(KeyError, match="missing"):
        inner.pop("missing")
    del inner["session"]
    assert "session" not in inner
    with pytest.raises(KeyError, match="session"):
        inner["session"]


def test_copies(inner: InnerScope) -> None:
    """A copy is a plain dict."""
    for copied in (copy.copy(inner), inner.copy(), pickle.loads(pickle.dumps({**inner}))):  # noqa: S301 - ours
        assert type(copied) is dict
    assert copy.copy(inner)["session"] == "inner"
