"""Middleware that stands outside of ours and uses the session: one line says the order."""

import logging
from collections.abc import Awaitable, Callable
from functools import wraps
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware as StarletteSessionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.testclient import TestClient
from starlette.types import Scope

from pgsession import MemoryStore, SessionMiddleware
from pgsession.asgi.order import order_hint
from tests.applications import SECRET

OURS = Middleware(SessionMiddleware, store=MemoryStore(), secret_key=SECRET)


async def before(request: Request, call_next: RequestResponseEndpoint) -> Response:
    request.state.user = request.session.get("user")
    return await call_next(request)


async def after(request: Request, call_next: RequestResponseEndpoint) -> Response:
    response = await call_next(request)
    request.session["seen"] = True
    return response


async def within(request: Request, call_next: RequestResponseEndpoint) -> Response:
    def user() -> object:
        return request.session.get("user")

    return await call_next(request) if user() else Response()


async def looping(req: Request, call_next: RequestResponseEndpoint) -> Response:
    for name, member in (("a", 1), ("b", 2)):
        req.session[name] = member
    return await call_next(req)


@wraps(before)
async def wrapping(*given: Any) -> Response:
    return await before(*given)


class Users(BaseHTTPMiddleware):
    """Reads the session in the method that a subclass defines."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await before(request, call_next) if request.session else Response()


async def database(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Another session: that of a database."""
    request.state.session = SimpleNamespace()
    assert request.state.session is not None
    return await call_next(request)


async def guarded(request: Request, call_next: RequestResponseEndpoint) -> Response:
    if "session" in request.scope:
        request.state.user = request.session.get("user")
    return await call_next(request)


async def plain(_request: Request, _call_next: RequestResponseEndpoint) -> Response:
    return Response()


async def too_few(*_given: object) -> Response:
    raise NotImplementedError


class Callee:
    """An object that is called as a dispatch function."""

    async def __call__(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        raise NotImplementedError


class Bare(BaseHTTPMiddleware):
    """Without a method of its own."""


def listed(dispatch: Any) -> Middleware:
    return Middleware(BaseHTTPMiddleware, dispatch=dispatch)


def start(*middleware: Middleware) -> None:
    """Run the lifespan of an application twice, with this middleware, outermost first."""
    app = Starlette(middleware=middleware)
    for _ in range(2):
        with TestClient(app):
            pass


@pytest.mark.parametrize(
    ("outside", "level"),
    [
        pytest.param(listed(before), logging.ERROR, id="before"),
        pytest.param(listed(looping), logging.ERROR, id="in a loop"),
        pytest.param(listed(wrapping), logging.ERROR, id="wrapped"),
        pytest.param(Middleware(BaseHTTPMiddleware, before), logging.ERROR, id="positional"),
        pytest.param(Middleware(Users), logging.ERROR, id="method"),
        pytest.param(listed(after), logging.WARNING, id="after"),
        pytest.param(listed(within), logging.WARNING, id="in a function of its own"),
    ],
)
def test_outside(caplog: pytest.LogCaptureFixture, outside: Middleware, level: int) -> None:
    """A function outside that uses `request.session` is one line in the log at the start.

    It is a warning if the session is used only after `call_next`, where it can be read.
    """
    start(Middleware(GZipMiddleware), outside, OURS)

    (record,) = [each for each in caplog.records if each.name == "pgsession"]
    assert record.levelno == level
    assert "stands outside of SessionMiddleware" in record.message
    assert "Add SessionMiddleware after it" in record.message


@pytest.mark.parametrize(
    "middleware",
    [
        pytest.param((OURS, listed(before)), id="inside"),
        *(
            pytest.param((listed(each), OURS), id=each.__name__)
            for each in (database, guarded, plain, too_few)
        ),
        pytest.param((listed(Callee()), OURS), id="an object"),
        pytest.param((Middleware(Bare), OURS), id="no method"),
        pytest.param((listed(before),), id="without ours"),
        pytest.param(
            (
                Middleware(StarletteSessionMiddleware, secret_key=SECRET),
                listed(before),
                OURS,
            ),
            id="another session outside",
        ),
    ],
)
def test_no_error(caplog: pytest.LogCaptureFixture, middleware: tuple[Middleware, ...]) -> None:
    """Nothing is logged of code that has a session, asks for it first, or uses another one."""
    start(*middleware)

    assert [each for each in caplog.records if each.name == "pgsession"] == []


def test_fastapi(caplog: pytest.LogCaptureFixture) -> None:
    """`@app.middleware("http")` after `add_middleware` is named, without a lifespan too."""
    app = FastAPI()
    app.add_middleware(SessionMiddleware, store=MemoryStore(), secret_key=SECRET)

    @app.middleware("http")
    async def remember(request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        request.session.get("user")
        return response

    client = TestClient(app, base_url="https://testserver")
    for _ in range(2):
        client.get("/")

    (record,) = caplog.records
    assert record.message.startswith("test_fastapi.<locals>.remember uses request.session")


async def test_outer_session(
    caplog: pytest.LogCaptureFixture, converse: Callable[..., Awaitable[list[Any]]]
) -> None:
    """Nothing is logged if the request came with the session of a middleware further outside."""
    app = Starlette(middleware=[listed(before), OURS])

    await converse(app, {"session": {}})

    assert caplog.records == []


@pytest.mark.parametrize(
    ("scope", "has_hint"),
    [
        pytest.param({"app": Starlette(middleware=[OURS])}, True, id="outside of ours"),
        pytest.param({"app": Starlette(middleware=[OURS]), "session": {}}, False, id="inside"),
        pytest.param({"app": Starlette()}, False, id="without ours"),
        pytest.param({"app": SimpleNamespace(user_middleware=None)}, False, id="another app"),
        pytest.param({}, False, id="no app"),
    ],
)
def test_hint(scope: Scope, *, has_hint: bool) -> None:
    """A scope without a session has a hint if its application has our middleware."""
    hint = order_hint(scope)

    assert (hint is not None) == has_hint
    assert hint is None or "runs outside of it" in hint
