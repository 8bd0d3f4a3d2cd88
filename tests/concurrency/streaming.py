"""A site with streams, served by uvicorn in several processes, and a client of its streams."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import httpx
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from pgsession import Session, SessionEndedError, SessionMiddleware, SessionSettings


def session_of(request: Request | WebSocket) -> Session:
    assert isinstance(request.session, Session)
    return request.session


async def login(request: Request) -> Response:
    session_of(request).login(request.query_params["user"])
    return Response()


async def logout(request: Request) -> Response:
    session_of(request).logout()
    return Response()


async def renew(request: Request) -> Response:
    session_of(request).renew()
    return Response()


async def confirm(request: Request) -> Response:
    session_of(request).confirm()
    return Response()


async def handle(request: Request) -> Response:
    return PlainTextResponse(session_of(request).handle or "")


#: The long polls that have begun.
polls: list[Session] = []


async def begun(_request: Request) -> Response:
    """Answer how many long polls have begun."""
    return PlainTextResponse(str(len(polls)))


async def poll(request: Request) -> Response:
    """Answer when the session has ended."""
    polls.append(session_of(request))
    await session_of(request).ended()
    return PlainTextResponse("ended")


async def events(request: Request) -> Response:
    """Send a line now, and one when the session has ended."""
    session = session_of(request)

    async def lines() -> AsyncIterator[str]:
        yield "begun\n"
        try:
            async with session.lasting():
                await asyncio.Event().wait()
        except SessionEndedError:
            yield "ended\n"

    return StreamingResponse(lines())


#: The codes with which WebSockets have told the application that they are closed.
codes: list[int] = []


async def socket(websocket: WebSocket) -> None:
    """Send back each text that comes."""
    await websocket.accept()
    await websocket.send_text("begun")
    try:
        while True:
            await websocket.send_text(await websocket.receive_text())
    except WebSocketDisconnect as error:
        codes.append(error.code)


async def closed(_request: Request) -> Response:
    return PlainTextResponse(" ".join(map(str, codes)))


def make_app(settings: SessionSettings) -> Starlette:
    """Return the site."""
    pages = (login, logout, renew, confirm, handle, poll, begun, events, closed)
    return Starlette(
        routes=[
            *(Route(f"/{page.__name__}", page) for page in pages),
            WebSocketRoute("/socket", socket),
        ],
        middleware=[Middleware(SessionMiddleware, settings=settings)],
    )


@dataclass(frozen=True)
class Streams:
    """A WebSocket, a stream of events and a long poll of one session, all open."""

    _ends: tuple[asyncio.Task[float], ...]

    async def ends(self) -> list[float]:
        """Return when each of them ended, by the monotonic clock."""
        return await asyncio.gather(*self._ends)

    def are_open(self) -> bool:
        return not any(end.done() for end in self._ends)


@asynccontextmanager
async def streams(address: str, cookie: str) -> AsyncIterator[Streams]:
    """Open the streams of a session at a process of the site."""
    headers = {"Cookie": cookie}
    ws = address.replace("http:", "ws:") + "/socket"
    async with (
        httpx.AsyncClient(base_url=address, headers=headers, timeout=30) as client,
        connect(ws, additional_headers=headers) as websocket,
        client.stream("GET", "/events") as response,
    ):
        lines = response.aiter_lines()
        assert await anext(lines) == "begun"
        assert await websocket.recv() == "begun"

        async def socket_end() -> float:
            with suppress(ConnectionClosed):
                await websocket.recv()
            assert websocket.close_code == 4401
            return time.monotonic()

        async def events_end() -> float:
            assert await anext(lines) == "ended"
            return time.monotonic()

        async def poll_end() -> float:
            answer = await client.get("/poll")
            assert answer.text == "ended"
            return time.monotonic()

        async with asyncio.TaskGroup() as group:
            polls_before = (await client.get("/begun")).text
            ends = [group.create_task(end()) for end in (socket_end, events_end, poll_end)]
            try:
                while (await client.get("/begun")).text == polls_before:  # noqa: ASYNC110 - elsewhere
                    await asyncio.sleep(0.01)
                yield Streams(tuple(ends))
            finally:
                for end in ends:
                    end.cancel()
