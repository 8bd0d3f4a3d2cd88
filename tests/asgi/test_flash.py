"""Flash messages over several requests, and in templates."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from httpx import AsyncClient
from jinja2 import DictLoader, Environment
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware as CookieSessions
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.templating import Jinja2Templates

from pgsession import (
    Flash,
    MemoryStore,
    PostgresStore,
    Session,
    SessionError,
    SessionMiddleware,
    Store,
    flashes,
    take_flashes,
)
from tests.pages import key_of, value_of

Visit = Callable[..., AsyncClient]

TEMPLATE = "{% for it in flashes(request) %}{{ it.category }}: {{ it.text }}\n{% endfor %}"
TEMPLATES = Jinja2Templates(env=Environment(loader=DictLoader({"page": TEMPLATE}), autoescape=True))
TEMPLATES.env.globals["flashes"] = flashes


@pytest.fixture(params=["memory", "postgres"])
async def stores(
    request: pytest.FixtureRequest, database_url: str, migrated_schema: str
) -> AsyncIterator[list[Store]]:
    """The stores of two processes: one in memory, or two on the same table."""
    if request.param == "memory":
        yield [MemoryStore()] * 2
        return
    settings: dict[str, Any] = {"schema": migrated_schema, "pool_size": 4}
    async with (
        PostgresStore(database_url, **settings) as one,
        PostgresStore(database_url, **settings) as two,
    ):
        yield [one, two]


def save(session: Session) -> None:
    session.flash("Saved.", category="success")


async def show(session: Session) -> list[str]:
    return [message.text for message in await session.flashes()]


async def save_and_show(session: Session) -> list[str]:
    session.flash("Wrong.")
    return await show(session) + await show(session)


def login(session: Session) -> None:
    session["user"] = "ann"


async def test_redirect(visit: Visit) -> None:
    """A message is kept over redirects, and shown once."""

    async def post(request: Request) -> Response:
        request.session.flash("Saved.")  # type: ignore[attr-defined] # for Starlette it is a dict
        return RedirectResponse("/other")

    async def other(request: Request) -> Response:  # noqa: ARG001 - a handler takes it
        return RedirectResponse("/show")

    routes = (Route("/post", post), Route("/other", other))
    client = visit(MemoryStore(), show, routes=routes)

    assert (await client.get("/post", follow_redirects=True)).json() == ["Saved."]
    assert (await client.get("/show")).json() == []


async def test_exactly_once(visit: Visit, stores: list[Store]) -> None:
    """Of parallel requests in two processes that have all loaded a message, one shows it."""
    are_loaded = asyncio.Barrier(8)

    async def load_and_show(session: Session) -> list[str]:
        await are_loaded.wait()
        return await show(session)

    one, two = (visit(store, save, load_and_show, show) for store in stores)
    await one.get("/save")
    two.cookies = one.cookies

    answers = await asyncio.gather(
        *(client.get("/load_and_show") for client in (one, two) for _ in range(4))
    )

    assert sorted(answer.json() for answer in answers) == [[]] * 7 + [["Saved."]]
    assert (await two.get("/show")).json() == []


async def test_parallel(visit: Visit, stores: list[Store]) -> None:
    """Parallel requests that flash keep each other's messages."""
    are_loaded = asyncio.Barrier(4)

    async def load_and_save(session: Session) -> None:
        await are_loaded.wait()
        session.flash("One.")
        session.flash("Two.")

    one, two = (visit(store, login, load_and_save, show) for store in stores)
    await one.get("/login")
    two.cookies = one.cookies

    await asyncio.gather(*(client.get("/load_and_save") for client in (one, two) for _ in range(2)))

    assert sorted((await one.get("/show")).json()) == ["One."] * 4 + ["Two."] * 4


async def test_statements(visit: Visit, counted: PostgresStore, statements: list[str]) -> None:
    """Without a message there is no statement but the read, and with one there is one more."""
    client = visit(counted, login, save, show, save_and_show)
    await client.get("/login")
    counts = []
    for path in ("/show", "/save_and_show", "/save", "/show", "/show"):
        statements.clear()
        await client.get(path)
        counts.append(len(statements))

    assert counts == [1, 1, 2, 2, 1]


async def test_same_request(visit: Visit) -> None:
    """What was flashed in a request is shown in it, in each of its calls; a visitor gets no row."""
    client = visit(MemoryStore(), save_and_show)

    assert (await client.get("/save_and_show")).json() == ["Wrong."] * 2
    assert not client.cookies


async def test_saved_meanwhile(visit: Visit) -> None:
    """A message that was saved before it is read is taken from the store: another may have it."""
    store = MemoryStore()

    async def work(session: Session) -> list[str]:
        session.flash("Gone.")
        await session.save()
        (name,) = (it for it in session if it.startswith("flash:"))
        await store.take(key_of(client), name)
        session.flash("Mine.")
        return await show(session)

    client = visit(store, login, work)
    await client.get("/login")

    assert (await client.get("/work")).json() == ["Mine."]
    assert await value_of(store, key_of(client)) == {"user": "ann"}


async def test_outage(visit: Visit, stores: list[Store]) -> None:
    """What was taken before the store failed is shown by the request that goes on."""
    store = stores[0]

    async def show_twice(session: Session) -> list[str]:
        take, calls = store.take, 0

        async def take_once(key: str, name: str, default: object = None) -> Any:
            nonlocal calls
            calls += 1
            if calls == 2:
                raise ConnectionError
            return await take(key, name, default)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(store, "take", take_once)
            with pytest.raises(ConnectionError):
                await session.flashes()
        return await show(session)

    client = visit(store, save, show_twice, show)
    await client.get("/save")
    await client.get("/save")

    assert (await client.get("/show_twice")).json() == ["Saved.", "Saved."]
    assert (await client.get("/show")).json() == []


async def template(request: Request) -> Response:
    return TEMPLATES.TemplateResponse(request, "page")


async def taken_template(request: Request) -> Response:
    await take_flashes(request)
    request.session.flash("<New>")  # type: ignore[attr-defined] # for Starlette it is a dict
    return TEMPLATES.TemplateResponse(request, "page")


def threaded_template(request: Request) -> Response:
    return TEMPLATES.TemplateResponse(request, "page")


async def foreign_thread(request: Request) -> Response:
    return await asyncio.to_thread(threaded_template, request)


PAGES = (
    Route("/template", template),
    Route("/taken", taken_template),
    Route("/threaded", threaded_template),
    Route("/foreign", foreign_thread),
)


async def test_template(visit: Visit, stores: list[Store]) -> None:
    """A template shows what was taken, and what the handler has flashed since, escaped."""
    client = visit(stores[0], save, show, routes=PAGES)
    await client.get("/save")

    response = await client.get("/taken")

    assert response.text == "success: Saved.\ninfo: &lt;New&gt;\n"
    assert response.headers["vary"] == "Cookie"
    assert (await client.get("/show")).json() == []


async def test_thread(visit: Visit, stores: list[Store]) -> None:
    """In the worker thread of a `def` handler, the template takes the messages itself."""
    client = visit(stores[0], save, routes=PAGES)
    await client.get("/save")

    assert (await client.get("/threaded")).text == "success: Saved.\n"
    assert (await client.get("/threaded")).text == ""


@pytest.mark.parametrize("path", ["/template", "/foreign"], ids=["event loop", "another thread"])
async def test_not_taken(visit: Visit, path: str) -> None:
    """A template on the event loop is an error that says what to add, also without a message."""
    client = visit(MemoryStore(), routes=PAGES)

    with pytest.raises(SessionError, match=r"Depends\(take_flashes\).*await take_flashes"):
        await client.get(path)


async def redirect(request: Request) -> Response:
    await take_flashes(request)
    return RedirectResponse("/show")


async def refuse(request: Request) -> Response:
    await take_flashes(request)
    return PlainTextResponse("", 403)


async def log_out(request: Request) -> Response:
    await take_flashes(request)
    request.session.logout()  # type: ignore[attr-defined] # for Starlette it is a dict
    return PlainTextResponse("")


async def log_out_and_show(request: Request) -> Response:
    await take_flashes(request)
    request.session.logout()  # type: ignore[attr-defined] # for Starlette it is a dict
    return TEMPLATES.TemplateResponse(request, "page")


async def stream(request: Request) -> Response:
    await take_flashes(request)

    async def body() -> AsyncIterator[str]:
        yield str(len(flashes(request)))

    return StreamingResponse(body())


UNREAD = (
    Route("/redirect", redirect),
    Route("/refuse", refuse),
    Route("/log_out", log_out),
    Route("/log_out_and_show", log_out_and_show),
    Route("/stream", stream),
    Route("/taken", taken_template, methods=["GET", "HEAD"]),
)


@pytest.mark.parametrize("path", ["/redirect", "/refuse"])
async def test_put_back(visit: Visit, stores: list[Store], path: str) -> None:
    """Messages that a response did not show are put back under the same names."""
    client = visit(stores[0], save, show, routes=UNREAD)
    await client.get("/save")
    before = await value_of(stores[0], key_of(client))

    await client.get(path)

    assert await value_of(stores[0], key_of(client)) == before
    assert (await client.get("/show")).json() == ["Saved."]


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("HEAD", {}),
        ("GET", {"sec-purpose": "prefetch;prerender"}),
        ("GET", {"purpose": "prefetch"}),
    ],
    ids=["HEAD", "prerender", "an older browser's"],
)
async def test_not_shown(visit: Visit, method: str, headers: dict[str, str]) -> None:
    """A HEAD request and a prefetch, whose page may never be shown, leave messages as they are."""
    client = visit(MemoryStore(), save, show, routes=UNREAD)
    await client.get("/save")

    response = await client.request(method, "/taken", headers=headers)

    assert response.text == ""
    assert "Saved." in (await client.get("/show")).json()


async def test_logout_drops(visit: Visit) -> None:
    """A logout removes messages that were taken and not read: no session begins with them."""
    client = visit(MemoryStore(), save, routes=UNREAD)
    await client.get("/save")

    await client.get("/log_out")

    assert not client.cookies


async def test_shown_at_logout(visit: Visit) -> None:
    """A page that logs out can still show what was taken before."""
    client = visit(MemoryStore(), save, routes=UNREAD)
    await client.get("/save")

    assert (await client.get("/log_out_and_show")).text == "success: Saved.\n"
    assert not client.cookies


async def test_put_back_late(visit: Visit) -> None:
    """A template that is rendered after the response has started is an error, and none is lost."""
    client = visit(MemoryStore(), save, show, routes=UNREAD)
    await client.get("/save")

    with pytest.raises(SessionError, match="after the response has started"):
        await client.get("/stream")
    assert (await client.get("/show")).json() == ["Saved."]


async def test_put_back_once(visit: Visit, stores: list[Store]) -> None:
    """Of parallel requests that show messages and that put them back, one shows each."""
    one, two = (visit(store, save, show, routes=UNREAD) for store in stores)
    for _ in range(4):
        await one.get("/save")
    two.cookies = one.cookies

    answers = await asyncio.gather(
        *(client.get(path) for path in ["/redirect", "/show"] * 6 for client in (one, two))
    )

    shown = [text for answer in answers if answer.is_success for text in answer.json()]
    assert [*shown, *(await two.get("/show")).json()] == ["Saved."] * 4


async def test_excluded(visit: Visit) -> None:
    """An excluded path has no messages."""
    client = visit(MemoryStore(), routes=PAGES, exclude=["/template"])

    assert (await client.get("/template")).text == ""


async def take(request: Request) -> Response:
    await take_flashes(request)
    return PlainTextResponse(str(flashes(request)))


async def test_other_session(visit: Visit) -> None:
    """With another middleware's session there is a clear error."""
    inside = (Middleware(CookieSessions, secret_key="x" * 32),)
    client = visit(MemoryStore(), routes=(Route("/", take),), inside=inside)

    with pytest.raises(SessionError, match="SessionMiddleware"):
        await client.get("/")


def test_fastapi(secret_key: str) -> None:
    """`take_flashes` is a dependency of a whole FastAPI application, WebSockets included."""
    app = FastAPI(dependencies=[Depends(take_flashes)])
    app.add_middleware(SessionMiddleware, store=MemoryStore(), secret_key=secret_key)

    @app.post("/save")
    async def post(request: Request) -> None:
        request.session.flash("Saved.")  # type: ignore[attr-defined] # for Starlette it is a dict

    @app.get("/page")
    async def page(request: Request) -> Response:
        return TEMPLATES.TemplateResponse(request, "page")

    @app.get("/list")
    async def get(request: Request) -> list[Flash]:
        return flashes(request)

    with TestClient(app, base_url="https://testserver") as client:
        client.post("/save")
        assert client.get("/page").text == "info: Saved.\n"
        assert client.get("/page").text == ""
        client.post("/save")
        assert client.get("/list").json() == [{"text": "Saved.", "category": "info"}]
