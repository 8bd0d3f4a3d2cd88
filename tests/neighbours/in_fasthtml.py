"""FastHTML brings Starlette's middleware by default, and ours if it is named.

test_fasthtml.py runs these tests, in a process of their own.
"""

from collections.abc import Iterator
from inspect import signature

import pytest
from starlette.requests import Request
from starlette.websockets import WebSocket

from pgsession import MemoryStore, SessionMiddleware
from tests.applications import SECRET
from tests.neighbours.frameworks import Visitor, check_signing, program, visiting
from tests.pages import NAME

common = pytest.importorskip("fasthtml.common")


def basket(request: Request) -> str:
    request.session["basket"] = ["tea"]
    return "done"


def fail(request: Request) -> None:
    basket(request)
    raise LookupError


def serve(socket: WebSocket, msg: str) -> str:
    socket.session["socket"] = msg
    return str(socket.session["basket"][0])


@pytest.fixture
def visitor() -> Iterator[Visitor]:
    store = MemoryStore()
    app = program("FastHTML", store)["app"]
    app.get("/basket")(basket)
    app.get("/fail")(fail)
    app.ws("/socket")(serve)
    with visiting(app, store) as it:
        yield it


def test_signing(visitor: Visitor) -> None:
    """A login and a logout work as in Starlette."""
    check_signing(visitor)


def test_failed(visitor: Visitor) -> None:
    """Nothing is saved of a request that fails."""
    assert visitor.get("/fail").status_code == 500
    assert not visitor.cookies


def test_socket(visitor: Visitor) -> None:
    """A WebSocket reads the session, and what it changes is saved."""
    visitor.get("/basket")

    with visitor.connect("/socket") as socket:
        socket.send_json({"msg": "hello"})
        assert socket.receive_text() == "tea"

    assert visitor.value() == {"basket": ["tea"], "socket": "hello"}


def test_default() -> None:
    """With FastHTML's default inside ours, its pages use Starlette's session, and ours is kept."""
    store = MemoryStore()
    app = common.FastHTML(secret_key=SECRET)
    app.get("/basket")(basket)
    with visiting(SessionMiddleware(app, store, SECRET), store) as visitor:
        visitor.get("/basket")

        assert NAME not in visitor.cookies
        assert "session_" in {cookie.name for cookie in visitor.cookies.jar}
    assert signature(common.FastHTML).parameters["max_age"].default == 365 * 24 * 3600  # a year
