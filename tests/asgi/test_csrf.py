"""Requests of other origins, with `csrf_protection`: a 403, before anything is loaded."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest
from httpx import ASGITransport, AsyncClient
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pgsession import MemoryStore, PostgresStore, SessionMiddleware, SessionSettings
from pgsession.asgi.csrf import RejectionLog
from pgsession.core.origins import Rejection

Visit = Callable[..., AsyncClient]
Converse = Callable[..., Awaitable[list[Message]]]

SECRET: Final = "a secret of the tests that is long enough for HMAC"
EVIL: Final = {"sec-fetch-site": "cross-site", "origin": "https://evil.example"}
SIBLING: Final = {"sec-fetch-site": "same-site", "origin": "https://app.testserver"}
OWN: Final = {"sec-fetch-site": "same-origin", "origin": "https://testserver"}


def guarded(**given: Any) -> SessionSettings:
    return SessionSettings(secret_key=SECRET, **{"csrf_protection": True, **given})


async def act(_request: Request) -> Response:
    return PlainTextResponse("done")


ACT = Route("/act", act, methods=["GET", "POST", "OPTIONS"])


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        pytest.param("POST", EVIL, 403, id="form of another site"),
        pytest.param("POST", SIBLING, 403, id="form of a sibling"),
        pytest.param("POST", {"origin": "https://evil.example"}, 403, id="older browser"),
        pytest.param("POST", OWN, 200, id="own form"),
        pytest.param("POST", {}, 200, id="program"),
        pytest.param("GET", EVIL, 200, id="link"),
        pytest.param("OPTIONS", EVIL, 200, id="preflight"),
    ],
)
async def test_request(visit: Visit, method: str, headers: dict[str, str], status: int) -> None:
    """What another origin posts is rejected; its links and what programs send are served."""
    client = visit(MemoryStore(), routes=(ACT,), settings=guarded())

    assert (await client.request(method, "/act", headers=headers)).status_code == status


async def test_off(visit: Visit) -> None:
    """By default nothing is rejected."""
    client = visit(MemoryStore(), routes=(ACT,))

    assert (await client.post("/act", headers=EVIL)).text == "done"


async def test_response(visit: Visit) -> None:
    """The response says why in plain words, repeats nothing of the request, and is not cached."""
    client = visit(MemoryStore(), routes=(ACT,), settings=guarded())

    response = await client.post("/act", headers=EVIL)

    assert response.text == f"Forbidden\n\n{Rejection.OTHER_SITE.value}\n"
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    assert "set-cookie" not in response.headers


async def test_nothing_loaded(
    visit: Visit,
    counted: PostgresStore,
    statements: list[str],
    cookie_of: Callable[[str], str],
) -> None:
    """A rejected request costs no statement, even with a good cookie."""
    key = await counted.generate({"user": "ann"})
    client = visit(counted, routes=(ACT,), settings=guarded())
    statements.clear()

    response = await client.post("/act", headers={**EVIL, "cookie": cookie_of(key)})

    assert response.status_code == 403
    assert statements == []


async def test_trusted(visit: Visit) -> None:
    """A trusted origin may post; another one of the same site may not."""
    settings = guarded(trusted_origins=["https://App.testserver:443"])
    client = visit(MemoryStore(), routes=(ACT,), settings=settings)

    assert (await client.post("/act", headers=SIBLING)).status_code == 200
    assert (await client.post("/act", headers=EVIL)).status_code == 403


@pytest.mark.parametrize(
    "exempt",
    [["/act"], lambda scope: scope["path"] == "/act"],
    ids=["prefix", "function"],
)
async def test_exempt(visit: Visit, exempt: Any) -> None:
    """An exempt path is not checked; other paths are."""
    other = Route("/other", act, methods=["POST"])
    client = visit(MemoryStore(), routes=(ACT, other), settings=guarded(csrf_exempt=exempt))

    assert (await client.post("/act", headers=EVIL)).status_code == 200
    assert (await client.post("/other", headers=EVIL)).status_code == 403


async def test_excluded(visit: Visit) -> None:
    """A path without sessions is checked too: it may have the cookie of another middleware."""
    settings = guarded(exclude=["/act", "/hook"], csrf_exempt=["/hook"])
    hook = Route("/hook", act, methods=["POST"])
    client = visit(MemoryStore(), routes=(ACT, hook), settings=settings)

    assert (await client.post("/act", headers=EVIL)).status_code == 403
    assert (await client.post("/act", headers=OWN)).status_code == 200
    assert (await client.post("/hook", headers=EVIL)).status_code == 200


@pytest.mark.parametrize("place", ["outside", "inside"])
async def test_cors(visit: Visit, place: str) -> None:
    """A preflight is answered by a CORS middleware on either side, then a trusted origin posts."""
    origin = SIBLING["origin"]
    cors = Middleware(CORSMiddleware, allow_origins=[origin], allow_methods=["POST"])
    settings = guarded(trusted_origins=[origin])
    client = visit(MemoryStore(), routes=(ACT,), settings=settings, **{place: (cors,)})
    asked = {**SIBLING, "access-control-request-method": "POST"}

    preflight = await client.options("/act", headers=asked)
    response = await client.post("/act", headers=SIBLING)

    assert preflight.headers["access-control-allow-origin"] == origin
    assert response.headers["access-control-allow-origin"] == origin
    assert response.text == "done"


async def test_mounted() -> None:
    """In a mounted application only its own requests are checked, and prefixes begin there."""
    inner = Starlette(
        routes=[ACT, Route("/hook", act, methods=["POST"])],
        middleware=[
            Middleware(
                SessionMiddleware, store=MemoryStore(), settings=guarded(csrf_exempt=["/hook"])
            )
        ],
    )
    app = Starlette(routes=[Mount("/inner", inner), ACT])

    assert await status_of(app, "/inner/act") == 403
    assert await status_of(app, "/inner/hook") == 200
    assert await status_of(app, "/act") == 200


async def status_of(app: ASGIApp, path: str) -> int:
    async with AsyncClient(transport=ASGITransport(app), base_url="https://testserver") as client:
        return (await client.post(path, headers=EVIL)).status_code


async def greet(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "websocket.accept"})


def socket(**headers: str) -> Scope:
    raw = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
    raw.append((b"host", b"testserver"))
    return {"type": "websocket", "scheme": "wss", "headers": raw}


@pytest.mark.parametrize(
    ("headers", "is_accepted"),
    [
        pytest.param({"origin": "https://testserver"}, True, id="own page"),
        pytest.param({"origin": "https://evil.example"}, False, id="other site"),
        pytest.param({"origin": "https://app.testserver"}, False, id="sibling"),
        pytest.param({"origin": "http://testserver"}, False, id="page over plain HTTP"),
        pytest.param({"origin": "null"}, False, id="sandboxed page"),
        pytest.param(
            {"origin": "https://evil.example", "sec_fetch_site": "cross-site"}, False, id="Firefox"
        ),
        pytest.param({"origin": "https://partner.example"}, True, id="trusted"),
        pytest.param({}, True, id="program"),
    ],
)
async def test_websocket(converse: Converse, headers: dict[str, str], *, is_accepted: bool) -> None:
    """A WebSocket of another origin is closed before it is accepted, although it is a GET."""
    settings = guarded(trusted_origins=["https://partner.example"])
    app = SessionMiddleware(greet, MemoryStore(), settings=settings)

    (sent,) = await converse(app, socket(**headers))

    assert sent["type"] == ("websocket.accept" if is_accepted else "websocket.close")
    assert sent.get("code") == (None if is_accepted else 1008)


async def test_websocket_response(converse: Converse) -> None:
    """If the server supports it, the handshake is answered with the same 403."""
    app = SessionMiddleware(greet, MemoryStore(), settings=guarded())
    scope = {**socket(origin="null"), "extensions": {"websocket.http.response": {}}}

    start, body = await converse(app, scope)

    assert (start["type"], start["status"]) == ("websocket.http.response.start", 403)
    assert body["body"].startswith(b"Forbidden\n")


async def test_log(visit: Visit, caplog: pytest.LogCaptureFixture) -> None:
    """Rejected requests are one line at INFO, whose texts are short and escaped."""
    caplog.set_level(logging.INFO, logger="pgsession")
    route = Route("/{path:path}", act, methods=["POST"])
    client = visit(MemoryStore(), routes=(route,), settings=guarded())

    for _ in range(3):
        await client.post(f"/a%0A%1B[31m{900 * 'b'}", headers={**EVIL, "origin": 900 * "c"})

    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert record.message.isprintable()
    assert len(record.message) < 900
    assert r"'POST' '/a\n\x1b[31mb" in record.message


def test_log_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """The next line comes after ten seconds, and counts what came between."""
    caplog.set_level(logging.INFO, logger="pgsession")
    now = [0.0]
    log = RejectionLog(clock=lambda: now[0])
    scope: Scope = {"type": "websocket", "path": "/\udce9", "headers": []}

    for seconds in (0.0, 9.9, 10.0):
        now[0] = seconds
        log.record(scope, Rejection.OTHER_ORIGIN)

    first, second = caplog.messages
    assert "(1 requests since the last line, 1 in all.)" in first
    assert "(2 requests since the last line, 3 in all.)" in second


@pytest.mark.parametrize(
    "given", [{"trusted_origins": ["https://a"]}, {"csrf_exempt": ["/a"]}], ids=str
)
def test_without_effect(given: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """Settings of a protection that is off are one warning."""
    settings = guarded(csrf_protection=False, **given)

    SessionMiddleware(greet, MemoryStore(), settings=settings)

    assert caplog.messages == [
        "trusted_origins and csrf_exempt have no effect: csrf_protection is not set."
    ]
