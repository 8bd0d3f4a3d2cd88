"""Paths without a session."""

from collections.abc import Awaitable, Callable

import pytest
from httpx import AsyncClient
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Message, Receive, Scope, Send

from pgsession import MemoryStore, Session, SessionExcludedError, SessionMiddleware, SessionSettings
from tests.applications import SECRET
from tests.pages import fill


async def page(_request: Request) -> Response:
    return PlainTextResponse("page")


async def try_session(request: Request) -> Response:
    request.session["user"] = "eve"
    return Response()


@pytest.mark.parametrize("path", ["/static", "/static/", "/static/app.css"])
@pytest.mark.parametrize("prefix", ["/static", "/static/"])
async def test_below_prefix(visit: Callable[..., AsyncClient], prefix: str, path: str) -> None:
    """A prefix excludes its own path and the paths below it."""
    client = visit(MemoryStore(), routes=(Route("/{path:path}", try_session),), exclude=[prefix])

    with pytest.raises(SessionExcludedError):
        await client.get(path)


@pytest.mark.parametrize("path", ["/static-old", "/", "/app/static", "/Static"])
async def test_beside_prefix(visit: Callable[..., AsyncClient], path: str) -> None:
    """A prefix matches whole segments from the start; other paths keep their session."""
    client = visit(MemoryStore(), routes=(Route("/{path:path}", try_session),), exclude=["/static"])

    assert "set-cookie" in (await client.get(path)).headers


async def test_served(visit: Callable[..., AsyncClient]) -> None:
    """An excluded path is served without Vary and without a cookie."""
    client = visit(MemoryStore(), fill, routes=(Route("/health", page),), exclude=["/health"])
    await client.get("/fill")

    response = await client.get("/health")

    assert response.text == "page"
    assert "vary" not in response.headers
    assert "set-cookie" not in response.headers


async def test_predicate(visit: Callable[..., AsyncClient]) -> None:
    """A predicate excludes the scopes for which it returns True."""

    def is_read(scope: Scope) -> bool:
        return bool(scope["method"] == "GET")

    routes = (Route("/", try_session, methods=["GET", "POST"]),)
    client = visit(MemoryStore(), routes=routes, exclude=is_read)

    with pytest.raises(SessionExcludedError):
        await client.get("/")
    assert "set-cookie" in (await client.post("/")).headers


async def test_mounted(visit: Callable[..., AsyncClient]) -> None:
    """A prefix also excludes applications mounted below it."""
    mount = Mount("/static", routes=[Route("/app.css", try_session)])
    client = visit(MemoryStore(), routes=(mount,), exclude=["/static"])

    with pytest.raises(SessionExcludedError):
        await client.get("/static/app.css")


async def test_root_path(visit: Callable[..., AsyncClient]) -> None:
    """Behind a proxy, a prefix is compared with the path without the root path."""
    client = visit(MemoryStore(), routes=(Route("/static", try_session),), exclude=["/static"])
    client._transport.root_path = "/behind"  # type: ignore[attr-defined]  # noqa: SLF001

    with pytest.raises(SessionExcludedError):
        await client.get("/behind/static")


@pytest.mark.parametrize(
    "use",
    [
        pytest.param(lambda session: session["user"], id="get"),
        pytest.param(lambda session: session.get("user"), id="method"),
        pytest.param(lambda session: "user" in session, id="in"),
        pytest.param(bool, id="bool"),
        pytest.param(len, id="len"),
        pytest.param(list, id="iter"),
        pytest.param(dict, id="dict"),
        pytest.param(lambda session: session.update(user="eve"), id="update"),
        pytest.param(lambda session: session.__setitem__("user", "eve"), id="set"),
        pytest.param(lambda session: session.renew(), id="renew"),
    ],
)
async def test_any_use(visit: Callable[..., AsyncClient], use: Callable[[Session], object]) -> None:
    """Any use of the session on an excluded path raises an error that says what to do."""

    async def use_it(request: Request) -> Response:
        use(request.scope["session"])
        return Response()

    client = visit(MemoryStore(), routes=(Route("/", use_it),), exclude=["/"])

    with pytest.raises(SessionExcludedError, match="exclude"):
        await client.get("/")


def bare(exclude: list[str]) -> SessionSettings:
    return SessionSettings(secret_key=SECRET, exclude=exclude, excluded_session="absent")


async def test_absent(visit: Callable[..., AsyncClient]) -> None:
    """With "absent", the scope of an excluded request has no session, and others have one."""

    async def look(request: Request) -> Response:
        return PlainTextResponse(str("session" in request.scope))

    routes = (Route("/{path:path}", look),)
    client = visit(MemoryStore(), routes=routes, settings=bare(["/admin"]))

    assert (await client.get("/admin/users")).text == "False"
    assert (await client.get("/users")).text == "True"


async def test_absent_and_used(visit: Callable[..., AsyncClient]) -> None:
    """With "absent", Starlette's own error says that there is no session."""
    client = visit(MemoryStore(), routes=(Route("/", try_session),), settings=bare(["/"]))

    with pytest.raises(AssertionError, match="SessionMiddleware must be installed"):
        await client.get("/")


async def test_absent_after_an_earlier_request(
    converse: Callable[..., Awaitable[list[Message]]],
) -> None:
    """With "absent", a scope that is used again loses the session of the request before."""
    seen: list[bool] = []

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        seen.append("session" in scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    site = SessionMiddleware(app, MemoryStore(), settings=bare(["/admin"]))

    async def serve_twice(given: Scope, receive: Receive, send: Send) -> None:
        await site(given, receive, send)
        given["path"] = "/admin"
        await site(given, receive, send)

    await converse(serve_twice, {})

    assert seen == [True, False]
