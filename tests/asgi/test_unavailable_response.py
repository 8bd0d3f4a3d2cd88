"""`unavailable_response`: the application's own response instead of the 503."""

import gzip
import json
import logging
from asyncio import CancelledError, Event
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pgsession import (
    MemoryStore,
    PostgresStore,
    Session,
    SessionMiddleware,
    SessionSettings,
    SettingsError,
    StoreUnavailableError,
)
from pgsession.asgi.unavailable_response import OwnResponse
from pgsession.core.logs import INTERVAL
from tests.applications import SECRET
from tests.pages import fill, read

Visit = Callable[..., AsyncClient]
Hook = Callable[[HTTPConnection, StoreUnavailableError], ASGIApp | Awaitable[ASGIApp]]

KEY = "k" * 40
ORIGIN = {"origin": "https://app.example"}
CORS = Middleware(CORSMiddleware, allow_origins=["https://app.example"])
GZIP = Middleware(GZipMiddleware, minimum_size=10)


@pytest.fixture
async def gone(closed_port: int) -> AsyncIterator[PostgresStore]:
    """A store whose server does not run."""
    store = PostgresStore(host="127.0.0.1", port=closed_port)
    yield store
    await store.close()


def problem(connection: HTTPConnection, _error: StoreUnavailableError) -> Response:
    content = {"title": "Come back later", "path": connection.url.path}
    return JSONResponse(content, 503, media_type="application/problem+json")


async def page(_connection: HTTPConnection, error: StoreUnavailableError) -> Response:
    assert isinstance(error, StoreUnavailableError)
    return PlainTextResponse("a page")


def settings_of(make: Hook) -> SessionSettings:
    return SessionSettings(secret_key=SECRET, unavailable_response=make)


@pytest.fixture
def ask(
    visit: Visit, gone: PostgresStore, cookie_of: Callable[[str], str]
) -> Callable[..., Awaitable[Any]]:
    """Requests a page whose session cannot be loaded, with a hook and more middleware."""

    async def get(make: Hook, headers: dict[str, str] | None = None, **more: Any) -> Any:
        client = visit(gone, read, settings=settings_of(make), **more)
        return await client.get("/read", headers={"cookie": cookie_of(KEY), **(headers or {})})

    return get


async def test_plain_function(ask: Callable[..., Awaitable[Any]]) -> None:
    """A plain function makes the response; what forbids to keep it is added."""
    response = await ask(problem)

    assert (response.status_code, response.json()["path"]) == (503, "/read")
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["retry-after"] == "5"
    assert response.headers["cache-control"] == "no-store"
    assert "set-cookie" not in response.headers


async def test_async_function(ask: Callable[..., Awaitable[Any]]) -> None:
    """An async function makes the response, with the status that it says."""
    response = await ask(page)

    assert (response.status_code, response.text) == (200, "a page")


async def test_own_headers(ask: Callable[..., Awaitable[Any]]) -> None:
    """The response keeps its own headers, except a cookie of ours."""

    def with_headers(_connection: HTTPConnection, _error: StoreUnavailableError) -> Response:
        response = Response(headers={"Retry-After": "60", "Cache-Control": "max-age=1"})
        for name in ("__Host-session", "__Host-session-bound", "language"):
            response.set_cookie(name, "x")
        response.headers.append("set-cookie", " __Host-session=x")
        return response

    response = await ask(with_headers)

    assert response.headers["retry-after"] == "60"
    assert response.headers["cache-control"] == "max-age=1"
    [cookie] = response.headers.get_list("set-cookie")
    assert cookie.startswith("language=")


async def test_application(ask: Callable[..., Awaitable[Any]]) -> None:
    """Any ASGI application may answer, in parts and with a task behind the response."""
    done: list[str] = []

    async def parts() -> AsyncIterator[str]:
        yield "one, "
        yield "two"

    def stream(_connection: HTTPConnection, _error: StoreUnavailableError) -> Response:
        return StreamingResponse(parts(), 503, background=BackgroundTask(done.append, "told"))

    response = await ask(stream)

    assert (response.text, done) == ("one, two", ["told"])


async def test_no_session_in_scope(ask: Callable[..., Awaitable[Any]]) -> None:
    """The function finds no session, as in an application without one."""
    found: list[bool] = []

    def look(connection: HTTPConnection, _error: StoreUnavailableError) -> Response:
        found.append("session" in connection.scope)
        return Response()

    await ask(look)

    assert found == [False]


class FailingStore(MemoryStore):
    """A store whose database is lost before the first change."""

    async def generate(self, *_: Any, **__: Any) -> str:
        raise StoreUnavailableError


async def test_failed_commit(visit: Visit) -> None:
    """A response whose session could not be saved is replaced by the function's."""
    response = await visit(FailingStore(), fill, settings=settings_of(problem)).get("/fill")

    assert (response.status_code, response.json()["path"]) == (503, "/fill")
    assert "set-cookie" not in response.headers


async def test_failed_save(visit: Visit) -> None:
    """An error of `session.save()` that nobody handles becomes the function's response."""

    async def save(session: Session) -> None:
        session["user"] = "ann"
        await session.save()

    response = await visit(FailingStore(), save, settings=settings_of(problem)).get("/save")

    assert response.json()["title"] == "Come back later"


def raise_error(_connection: HTTPConnection, _error: StoreUnavailableError) -> Response:
    raise LookupError


async def wait(_connection: HTTPConnection, _error: StoreUnavailableError) -> Response:
    await Event().wait()
    raise NotImplementedError


async def answer_late(_connection: HTTPConnection, _error: StoreUnavailableError) -> Response:
    with suppress(CancelledError):  # as a function may do that has an answer in stock
        await Event().wait()
    return PlainTextResponse("late")


def make_nothing(_connection: HTTPConnection, _error: StoreUnavailableError) -> Any:
    return None


def use_session(connection: HTTPConnection, _error: StoreUnavailableError) -> Response:
    return PlainTextResponse(str(connection.session))


def answer_nothing(_connection: HTTPConnection, _error: StoreUnavailableError) -> ASGIApp:
    async def silent(_scope: Scope, _receive: Receive, _send: Send) -> None:
        pass

    return silent


@pytest.mark.parametrize(
    "make", [raise_error, wait, answer_late, make_nothing, use_session, answer_nothing]
)
async def test_failing_function(
    ask: Callable[..., Awaitable[Any]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    make: Hook,
) -> None:
    """A function that fails, or takes too long, gives the usual 503 and a line in the log."""
    monkeypatch.setattr("pgsession.asgi.unavailable_response.LONGEST", 0.02)

    response = await ask(make)

    assert (response.status_code, response.text) == (503, "Service Unavailable")
    assert response.headers["retry-after"] == "5"
    assert "unavailable_response has failed" in caplog.records[-1].message
    assert caplog.records[-1].exc_info is not None


async def test_failing_after_start(ask: Callable[..., Awaitable[Any]]) -> None:
    """An error in the middle of the response is raised: the server must cut it off."""

    async def parts() -> AsyncIterator[str]:
        yield "one"
        raise LookupError

    def stream(_connection: HTTPConnection, _error: StoreUnavailableError) -> Response:
        return StreamingResponse(parts(), 503)

    with pytest.raises(LookupError):
        await ask(stream)


async def test_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """In an outage, a function that always fails is logged once in ten seconds."""
    times = iter((0.0, 0.0, INTERVAL - 1, INTERVAL, INTERVAL))
    own = OwnResponse(raise_error, clock=partial(next, times))
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    for _ in range(3):
        await own.send({"type": "http"}, send, StoreUnavailableError(), cookies=())

    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    assert [each["status"] for each in sent[::2]] == [503] * 3


CONNECT = {"type": "websocket.connect"}


@pytest.mark.parametrize(
    ("extensions", "expected"),
    [
        pytest.param(None, [("websocket.close", 1013)], id="close"),
        pytest.param(
            {"websocket.http.response": {}},
            [("websocket.http.response.start", 503), ("websocket.http.response.body", None)],
            id="response",
        ),
    ],
)
async def test_websocket(
    converse: Callable[..., Awaitable[list[Message]]],
    gone: PostgresStore,
    cookie_of: Callable[[str], str],
    extensions: dict[str, Any] | None,
    expected: list[tuple[str, int | None]],
) -> None:
    """A WebSocket gets the function's response if the server can send one, else a close."""

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise NotImplementedError

    middleware = SessionMiddleware(app, gone, settings=settings_of(problem))
    scope = {
        "type": "websocket",
        "headers": [(b"cookie", cookie_of(KEY).encode())],
        "extensions": extensions,
    }

    sent = await converse(middleware, scope, CONNECT)

    assert [(each["type"], each.get("status", each.get("code"))) for each in sent] == expected
    if extensions:
        assert b"Come back later" in sent[1]["body"]
        assert (b"retry-after", b"5") in sent[0]["headers"]


async def test_cors_outside(ask: Callable[..., Awaitable[Any]]) -> None:
    """With CORSMiddleware outside, a page of another origin may read the response."""
    for make in (problem, raise_error):
        response = await ask(make, ORIGIN, outside=(CORS,))
        assert response.status_code == 503
        assert response.headers["access-control-allow-origin"] == "https://app.example"


async def test_cors_inside(ask: Callable[..., Awaitable[Any]]) -> None:
    """With CORSMiddleware inside, the response does not pass it, so no other origin may read it."""
    for make in (problem, raise_error):
        response = await ask(make, ORIGIN, inside=(CORS,))
        assert response.status_code == 503
        assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize("place", ["outside", "inside"])
async def test_gzip(visit: Visit, place: str) -> None:
    """GZipMiddleware on either side leaves a whole response, also in place of another."""
    client = visit(FailingStore(), fill, settings=settings_of(problem), **{place: (GZIP,)})
    async with client.stream("GET", "/fill", headers={"accept-encoding": "gzip"}) as response:
        body = b"".join([part async for part in response.aiter_raw()])

    is_compressed = response.headers.get("content-encoding") == "gzip"
    assert is_compressed == (place == "outside")
    assert int(response.headers["content-length"]) == len(body)
    assert json.loads(gzip.decompress(body) if is_compressed else body)["path"] == "/fill"


async def test_exception_handler(gone: PostgresStore, cookie_of: Callable[[str], str]) -> None:
    """An exception handler sees what a handler raises; a failed load never reaches it."""
    app = FastAPI()
    seen: list[str] = []

    @app.exception_handler(StoreUnavailableError)
    async def answer(request: Request, _error: StoreUnavailableError) -> Response:
        seen.append(request.url.path)
        return JSONResponse({"by": "the exception handler"}, 503)

    @app.get("/save")
    async def save(request: Request) -> None:
        assert isinstance(request.session, Session)
        request.session["user"] = "ann"
        await request.session.save()

    @app.get("/fill")
    async def fill_it(request: Request) -> None:
        request.session["user"] = "ann"

    app.add_middleware(SessionMiddleware, store=gone, settings=settings_of(problem))
    client = AsyncClient(transport=ASGITransport(app), base_url="https://testserver")

    by = [
        (await client.get(path, headers=headers)).json()
        for path, headers in (("/save", {}), ("/fill", {}), ("/save", {"cookie": cookie_of(KEY)}))
    ]

    assert [each.get("by") for each in by] == ["the exception handler", None, None]
    assert seen == ["/save"]


async def test_anonymous(
    visit: Visit, gone: PostgresStore, cookie_of: Callable[[str], str]
) -> None:
    """With "anonymous" the function answers only for a request that changes its session."""
    settings = SessionSettings(
        secret_key=SECRET, unavailable_response=problem, on_unavailable="anonymous"
    )
    client = visit(gone, read, fill, settings=settings)

    statuses = [
        (await client.get(path, headers={"cookie": cookie_of(KEY)})).json()
        for path in ("/read", "/fill")
    ]

    assert statuses == [{}, {"title": "Come back later", "path": "/fill"}]


def test_no_function() -> None:
    """Anything but a function is rejected by the settings."""
    with pytest.raises(SettingsError, match=r"^unavailable_response must be a function"):
        SessionSettings(secret_key=SECRET, unavailable_response=503)  # type: ignore[arg-type]
