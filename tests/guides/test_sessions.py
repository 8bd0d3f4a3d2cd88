"""The pages about request.session and about parallel requests."""

import asyncio
import json
from typing import Final

import httpx2
import psycopg
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, Router

from benchmarks.values import VALUE
from pgsession import MemoryStore, Session, SessionMiddleware
from pgsession.core.large import UNDECODED_VALUE
from pgsession.core.value import DEFAULT_VALUE_LIMIT
from pgsession.testing import session_of
from tests.applications import SECRET
from tests.guides.conftest import Browse, client
from tests.guides.figures import missing
from tests.project.conftest import Names
from tests.project.documents import Document

CART, TYPED, TYPED_FASTAPI = Document("docs/how-to/sessions.md").programs
(PARALLEL,) = Document("docs/how-to/parallel-requests.md").programs

OTHERS: Final = """
from fastapi import HTTPException
from fastapi.responses import RedirectResponse


@app.get("/def")
def plain(request: Request) -> None:
    request.session["plain"] = True
    request.session.modified = True


@app.get("/raise")
async def fail(request: Request) -> None:
    request.session["failed"] = True
    raise HTTPException(500)


@app.get("/redirect")
async def redirect(request: Request) -> RedirectResponse:
    request.session["redirected"] = True
    return RedirectResponse("/all")


@app.get("/all")
async def show_all(request: Request) -> list[str]:
    return sorted(request.session)
"""


def test_cart(names: Names) -> None:
    """The cart is filled and emptied; another visitor has none."""
    program = names(CART)
    with client(program) as visitor:
        assert visitor.get("/cart").json() == {}
        assert not visitor.cookies
        assert [visitor.post("/cart/tea").json() for _ in range(2)] == [{"tea": 1}, {"tea": 2}]
        visitor.post("/cart/milk")
        visitor.delete("/cart/tea")
        assert visitor.get("/cart").json() == {"milk": 1}
        visitor.delete("/cart")
        assert not visitor.cookies


def test_questions(names: Names, browse: Browse) -> None:
    """A plain handler saves, one that fails does not, and a redirect is there after it."""
    visitor = browse(names(CART + OTHERS))
    visitor.get("/def")
    visitor.get("/raise")

    assert visitor.get("/redirect", follow_redirects=True).json() == ["plain", "redirected"]
    with session_of(visitor) as session:
        assert len(session.handle or "") == 40
    assert (DEFAULT_VALUE_LIMIT, UNDECODED_VALUE) == (1_000_000, 65_536)  # a megabyte, 64 kB


def test_text(database_url: str) -> None:
    """PostgreSQL prints numbers with half as many bytes again, an ordinary session with a tenth."""
    with psycopg.connect(database_url) as connection:
        ratios = []
        for value in ({"n": [1] * 1_000}, VALUE):
            text = json.dumps(value, separators=(",", ":"))
            row = connection.execute("SELECT octet_length(%s::jsonb::text)", [text]).fetchone()
            assert row is not None
            ratios.append(row[0] / len(text))

    assert [round(ratio, 1) for ratio in ratios] == [1.5, 1.1]
    phrases = ["has half as many bytes again", "have about a tenth more"]
    assert missing("docs/how-to/sessions.md", phrases) == []


async def test_typed(names: Names) -> None:
    """The handler for type checkers gets the session."""
    request = Request({"type": "http", "session": Session()})

    response = await names(TYPED)["account"](request)

    assert response.body == b"You are a visitor."


def test_typed_with_fastapi(names: Names) -> None:
    """The dependency gives handlers the session, for HTTP and for WebSockets."""
    with client(names(TYPED_FASTAPI)) as visitor:
        assert visitor.get("/account").json() == {"user": None}
        with visitor.websocket_connect("wss://testserver/events") as websocket:
            assert websocket.receive_text() == "Hello, None."


async def test_append(names: Names) -> None:
    """Parallel appends in an `exclusive` block are all kept."""
    transport = httpx2.ASGITransport(names(PARALLEL)["app"])
    async with httpx2.AsyncClient(transport=transport, base_url="https://testserver") as visitor:
        await visitor.post("/cart/tea")
        await asyncio.gather(*[visitor.post(f"/cart/{item}") for item in ("milk", "jam", "bread")])
        async with session_of(visitor) as session:
            assert sorted(session["cart"]) == ["bread", "jam", "milk", "tea"]


async def test_append_without_lock() -> None:
    """Of two lists that grew at the same time, the one that is committed later is stored."""
    reached, may_end = asyncio.Event(), asyncio.Event()

    async def add(request: Request) -> JSONResponse:
        cart = request.session.setdefault("cart", [])
        if (item := request.query_params.get("item")) is not None:
            cart.append(item)
        if item == "jam":
            reached.set()
            await may_end.wait()
        return JSONResponse(cart)

    app = SessionMiddleware(Router([Route("/", add)]), store=MemoryStore(), secret_key=SECRET)
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="https://testserver") as visitor:
        await visitor.get("/?item=tea")
        slow = asyncio.create_task(visitor.get("/?item=jam"))
        await reached.wait()
        assert (await visitor.get("/?item=milk")).json() == ["tea", "milk"]
        may_end.set()
        await slow
        assert (await visitor.get("/")).json() == ["tea", "jam"]


async def test_parallel(names: Names) -> None:
    """Of parallel requests each spends another credit, one gets the coupon, none is overwritten."""
    transport = httpx2.ASGITransport(names(PARALLEL)["app"])
    async with httpx2.AsyncClient(transport=transport, base_url="https://testserver") as visitor:
        await visitor.post("/credits")
        spent = await asyncio.gather(*[visitor.post("/spend") for _ in range(12)])
        used = await asyncio.gather(*[visitor.post("/coupon") for _ in range(3)])
        await asyncio.gather(*[visitor.post(f"/filter/{n}?value={n}") for n in range(5)])
        async with session_of(visitor) as session:
            assert sorted(session) == ["credits", *[f"filter:{n}" for n in range(5)]]

    assert sorted(it.json() for it in spent if it.status_code == 200) == list(range(10))
    assert [it.status_code for it in spent].count(402) == 2
    assert sorted(it.status_code for it in used) == [200, 409, 409]
