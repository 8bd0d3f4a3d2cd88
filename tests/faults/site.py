"""A site with continuous requests, which records their statuses and latencies."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Self

import httpx
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from pgsession import PostgresStore, SessionMiddleware
from pgsession.core.cookie import Cookie

SECRET = "a secret of the tests that is long enough for HMAC"

#: Every response must arrive within the store's timeout plus these seconds.
SLACK = 1.0

#: A site must serve again this many seconds after its database does.
HEALING = 5.0


@dataclass(slots=True)
class Observations:
    """The responses that visitors got."""

    #: The latency of the slowest response, in seconds.
    longest: float = 0.0
    statuses: list[int] = field(default_factory=list)

    @property
    def refused(self) -> int:
        """The number of 503 responses."""
        return self.statuses.count(503)


async def read(request: Request) -> JSONResponse:
    return JSONResponse(dict(request.session))


async def write(request: Request) -> JSONResponse:
    """Store the query's parameters in the session."""
    request.session.update(request.query_params)
    return JSONResponse(dict(request.session))


async def public(_request: Request) -> JSONResponse:
    return JSONResponse({})


class Site:
    """An application with a store, and a new browser for each request."""

    def __init__(self, store: PostgresStore, observations: Observations) -> None:
        self.store = store
        self.seen = observations
        middleware = Middleware(
            SessionMiddleware, store=store, secret_key=SECRET, exclude=["/static"]
        )
        routes = [Route("/read", read), Route("/write", write), Route("/{rest:path}", public)]
        app = Starlette(routes=routes, middleware=[middleware])
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="https://testserver"
        )

    async def get(self, path: str, key: str | None = None, **query: str) -> httpx.Response:
        """Request a page with the session of this key; record the response."""
        headers = {"cookie": cookie_of(key)} if key is not None else {}
        began = time.monotonic()
        response = await self._client.get(path, headers=headers, params=query)
        self.seen.longest = max(self.seen.longest, time.monotonic() - began)
        self.seen.statuses.append(response.status_code)
        self._client.cookies.clear()
        assert response.status_code in {200, 503}, response.text
        if response.status_code == 503:
            assert response.headers["retry-after"] == "5"
            assert response.text == "Service Unavailable"
            assert "set-cookie" not in response.headers
        return response

    async def storm(self, key: str, *, requests: int = 200) -> list[httpx.Response]:
        """Send many requests at once: half of them read, half of them write."""
        paths = ["/read", "/write"] * (requests // 2)
        visits = (self.get(path, key, n=str(n)) for n, path in enumerate(paths))
        return await asyncio.gather(*visits)

    async def heal(self, key: str) -> float:
        """Retry a write until it succeeds; return the seconds that it took."""
        began = time.monotonic()
        while (await self.get("/write", key, healed="yes")).status_code != 200:
            assert time.monotonic() - began < 30, "it does not heal"
            await asyncio.sleep(0.05)
        return time.monotonic() - began


@asynccontextmanager
async def opened_site(
    conninfo: str, observations: Observations, *, timeout: float = 1.0, prepared: bool | None = None
) -> AsyncIterator[Site]:
    """Run a site with a store that opens on first use; check that it leaves no task behind."""
    store = PostgresStore(conninfo, timeout=timeout, prepared=prepared)
    try:
        yield Site(store, observations)
    finally:
        await store.close()
    left = tasks_left()
    assert left == [], left


def tasks_left() -> list[str]:
    """Return the names and functions of the tasks that run code of a store or its pool."""
    frames = {
        task.get_name(): getattr(task.get_coro(), "cr_frame", None) for task in asyncio.all_tasks()
    }
    ours = ("pgsession", "psycopg")
    return [
        f"{name}: {frame.f_code.co_qualname}"
        for name, frame in frames.items()
        if frame is not None and frame.f_globals["__name__"].startswith(ours)
    ]


def cookie_of(key: str) -> str:
    """Return the Cookie header for a key."""
    return Cookie(secret_keys=[SECRET]).write(key, None).decode().partition(";")[0]


class Writers:
    """Writers that continue through any fault, and record their acknowledged changes."""

    def __init__(self, site: Site, keys: list[str]) -> None:
        self._site = site
        self._keys = keys
        #: For each key, the names of the members whose write was acknowledged.
        self.acknowledged: dict[str, set[str]] = {key: set() for key in keys}
        self._task: asyncio.Task[None] | None = None

    @property
    def count(self) -> int:
        """The number of acknowledged changes."""
        return sum(map(len, self.acknowledged.values()))

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])

    async def progress(self, more: int) -> None:
        """Wait until this many more changes have been acknowledged."""
        due = self.count + more
        async with asyncio.timeout(30):
            while self.count < due:  # noqa: ASYNC110 - there is no event to await
                await asyncio.sleep(0.005)

    async def found(self) -> int:
        """Return how many of the acknowledged changes are stored. All of them should be."""
        found = 0
        for key, names in self.acknowledged.items():
            entry = await self._site.store.get(key)
            assert entry is not None
            assert entry.value is not None
            found += len(names & entry.value.keys())
        return found

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for key in self._keys:
                group.create_task(self._write(key))

    async def _write(self, key: str) -> None:
        number = 0
        while True:
            number += 1
            response = await self._site.get("/write", key, **{f"n{number}": "x"})
            if response.status_code == 200:
                self.acknowledged[key].add(f"n{number}")
