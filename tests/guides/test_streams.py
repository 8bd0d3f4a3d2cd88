"""The pages about streams: each ends when its user signs out."""

import asyncio
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from httpx2 import Response
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from pgsession import ResponseStartedError, SessionEndedError
from pgsession.testing import session_of, signed_in, websocket_connect
from tests.guides.conftest import Browse, RunTests
from tests.programs import eventually
from tests.project.conftest import Names
from tests.project.documents import Document

(STREAMS,) = Document("docs/how-to/streams.md").programs
SOCKETS, CLOCK, SOCKET_TESTS = Document("docs/how-to/websockets.md").programs
EVENTS, EVENT_TESTS = Document("docs/how-to/server-sent-events.md").programs

LOGIN_LATE: Final = """
@app.websocket("/late")
async def late(websocket: WebSocket, session: SessionDep) -> None:
    await websocket.accept()
    session.login("ann")
"""


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks for sessions that have ended more often than by default."""
    monkeypatch.setenv("SESSION_WATCH_EVERY", "0.05")


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as it:
        yield it


def polling(
    thread: ThreadPoolExecutor, visitor: TestClient, program: dict[str, Any]
) -> Future[Response]:
    """Open a poll, and return once it waits."""
    future = thread.submit(visitor.get, "/poll")
    assert eventually(lambda: len(program["waiting"]) == 1)
    return future


def test_poll(names: Names, browse: Browse, thread: ThreadPoolExecutor) -> None:
    """A poll answers with a message, and with 401 once the user has signed out."""
    program = names(STREAMS)
    visitor = browse(program)
    assert visitor.get("/poll").status_code == 401
    assert visitor.post("/say/hello").status_code == 401
    visitor.post("/sign-in/ann")

    poll = polling(thread, visitor, program)
    visitor.post("/say/hello")
    assert poll.result().text == "hello"
    poll = polling(thread, visitor, program)
    visitor.post("/sign-out")
    assert poll.result().status_code == 401


def test_poll_in_time(names: Names, browse: Browse) -> None:
    """A poll without a message answers with 204."""
    visitor = browse(names(STREAMS.replace("timeout(25)", "timeout(0.05)")))
    visitor.post("/sign-in/ann")

    assert visitor.get("/poll").status_code == 204


def test_report(names: Names, browse: Browse, capsys: pytest.CaptureFixture[str]) -> None:
    """A task that outlives its request ends when the user signs out."""
    program = names(STREAMS)
    visitor = browse(program)
    visitor.post("/sign-in/ann")
    assert visitor.post("/report").status_code == 202
    assert len(program["reports"]) == 1
    visitor.post("/sign-out")

    assert eventually(lambda: not program["reports"])
    assert capsys.readouterr().out == "The user has signed out: the report is not made.\n"


@pytest.mark.parametrize(
    ("whole", "tests", "expected"),
    [
        pytest.param(SOCKETS, SOCKET_TESTS, ["test_chat"], id="websockets"),
        pytest.param(EVENTS, EVENT_TESTS, ["test_events"], id="events"),
    ],
)
def test_page(run_tests: RunTests, whole: str, tests: str, expected: list[str]) -> None:
    """The test of the page passes: the stream ends with the session."""
    assert run_tests(whole, tests) == expected


def test_visitor(names: Names, browse: Browse) -> None:
    """A visitor gets no socket and no events."""
    with pytest.raises(WebSocketDisconnect), websocket_connect(browse(names(SOCKETS)), "/chat"):
        pass
    assert browse(names(EVENTS)).get("/events").status_code == 204


def test_lines(names: Names, browse: Browse, thread: ThreadPoolExecutor) -> None:
    """A text of several lines is one event, whatever they say, and only users send one."""
    program = names(EVENTS)
    visitor = browse(program)
    assert visitor.post("/say/hello").status_code == 401
    visitor.post("/sign-in/ann")
    events = thread.submit(visitor.get, "/events")
    assert eventually(lambda: len(program["streams"]) == 1)

    visitor.post("/say/x%0A%0Aevent:%20signed-out%0D%0Adata:%20")
    visitor.post("/sign-out")

    text = "data: x\ndata: \ndata: event: signed-out\ndata: data: \n\n"
    assert events.result().text == text + "event: signed-out\ndata:\n\n"


def test_saved(names: Names, browse: Browse) -> None:
    """What a socket has saved, a request sees while the socket is open."""
    visitor = signed_in(browse(names(SOCKETS)), "ann")
    with websocket_connect(visitor, "/chat") as socket:
        socket.send_text("Hello")
        socket.receive_text()
        with session_of(visitor) as session:
            assert session["said"] == 1


def test_plain(names: Names, browse: Browse) -> None:
    """Starlette's client opens ws://, where the Secure cookie does not come; wss:// brings it."""
    visitor = signed_in(browse(names(SOCKETS)), "ann")
    with pytest.raises(WebSocketDisconnect), visitor.websocket_connect("/chat"):
        pass
    with visitor.websocket_connect("wss://testserver/chat") as socket:
        socket.send_text("Hello")
        assert socket.receive_text() == "ann, 1: Hello"


def test_login_after_accept(names: Names, browse: Browse) -> None:
    """After the accept no cookie can be set, so a login raises."""
    visitor = browse(names(SOCKETS + LOGIN_LATE))
    with pytest.raises(ResponseStartedError), websocket_connect(visitor, "/late") as socket:
        socket.receive_text()


def test_clock(names: Names, browse: Browse) -> None:
    """Without the setting, a function closes its socket itself."""
    imports = {"asyncio": asyncio, "datetime": datetime, "UTC": UTC}
    program = names(SOCKETS.replace("close_websockets=True", "close_websockets=False"))
    program |= {**imports, "SessionEndedError": SessionEndedError}
    exec(CLOCK.replace("sleep(1)", "sleep(0.01)"), program)  # noqa: S102 - the project's own page
    visitor = signed_in(browse(program), "ann")
    with websocket_connect(visitor, "/clock") as socket:
        socket.receive_text()
        visitor.post("/sign-out")
        ticks = iter(socket.receive_text, "")
        with pytest.raises(WebSocketDisconnect) as caught:
            deque(ticks, maxlen=0)
        assert caught.value.code == 4401
