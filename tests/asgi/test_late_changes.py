"""Changes to the session after the response has started."""

import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from httpx import AsyncClient
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from pgsession import Changes, MemoryStore, Store
from pgsession.core.store import Written
from tests.pages import NAME, fill


async def stream(request: Request) -> Response:
    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        request.session["late"] = True
        yield b"last"

    return StreamingResponse(body())


async def work_later(request: Request) -> Response:
    def work() -> None:
        request.session["late"] = True

    return Response(background=BackgroundTask(work))


async def leave_late(request: Request) -> Response:
    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        request.session.clear()

    return StreamingResponse(body())


ROUTES = (
    Route("/stream", stream),
    Route("/work_later", work_later),
    Route("/leave_late", leave_late),
)


async def value_of(store: Store, client: AsyncClient) -> dict[str, Any] | None:
    entry = await store.get(client.cookies[NAME].partition(".")[0])
    return None if entry is None else entry.value


@pytest.mark.parametrize("path", ["/stream", "/work_later"])
async def test_existing(visit: Callable[..., AsyncClient], path: str) -> None:
    """Late changes to an existing session are merged when the application returns."""
    store = MemoryStore()
    client = visit(store, fill, routes=ROUTES)
    await client.get("/fill")

    response = await client.get(path)

    assert "set-cookie" not in response.headers
    assert await value_of(store, client) == {"user": "ann", "late": True}


async def test_changed_while_saved(visit: Callable[..., AsyncClient]) -> None:
    """What is changed while the late changes are saved is saved too."""
    session: Any = None

    class Store(MemoryStore):
        async def merge(self, *arguments: Any, **keywords: Any) -> Written:
            written = await super().merge(*arguments, **keywords)
            session.setdefault("later", True)
            return written

    async def change(request: Request) -> Response:
        nonlocal session
        session = request.session

        def work() -> None:
            session["late"] = True

        return Response(background=BackgroundTask(work))

    store = Store()
    client = visit(store, fill, routes=(Route("/change", change),))
    await client.get("/fill")

    await client.get("/change")

    assert await value_of(store, client) == {"user": "ann", "late": True, "later": True}


async def test_changed_again_and_again(
    visit: Callable[..., AsyncClient], caplog: pytest.LogCaptureFixture
) -> None:
    """If a task never stops to change the session, a warning says that the last change is lost."""
    session: Any = None

    class Store(MemoryStore):
        async def merge(self, *arguments: Any, **keywords: Any) -> Written:
            written = await super().merge(*arguments, **keywords)
            session["n"] += 1
            return written

    async def change(request: Request) -> Response:
        nonlocal session
        session = request.session

        def work() -> None:
            session["n"] = 1

        return Response(background=BackgroundTask(work))

    store = Store()
    client = visit(store, fill, routes=(Route("/change", change),))
    await client.get("/fill")

    await client.get("/change")

    assert await value_of(store, client) == {"user": "ann", "n": 3}
    (record,) = caplog.records
    assert "the last change is lost" in record.message


async def test_filled_while_cleared(
    visit: Callable[..., AsyncClient], caplog: pytest.LogCaptureFixture
) -> None:
    """What is stored while a late logout is saved is lost, with a warning."""
    session: Any = None

    class Store(MemoryStore):
        async def clear(self, *keys: str, only_if_empty: bool = False) -> bool:
            session["late"] = True
            return await super().clear(*keys, only_if_empty=only_if_empty)

    async def leave(request: Request) -> Response:
        nonlocal session
        session = request.session
        return Response(background=BackgroundTask(session.clear))

    store = Store()
    client = visit(store, fill, routes=(Route("/leave", leave),))
    await client.get("/fill")

    assert (await client.get("/leave")).status_code == 200

    assert await value_of(store, client) is None
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


@pytest.mark.parametrize(
    ("rule", "number"),
    [
        pytest.param({"cache-control": "public, max-age=60"}, 1, id="for everybody"),
        pytest.param({"cache-control": "public", "vary": "Accept, cookie"}, 0, id="with Vary"),
        pytest.param({"cache-control": "private"}, 0, id="private"),
    ],
)
async def test_first_read_in_the_body(
    *,
    visit: Callable[..., AsyncClient],
    caplog: pytest.LogCaptureFixture,
    rule: dict[str, str],
    number: int,
) -> None:
    """A body that a cache may keep, and that is the first to use the session, is a warning."""

    async def greet(request: Request) -> Response:
        async def body() -> AsyncIterator[str]:
            yield f"hello {request.session['user']}"

        return StreamingResponse(body(), headers=rule)

    client = visit(MemoryStore(), fill, routes=(Route("/greet", greet),))
    await client.get("/fill")

    for _ in range(2):
        assert (await client.get("/greet")).text == "hello ann"

    assert len(caplog.records) == number


@pytest.mark.parametrize("path", ["/stream", "/work_later"])
async def test_new(
    visit: Callable[..., AsyncClient], caplog: pytest.LogCaptureFixture, path: str
) -> None:
    """A session that is first filled after the response has started is lost, with a warning."""
    response = await visit(MemoryStore(), routes=ROUTES).get(path)

    assert "set-cookie" not in response.headers
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "before the response starts" in record.message


async def test_created_then_late(visit: Callable[..., AsyncClient]) -> None:
    """A session created with the same response can be changed late too."""
    store = MemoryStore()

    async def start(request: Request) -> Response:
        request.session["early"] = True
        return await work_later(request)

    client = visit(store, routes=(Route("/", start),))

    await client.get("/")

    assert await value_of(store, client) == {"early": True, "late": True}


async def test_merged(visit: Callable[..., AsyncClient]) -> None:
    """Late changes keep the changes that other requests have made meanwhile."""
    store = MemoryStore()
    key = ""

    async def stream_slowly(request: Request) -> Response:
        async def body() -> AsyncIterator[bytes]:
            yield b"first"
            await store.merge(key, Changes(set={"other": 1}, removed=["user"]))
            request.session["late"] = True

        return StreamingResponse(body())

    client = visit(store, fill, routes=(Route("/", stream_slowly),))
    await client.get("/fill")
    key = client.cookies[NAME].partition(".")[0]

    await client.get("/")

    assert await value_of(store, client) == {"other": 1, "late": True}


async def test_late_logout(visit: Callable[..., AsyncClient]) -> None:
    """A session that is cleared late is deleted, although its cookie stays."""
    store = MemoryStore()
    client = visit(store, fill, routes=ROUTES)
    await client.get("/fill")

    await client.get("/leave_late")

    assert await value_of(store, client) is None


async def test_ended_meanwhile(
    visit: Callable[..., AsyncClient], caplog: pytest.LogCaptureFixture
) -> None:
    """Late changes do not revive a session that has ended meanwhile, and cause no warning."""
    store = MemoryStore()
    key = ""

    async def stream_slowly(request: Request) -> Response:
        async def body() -> AsyncIterator[bytes]:
            yield b"first"
            await store.clear(key)
            request.session["late"] = True

        return StreamingResponse(body())

    client = visit(store, fill, routes=(Route("/", stream_slowly),))
    await client.get("/fill")
    key = client.cookies[NAME].partition(".")[0]

    await client.get("/")

    assert await store.get(key) is None
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


async def test_failing_late(visit: Callable[..., AsyncClient]) -> None:
    """If a handler raises after the response has started, its late changes are not saved."""
    store = MemoryStore()

    async def stream_and_fail(request: Request) -> Response:
        async def body() -> AsyncIterator[bytes]:
            yield b"first"
            request.session["late"] = True
            raise LookupError

        return StreamingResponse(body())

    client = visit(store, fill, routes=(Route("/", stream_and_fail),))
    await client.get("/fill")

    with pytest.raises(LookupError):
        await client.get("/")

    assert await value_of(store, client) == {"user": "ann"}
