"""The causes of lost changes, of sessions that are empty in one place, and of errors."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from threading import Event, Thread
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware as StarletteSessionMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from pgsession import (
    MemoryStore,
    PostgresStore,
    RequestEndedError,
    ResponseStartedError,
    Session,
    SessionExcludedError,
    SessionMissingError,
    SessionSettings,
    StoreClosedError,
    UnsupportedTypeError,
    ValueTooLargeError,
    get_session,
)
from pgsession import errors as all_errors
from pgsession.asgi.csrf import _POLICY_VIOLATION
from pgsession.asgi.sockets import PROOF_ENDED, SESSION_ENDED
from pgsession.asgi.unavailable import _TRY_AGAIN_LATER
from tests.applications import SECRET
from tests.guides.troubled import PAGE, browser, count, is_quoted, page, read, site, visits

Log = pytest.LogCaptureFixture


def said(caplog: Log, event: str) -> None:
    """Check that a line of this name was logged, and that the page quotes it."""
    lines = [it for it in caplog.records if getattr(it, "pgsession_event", "") == event]
    assert lines
    assert all(is_quoted(it.getMessage()) for it in lines)


async def fill_late(request: Request) -> Response:
    def work() -> None:
        request.session["late"] = True

    return PlainTextResponse(background=BackgroundTask(work))


def test_filled_late(caplog: Log) -> None:
    """A background task changes a session that exists, and cannot begin one."""
    client = browser(site(Route("/late", fill_late)))

    assert visits(client, "/late", "/read") == ["", "{}"]
    said(caplog, "content_lost")
    assert visits(client, "/", "/late", "/read") == ["1", "", "{'visits': 1, 'late': True}"]


async def assign(request: Request) -> Response:
    request.scope["session"] = {"visits": 7}
    return PlainTextResponse()


def replace(session: Session) -> None:
    session.clear()
    session.update(visits=7)


def test_assigned(caplog: Log) -> None:
    """What is assigned to the scope is not saved, and the log says so; `update` is."""
    client = browser(site(Route("/assign", assign), page("/replace", replace)))

    assert visits(client, "/", "/assign", "/") == ["1", "", "2"]
    said(caplog, "session_replaced")
    assert visits(client, "/replace", "/") == ["None", "8"]


def test_nested() -> None:
    """A change inside of a list is saved."""
    add = page("/add", lambda session: session.setdefault("cart", []).append(1))

    assert visits(browser(site(add)), "/add", "/add", "/read")[-1] == "{'cart': [1, 1]}"


kept: list[Session] = []


def test_after_request() -> None:
    """A change after the end of the request is an error."""
    client = browser(site(page("/keep", kept.append)))
    client.get("/keep")

    with pytest.raises(RequestEndedError):
        kept.pop()["visits"] = 1


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (datetime(2026, 1, 1, tzinfo=UTC), UnsupportedTypeError),
        ("x" * 1_000_001, ValueTooLargeError),
    ],
    ids=["type", "size"],
)
def test_values(value: object, error: type[Exception]) -> None:
    """A value that cannot be stored is an error that saves nothing."""
    store = page("/store", lambda session: session.update(visits=7, at=value))
    client = browser(site(store), raises=False)

    assert visits(client, "/") == ["1"]
    assert client.get("/store").status_code == 500
    assert visits(client, "/") == ["2"]
    with pytest.raises(error):
        browser(site(store)).get("/store")


async def talk(websocket: WebSocket) -> None:
    await websocket.accept()
    session = get_session(websocket)
    while await websocket.receive_text() == "reload":
        await session.reload()
        await websocket.send_json(session["visits"])
    await websocket.close()


def test_websocket() -> None:
    """A WebSocket sees what others have stored since it was opened once it reloads."""
    client = browser(site(WebSocketRoute("/talk", talk)))
    with client:
        client.get("/")
        with client.websocket_connect("wss://testserver/talk") as socket:
            client.get("/")
            socket.send_text("reload")
            assert socket.receive_json() == 2
            socket.send_text("close")


def test_mounted() -> None:
    """A mounted application shares the session, unless it has a middleware of its own."""
    inner = Starlette(routes=[Route("/", count)])
    own = site(session_cookie="__Host-inner")
    client = browser(site(Mount("/shared", inner), Mount("/own", own)))

    assert visits(client, "/", "/shared/", "/own/") == ["1", "2", "1"]


def test_mounted_alone() -> None:
    """An application has no session if only one that is mounted in it has the middleware."""
    app = Starlette(routes=[Route("/read", read), Mount("/inner", site())])
    client = browser(app)

    assert visits(client, "/inner/") == ["1"]
    with pytest.raises(AssertionError, match="SessionMiddleware must be installed"):
        client.get("/read")


async def fail(_request: Request) -> Response:
    raise LookupError


async def note(request: Request, _error: Exception) -> Response:
    try:
        request.session["failed"] = request.session["visits"]
    except RequestEndedError:
        return PlainTextResponse("too late", 500)
    return PlainTextResponse("noted", 400)


@pytest.mark.parametrize(
    ("handled", "answer", "content"),
    [
        (LookupError, "noted", "{'visits': 1, 'failed': 1}"),
        (Exception, "too late", "{'visits': 1}"),
        (500, "too late", "{'visits': 1}"),
    ],
    ids=["class", "any", "status"],
)
def test_exception_handler(handled: Any, answer: str, content: str) -> None:
    """The handler of a class of exceptions can store; that of all others can only read."""
    client = browser(site(Route("/fail", fail), handlers={handled: note}), raises=False)

    assert visits(client, "/", "/fail", "/read") == ["1", answer, content]


def test_excluded() -> None:
    """The session of an excluded path is an error that names the setting."""
    with pytest.raises(SessionExcludedError, match="exclude"):
        browser(site(exclude=["/read"])).get("/read")


def sign_in(session: Session) -> None:
    session.login("ann")


async def sign_in_plainly(request: Request) -> Response:
    request.session.login("ann")  # type: ignore[attr-defined]  # the mistake
    return Response()


async def ask(request: Request) -> Response:
    get_session(request)
    return Response()


def test_starlettes_own() -> None:
    """Starlette's own session has no login, and `get_session` says whose it is."""
    theirs = Middleware(StarletteSessionMiddleware, secret_key=SECRET)
    routes = [Route("/", sign_in_plainly), Route("/ask", ask)]
    client = browser(Starlette(routes=routes, middleware=[theirs]))

    with pytest.raises(AttributeError) as caught:
        client.get("/")
    assert is_quoted(str(caught.value))
    with pytest.raises(SessionMissingError, match="Starlette's own"):
        client.get("/ask")


async def sign_in_late(request: Request) -> Response:
    async def stream() -> AsyncIterator[str]:
        yield "begun"
        get_session(request).login("ann")

    return StreamingResponse(stream())


def test_sign_in_errors() -> None:
    """A login with a number, and one after the response has started, are errors."""
    number: Any = 7
    client = browser(
        site(page("/number", lambda it: it.login(number)), Route("/late", sign_in_late))
    )

    with pytest.raises(TypeError) as caught:
        client.get("/number")
    assert is_quoted(str(caught.value))
    with pytest.raises(ResponseStartedError):
        client.get("/late")


def test_forbidden(caplog: Log) -> None:
    """A rejected form gets a 403 that says why, and a line in the log; a trusted one passes."""
    caplog.set_level(logging.INFO, "pgsession")
    origin = "https://app.example"
    guarded = SessionSettings(secret_key=SECRET, csrf_protection=True)
    trusting = SessionSettings(secret_key=SECRET, csrf_protection=True, trusted_origins=[origin])

    response = browser(site(settings=guarded)).post("/", headers={"origin": origin})
    assert response.status_code == 403
    assert is_quoted(response.text.splitlines()[2])
    assert [it.levelname for it in caplog.records] == ["INFO"]
    assert origin in caplog.text
    response = browser(site(settings=trusting)).post("/", headers={"origin": origin})
    assert response.status_code == 200


@pytest.fixture
def other_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs in another thread."""
    loop, running = asyncio.new_event_loop(), Event()
    loop.call_soon(running.set)
    thread = Thread(target=loop.run_forever)
    thread.start()
    running.wait()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


async def test_other_loop(
    database_url: str, migrated_schema: str, other_loop: asyncio.AbstractEventLoop
) -> None:
    """A store that is open in one loop is an error in another; one for each loop is none."""
    async with PostgresStore(database_url, schema=migrated_schema) as store:
        elsewhere = asyncio.run_coroutine_threadsafe(store.get("key"), other_loop)
        with pytest.raises(StoreClosedError) as caught:
            await asyncio.wrap_future(elsewhere)
        assert is_quoted(str(caught.value))

    other = PostgresStore(database_url, schema=migrated_schema)
    for call in (other.get("key"), other.close()):
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call, other_loop))


def test_loops_in_turn(database_url: str, migrated_schema: str) -> None:
    """A store with a pool of its own opens anew in the next loop."""
    store = PostgresStore(database_url, schema=migrated_schema)

    for _ in range(2):
        assert asyncio.run(store.get("key")) is None
    asyncio.run(store.close())


async def test_closed(database_url: str, migrated_schema: str) -> None:
    """A store that was closed says so."""
    async with PostgresStore(database_url, schema=migrated_schema) as store:
        pass
    with pytest.raises(StoreClosedError) as caught:
        await store.get("key")
    assert is_quoted(str(caught.value))


def test_close_codes() -> None:
    """The table of close codes has those of the code, and the one of uvicorn's shutdown."""
    table = PAGE.text.partition("## A WebSocket is closed\n")[2].partition("\n## ")[0]
    codes = {
        int(line.split("|")[1]) for line in table.splitlines() if line[:3].strip("| ").isdigit()
    }

    ours = {SESSION_ENDED.code, PROOF_ENDED.code, _POLICY_VIOLATION, _TRY_AGAIN_LATER}
    assert codes == ours | {1012}


def test_all_errors() -> None:
    """The table at the end has each error of pgsession, and no other."""
    table = PAGE.text.partition("## All errors")[2]
    named = {word for word in table.split("`") if word.endswith("Error") and word.isidentifier()}

    assert named == {name for name, it in vars(all_errors).items() if isinstance(it, type)}


def test_memory_of_a_process() -> None:
    """After a restart a `MemoryStore` is empty."""
    client = browser(site(store=MemoryStore()))
    again = browser(site(store=MemoryStore()))
    client.get("/")
    again.cookies = client.cookies

    assert visits(again, "/read") == ["{}"]
