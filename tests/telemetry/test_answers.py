"""Requests that do not get their session are counted by what they really get."""

import asyncio
from typing import Any, Literal

import pytest
from httpx import ASGITransport, AsyncClient
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from pgsession import (
    Entry,
    MemoryStore,
    SessionMiddleware,
    SessionSettings,
    StoreUnavailableError,
)
from tests.applications import SECRET
from tests.telemetry.reported import Reported

ANSWER = "pgsession.requests.unavailable"


class Away(MemoryStore):
    """A store that is away."""

    async def get(self, key: str) -> Entry | None:
        raise StoreUnavailableError(key[:0] + "away")


async def look(request: Request) -> Response:
    request.session.get("a")
    return PlainTextResponse("anonymous")


async def change(request: Request) -> Response:
    request.session["a"] = 1
    return PlainTextResponse("never sent")


async def crash(request: Request) -> Response:
    raise LookupError(request.url.path)


def browser(reported: Reported, mode: Literal["refuse", "anonymous"], *more: Route) -> AsyncClient:
    """Return a browser whose session cannot be loaded."""
    settings = SessionSettings(secret_key=SECRET, on_unavailable=mode, telemetry=reported.telemetry)
    routes = [Route(f"/{page.__name__}", page) for page in (look, change, crash)]
    middleware = [Middleware(SessionMiddleware, Away(), settings=settings)]
    app = Starlette(routes=[*routes, *more], middleware=middleware)
    cookie = settings.make_cookie().write("k" * 40, None).decode().partition(";")[0]
    transport = ASGITransport(app, raise_app_exceptions=False)
    headers = {"cookie": cookie}
    return AsyncClient(transport=transport, base_url="https://testserver", headers=headers)


@pytest.mark.parametrize(
    ("mode", "page", "status", "answer"),
    [
        ("refuse", "look", 503, "503"),
        ("anonymous", "look", 200, "anonymous"),
        ("anonymous", "change", 503, "503"),
        ("anonymous", "crash", 500, "anonymous"),
    ],
)
async def test_answer(reported: Reported, mode: Any, page: str, status: int, answer: str) -> None:
    """A request is counted once, as what it got: an anonymous page or a 503."""
    async with browser(reported, mode) as client:
        response = await client.get(f"/{page}")

    assert response.status_code == status
    counts = reported.counts(ANSWER, "pgsession.answer")
    assert {each: count for each, count in counts.items() if count} == {answer: 1}


async def test_stream(reported: Reported) -> None:
    """A stream is counted when it starts, not when it ends."""
    counted: list[dict[str, float]] = []

    async def stream(request: Request) -> Response:
        async def body() -> Any:
            request.session.get("a")
            await asyncio.sleep(0)
            counted.append(reported.counts(ANSWER, "pgsession.answer"))
            yield b"over"

        return StreamingResponse(body())

    async with browser(reported, "anonymous", Route("/stream", stream)) as client:
        assert (await client.get("/stream")).text == "over"

    assert [each["anonymous"] for each in counted] == [1]
