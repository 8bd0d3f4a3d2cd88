"""Litestar puts an object into the scope in place of the session: what that does to ours."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from pgsession import MemoryStore, SessionMiddleware
from tests.applications import SECRET
from tests.neighbours.frameworks import Visitor, check_signing, program, visiting
from tests.pages import DELETED, NAME

litestar = pytest.importorskip("litestar", reason="Litestar is not installed")

from litestar import Litestar, Request, WebSocket, asgi, get, websocket  # noqa: E402 - see above
from litestar.exceptions import NotAuthorizedException  # noqa: E402
from litestar.middleware import DefineMiddleware  # noqa: E402
from litestar.middleware.session.client_side import CookieBackendConfig  # noqa: E402
from litestar.middleware.session.server_side import ServerSideSessionConfig  # noqa: E402

AnyRequest = Request[Any, Any, Any]
AnySocket = WebSocket[Any, Any, Any]


@get("/fill")
async def fill(request: AnyRequest) -> None:
    request.session["basket"] = ["tea"]


@get("/replace")
async def replace(request: AnyRequest) -> None:
    request.set_session({"note": "milk"})


@get("/empty")
async def empty(request: AnyRequest) -> None:
    request.set_session({})


@get("/put")
async def put(request: AnyRequest) -> None:
    request.set_session(Litestar.__new__(Litestar))  # type: ignore[arg-type] # it takes models


@get("/clear")
async def clear(request: AnyRequest) -> None:
    request.clear_session()


@get("/fail")
async def fail(request: AnyRequest) -> None:
    request.clear_session()
    raise LookupError


@get("/reject")
async def reject(request: AnyRequest) -> None:
    request.clear_session()
    raise NotAuthorizedException


@websocket("/socket")
async def serve(socket: AnySocket) -> None:
    await socket.accept()
    await socket.send_text(socket.session["basket"][0])
    socket.clear_session()
    await socket.close()


@asgi("/mount", is_mount=True, copy_scope=False)
async def mount(scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG001 - ASGI
    scope["session"] = {"of": "the mounted application"}
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


PAGES = [fill, replace, empty, put, clear, fail, reject, serve, mount]


@pytest.fixture
def root() -> Iterator[None]:
    """Undoes what Litestar does to the root logger."""
    logger = logging.getLogger()
    level, handlers = logger.level, list(logger.handlers)
    yield
    logger.setLevel(level)
    logger.handlers[:] = handlers


@pytest.fixture
def visitor(root: None) -> Iterator[Visitor]:  # noqa: ARG001 - it comes first
    store = MemoryStore()
    names = program("Litestar", store)
    for page in PAGES:
        names["api"].register(page)
    with visiting(names["app"], store) as it:
        yield it


def test_signing(visitor: Visitor) -> None:
    """A login works as in Starlette, and `clear_session()` is a logout."""
    check_signing(visitor)


@pytest.mark.parametrize("path", ["/clear", "/empty", "/reject"])
def test_ended(visitor: Visitor, path: str) -> None:
    """A session that Litestar takes away, or empties, has ended before the response."""
    visitor.get("/fill")
    key = visitor.key

    assert visitor.get(path).headers["set-cookie"] == DELETED
    assert not visitor.lives(key)


def test_failed(visitor: Visitor) -> None:
    """A request that fails ends nothing: Litestar answers 500."""
    visitor.get("/fill")

    assert visitor.get("/fail").status_code == 500
    assert visitor.value() == {"basket": ["tea"]}


def test_replaced(visitor: Visitor) -> None:
    """`set_session()` replaces the whole content, under the same key."""
    visitor.get("/fill")
    key = visitor.key

    visitor.get("/replace")

    assert visitor.value() == {"note": "milk"}
    assert visitor.key == key


def test_begun(visitor: Visitor) -> None:
    """`set_session()` begins a session for a visitor without one."""
    visitor.get("/replace")

    assert visitor.value() == {"note": "milk"}


@pytest.mark.parametrize(("path", "kind"), [("/put", "Litestar"), ("/mount", "dict")])
def test_unknown(visitor: Visitor, caplog: pytest.LogCaptureFixture, path: str, kind: str) -> None:
    """Another object, and the dict of a mounted application, is not saved, with an error."""
    visitor.get("/fill")

    visitor.get(path)

    assert visitor.value() == {"basket": ["tea"]}
    assert f"An object of the class {kind} was put" in caplog.text


def test_socket(visitor: Visitor) -> None:
    """A WebSocket that clears the session after its accept has ended it."""
    visitor.get("/fill")
    key = visitor.key

    with visitor.connect("/socket") as socket:
        assert socket.receive_text() == "tea"

    assert not visitor.lives(key)


@pytest.mark.parametrize(
    "theirs",
    [
        pytest.param(CookieBackendConfig(secret=b"x" * 16), id="client-side"),
        pytest.param(ServerSideSessionConfig(), id="server-side"),
    ],
)
@pytest.mark.parametrize("path", ["/clear", "/replace"])
def test_their_own(theirs: Any, path: str, caplog: pytest.LogCaptureFixture) -> None:
    """Inside a session middleware of Litestar's, both are about its session, and not about ours."""
    store = MemoryStore()
    api = Litestar(PAGES, middleware=[theirs.middleware], logging_config=None)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope.get("path") == "/ours":
            scope["session"]["user"] = "ann"
            scope["path"] = "/fill"
        await api(scope, receive, send)

    with visiting(SessionMiddleware(app, store, SECRET), store) as visitor:
        visitor.get("/ours")
        visitor.get("/fill")
        visitor.get(path)

        assert visitor.value() == {"user": "ann"}
    assert "was put" not in caplog.text


def test_as_middleware() -> None:
    """As a middleware of Litestar's it works too."""
    store = MemoryStore()
    ours: Any = SessionMiddleware  # Litestar has other types for scopes and messages
    defined = DefineMiddleware(ours, store=store, secret_key=SECRET)
    app: Any = Litestar(PAGES, middleware=[defined], logging_config=None)
    with visiting(app, store) as visitor:
        visitor.get("/fill")
        assert visitor.value() == {"basket": ["tea"]}
        visitor.get("/replace")
        assert visitor.value() == {"note": "milk"}
        assert visitor.get("/fail").status_code == 500
        visitor.get("/clear")
        assert NAME not in visitor.cookies
