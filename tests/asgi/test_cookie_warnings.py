"""Warnings about cookies that browsers drop, or that another middleware overwrites."""

from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient
from itsdangerous import TimestampSigner
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware as StarletteSessionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import Message
from starsessions import InMemoryStore
from starsessions import SessionMiddleware as StarsessionsMiddleware

from pgsession import MemoryStore, SessionMiddleware, SettingsError
from tests.applications import SECRET
from tests.pages import fill, read

#: A cookie of Starlette's own middleware: JSON, a time and a signature.
THEIRS = TimestampSigner(SECRET).sign(b64encode(b'{"a": 1}')).decode()

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
        await client.get("/read", headers={"cookie": f"{name}={THEIRS}"})

    assert [record.args for record in caplog.records] == [("session",)] * number


@pytest.mark.parametrize(
    "inside",
    [
        pytest.param(
            Middleware(StarletteSessionMiddleware, secret_key=SECRET, session_cookie="sid"),
            id="Starlette",
        ),
        pytest.param(
            Middleware(StarsessionsMiddleware, store=InMemoryStore(), cookie_name="sid"),
            id="starsessions",
        ),
    ],
)
def test_stacked(secret_key: str, caplog: pytest.LogCaptureFixture, inside: Middleware) -> None:
    """Another library's middleware inside with the same name causes the warning at the start."""
    outside = Middleware(
        SessionMiddleware, store=MemoryStore(), secret_key=secret_key, session_cookie="sid"
    )
    plain = Middleware(GZipMiddleware)

    Starlette(middleware=[outside, plain, inside]).build_middleware_stack()

    assert [record.args for record in caplog.records] == [("sid",)]


@pytest.mark.parametrize(
    "cookie",
    [
        pytest.param(f"session={'k' * 40}.{'s' * 43}", id="forged"),
        pytest.param(f"session={'k' * 40}...1800000000.{'s' * 43}", id="another secret's"),
        pytest.param("session=garbage", id="garbage"),
    ],
)
async def test_outside_and_forged(
    visit: Visit, caplog: pytest.LogCaptureFixture, cookie: str
) -> None:
    """A cookie that nobody verifies is no sign of a middleware with our name."""
    outside = Middleware(StarletteSessionMiddleware, secret_key=SECRET, session_cookie="another")
    client = visit(MemoryStore(), read, outside=(outside,), https_only=False)

    await client.get("/read", headers={"cookie": cookie})

    assert caplog.records == []


@pytest.mark.parametrize(
    ("text", "number"),
    [
        pytest.param("=null; Max-Age=0", 0, id="Max-Age 0"),
        pytest.param("=; max-age = -1", 0, id="negative"),
        pytest.param("=; expires=Thu, 01-Jan-1970 00:00:00 GMT", 0, id="expires"),
        pytest.param("=max-age=0", 1, id="as its value"),
        pytest.param("=a; path=/max-age=0/; Max-Age=10", 1, id="as its path"),
    ],
)
async def test_set_by_the_handler(
    visit: Visit, caplog: pytest.LogCaptureFixture, text: str, number: int
) -> None:
    """A handler may delete the cookie itself; a warning is for one that sets it."""

    async def leave(request: Request) -> Response:
        request.session.clear()
        return Response(headers={"set-cookie": "__Host-session" + text})

    client = visit(MemoryStore(), fill, routes=(Route("/leave", leave),))
    await client.get("/fill")

    await client.get("/leave")

    assert len(caplog.records) == number


async def test_request_within_a_request(secret_key: str, caplog: pytest.LogCaptureFixture) -> None:
    """An application that calls itself with the scope of a request causes no warning."""

    async def batch(request: Request) -> Response:
        scope = {**request.scope, "path": "/read"}

        async def drop(_message: Message) -> None:
            pass

        await app(scope, request.receive, drop)
        return Response()

    app = Starlette(routes=[Route("/read", store_something), Route("/batch", batch)])
    app.add_middleware(SessionMiddleware, store=MemoryStore(), secret_key=secret_key)
    async with AsyncClient(transport=ASGITransport(app), base_url="https://testserver") as client:
        await client.get("/batch")

    assert caplog.records == []


@pytest.mark.parametrize(("same_site", "number"), [("lax", 1), ("none", 0)], ids=["lax", "none"])
async def test_partitioned(
    visit: Visit, caplog: pytest.LogCaptureFixture, same_site: str, number: int
) -> None:
    """A partitioned cookie that no other site gets causes a warning."""
    await visit(MemoryStore(), read, partitioned=True, same_site=same_site).get("/read")

    assert len(caplog.records) == number


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
    """A mounted application with our middleware and the same cookie name causes one warning."""
    inside = Middleware(
        SessionMiddleware, store=MemoryStore(), secret_key=secret_key, session_cookie=name
    )
    mounted = Mount("/in", Starlette(routes=[Route("/", store_something)], middleware=[inside]))
    client = visit(MemoryStore(), routes=(mounted,))

    for _ in range(2):
        await client.get("/in/")

    # The mounted one sets a cookie, which the outer one sees too.
    assert [record.args for record in caplog.records] == [("__Host-session",)] * number


@pytest.mark.parametrize("between", [(), (Middleware(GZipMiddleware),)], ids=["next", "apart"])
def test_added_twice(
    secret_key: str, caplog: pytest.LogCaptureFixture, between: tuple[Middleware, ...]
) -> None:
    """Our middleware added twice with one cookie is an error at the start, which is also logged."""
    ours = Middleware(SessionMiddleware, store=MemoryStore(), secret_key=secret_key)
    app = Starlette(middleware=[ours, *between, ours])

    with pytest.raises(SettingsError, match=r"^SessionMiddleware was added twice .*Remove one"):
        app.build_middleware_stack()

    assert [record.levelname for record in caplog.records] == ["CRITICAL"]


def test_added_twice_with_two_names(secret_key: str, caplog: pytest.LogCaptureFixture) -> None:
    """Our middleware may be added twice with two cookies."""
    ours = Middleware(SessionMiddleware, store=MemoryStore(), secret_key=secret_key)
    other = Middleware(
        SessionMiddleware, store=MemoryStore(), secret_key=secret_key, session_cookie="other"
    )

    Starlette(middleware=[ours, other]).build_middleware_stack()

    assert caplog.records == []
