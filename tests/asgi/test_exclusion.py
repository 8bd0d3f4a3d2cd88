"""Which requests have no session, and what happens if code uses one there."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import Request
from starlette.types import Scope

from pgsession.asgi.exclusion import ExcludedSession, matcher
from pgsession.errors import SessionExcludedError


def scope(path: str, *, root_path: str = "") -> Scope:
    return {"type": "http", "path": path, "root_path": root_path, "headers": []}


@pytest.mark.parametrize(
    ("exclude", "path", "excluded"),
    [
        pytest.param(["/static"], "/static", True, id="itself"),
        pytest.param(["/static"], "/static/", True, id="its folder"),
        pytest.param(["/static"], "/static/a/b.css", True, id="below"),
        pytest.param(["/static"], "/static-old", False, id="longer name"),
        pytest.param(["/static"], "/", False, id="above"),
        pytest.param(["/static"], "/a/static", False, id="elsewhere"),
        pytest.param(["/static"], "/STATIC", False, id="other case"),
        pytest.param(["/static/"], "/static", True, id="slash at the end"),
        pytest.param(["/static/"], "/static-old", False, id="slash at the end, longer name"),
        pytest.param(["/a", "/b"], "/b/c", True, id="second of two"),
        pytest.param(["/"], "/anything", True, id="everything"),
        pytest.param([], "/static", False, id="nothing"),
        pytest.param((), "/", False, id="nothing, as by default"),
    ],
)
def test_prefix(exclude: list[str], path: str, excluded: bool) -> None:
    """A prefix matches its own path and the paths below it."""
    assert matcher(exclude)(scope(path)) is excluded


@pytest.mark.parametrize(
    ("path", "root_path", "excluded"),
    [
        pytest.param("/app/static/x", "/app", True, id="mounted"),
        pytest.param("/static/x", "/app", True, id="server that strips the root"),
        pytest.param("/application/static", "/app", False, id="root is part of a name"),
        pytest.param("/static/x", "/stat", True, id="root is part of the prefix"),
        pytest.param("/app", "/app", False, id="the root itself"),
        pytest.param("/static", "/static", False, id="mounted at the prefix"),
        pytest.param("/static/static", "/static", True, id="mounted at the prefix, below"),
    ],
)
def test_mounted(path: str, root_path: str, excluded: bool) -> None:
    """A prefix is compared with the path below the point where the application is mounted."""
    assert matcher(["/static"])(scope(path, root_path=root_path)) is excluded


def test_root_path_is_optional() -> None:
    """A server may omit the root path, as ASGI allows."""
    assert matcher(["/static"])({"type": "websocket", "path": "/static/x"})


def test_predicate() -> None:
    """A function of the scope makes the decision alone."""
    is_excluded = matcher(lambda scope: scope["type"] == "websocket")

    assert is_excluded({"type": "websocket", "path": "/"})
    assert not is_excluded(scope("/"))


def augment(session: Any) -> None:
    session |= {"a": 1}


def assign(session: Any) -> None:
    session["a"] = 1


def delete(session: Any) -> None:
    del session["a"]


@pytest.mark.parametrize(
    "use",
    [
        pytest.param(lambda session: session["a"], id="get item"),
        pytest.param(assign, id="set item"),
        pytest.param(delete, id="del item"),
        pytest.param(lambda session: session.get("a"), id="get"),
        pytest.param(lambda session: session.pop("a", None), id="pop"),
        pytest.param(lambda session: session.setdefault("a", 1), id="setdefault"),
        pytest.param(lambda session: session.update(a=1), id="update"),
        pytest.param(lambda session: session.clear(), id="clear"),
        pytest.param(lambda session: session.items(), id="items"),
        pytest.param(lambda session: session.renew(), id="renew"),
        pytest.param(lambda session: session.save(), id="save"),
        pytest.param(lambda session: session.period, id="period"),
        pytest.param(lambda session: "a" in session, id="in"),
        pytest.param(lambda session: [*session], id="iterate"),
        pytest.param(lambda session: {**session}, id="unpack"),
        pytest.param(dict, id="dict"),
        pytest.param(len, id="len"),
        pytest.param(lambda session: not session, id="truth"),
        pytest.param(lambda session: session == {}, id="equal"),
        pytest.param(lambda session: session != {}, id="unequal"),
        pytest.param(lambda session: session | {}, id="or"),
        pytest.param(augment, id="augmented or"),
        pytest.param(hash, id="hash"),
    ],
)
def test_use(use: Callable[[Any], object]) -> None:
    """Any use of a session on an excluded path raises an error that says what to do."""
    with pytest.raises(SessionExcludedError, match=r"excluded from sessions.* Take it out of"):
        use(ExcludedSession())


def test_request_session() -> None:
    """On an excluded path, `request.session` does not claim that the middleware is missing."""
    request = Request({**scope("/static"), "session": ExcludedSession()})

    with pytest.raises(SessionExcludedError):
        request.session["user"]


def test_bystanders() -> None:
    """Code that copies or prints a scope, as debuggers do, works on an excluded path."""
    session = ExcludedSession()

    assert isinstance(copy.deepcopy({"session": session})["session"], ExcludedSession)
    assert "ExcludedSession" in repr(session)
    assert not hasattr(session, "__html__")
