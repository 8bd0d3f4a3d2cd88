"""Warnings about cookies that browsers drop, or that another middleware overwrites."""

from collections.abc import Callable
from typing import Any

import pytest
from httpx import AsyncClient
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware as StarletteSessionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from pgsession import MemoryStore, SessionMiddleware
from tests.applications import SECRET
from tests.pages import fill, read

Visit = Callable[..., AsyncClient]


@pytest.mark.parametrize(
    ("domain", "base_url", "number"),
    [
        pytest.param("example.org", "https://example.org", 0, id="the host"),
        pytest.param(".Example.org", "https://app.example.ORG:8000", 0, id="above, any case"),
        pytest.param("app.example.org", "https://example.org", 1, id="below"),
        pytest.param("example.org", "https://bad-example.org", 1, id="no dot between"),
        pytest.param("example.org", "https://10.0.0.1", 1, id="address"),
    ],
)
async def test_other_domain(
    visit: Visit, caplog: pytest.LogCaptureFixture, domain: str, base_url: str, number: int
) -> None:
    """A domain that is not the host's causes one warning when the cookie is set."""
    client = visit(MemoryStore(), fill, domain=domain)
    client.base_url = base_url

    await client.get("/fill")
    client.cookies.clear()
    await client.get("/fill")

    assert len(caplog.records) == number
    assert all("will drop it" in record.message for record in caplog.records)


async def test_guessable_secret(visit: Visit, caplog: pytest.LogCaptureFixture) -> None:
    """A secret of one letter causes a warning that does not quote it."""
    await visit(MemoryStore(), read, secret_key="q" * 40).get("/read")

    (record,) = caplog.records
    assert "can be guessed" in record.message
    assert "qq" not in record.message


async def store_something(request: Request) -> Response:
    request.session["inner"] = True
    return Response()


def mounted(**keywords: Any) -> Mount:
    """An application with Starlette's own middleware."""
    middleware = Middleware(StarletteSessionMiddleware, secret_key=SECRET, **keywords)
    return Mount(
        "/mounted", Starlette(routes=[Route("/", store_something)], middleware=[middleware])
    )


@pytest.mark.parametrize(
    ("name", "number"), [("session", 1), ("another", 0)], ids=["same name", "other name"]
)
async def test_inside(
    visit: Visit, caplog: pytest.LogCaptureFixture, name: str, number: int
) -> None:
    """A middleware inside that sets a cookie of our name causes one warning."""
    client = visit(MemoryStore(), fill, routes=(mounted(session_cookie=name),), https_only=False)

    for _ in range(2):
        await client.get("/mounted/")

    assert [record.args for record in caplog.records] == [("session",)] * number


@pytest.mark.parametrize(
    ("name", "number"), [("session", 1), ("another", 0)], ids=["same name", "other name"]
)
async def test_outside(
    visit: Visit, caplog: pytest.LogCaptureFixture, name: str, number: int
) -> None:
    """A middleware outside whose cookie has our name causes one warning."""
    outside = Middleware(StarletteSessionMiddleware, secret_key=SECRET, session_cookie=name)
    client = visit(MemoryStore(), read, outside=(outside,), https_only=False)

    for _ in range(2):
        await client.get("/read", headers={"cookie": f"{name}=eyJhIjogMX0=.Zx0000.abc"})

    assert [record.args for record in caplog.records] == [("session",)] * number


@pytest.mark.parametrize(
    ("name", "number"), [(None, 1), ("another", 0)], ids=["same name", "other name"]
)
async def test_two_of_ours(
    visit: Visit,
    secret_key: str,
    caplog: pytest.LogCaptureFixture,
    name: str | None,
    number: int,
) -> None:
    """Two middlewares of ours with one cookie name cause one warning."""
    inside = Middleware(
        SessionMiddleware, store=MemoryStore(), secret_key=secret_key, session_cookie=name
    )
    client = visit(MemoryStore(), read, inside=(inside,))

    for _ in range(2):
        await client.get("/read")

    assert [record.args for record in caplog.records] == [("__Host-session",)] * number
