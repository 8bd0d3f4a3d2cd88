"""A site in debug mode whose responses, logs and errors are collected."""

from collections.abc import AsyncIterator

import pytest
from httpx import ASGITransport, AsyncClient
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from pgsession import PostgresStore, Session, SessionMiddleware, SessionSettings
from pgsession.core.tracked import state_of
from tests.concurrency.witness import Witness
from tests.hostile.overhearing import Ear, Overheard, listening
from tests.hostile.secret import PASSWORD, REFUSED, SECRET, VALUE


@pytest.fixture
async def ear(database_url: str) -> AsyncIterator[Ear]:
    ear = Ear(SECRET, VALUE, str(conninfo_to_dict(database_url).get("password") or PASSWORD))
    async with listening(ear):
        yield ear
    assert len(ear) > 0
    assert ear.leaks() == []


@pytest.fixture
async def witness(database_url: str, migrated_schema: str) -> AsyncIterator[Witness]:
    async with Witness.on(database_url, migrated_schema) as witness:
        yield witness


@pytest.fixture
def settings(database_url: str, witness: Witness, migrated_schema: str) -> SessionSettings:
    password = conninfo_to_dict(database_url).get("password") or PASSWORD
    url = make_conninfo(database_url, password=password, application_name=witness.name)
    return SessionSettings(secret_key=SECRET, database_url=url, schema=migrated_schema, timeout=2)


@pytest.fixture
async def store(ear: Ear, settings: SessionSettings) -> AsyncIterator[PostgresStore]:
    async with settings.make_store() as store:
        yield store
        ear.note_objects()


@pytest.fixture
def framework() -> type[Starlette]:
    """The class of the application; a test may override it."""
    return Starlette


@pytest.fixture
async def client(
    framework: type[Starlette], ear: Ear, settings: SessionSettings, store: PostgresStore
) -> AsyncIterator[AsyncClient]:
    """A client of a site in debug mode; each response is collected."""

    async def look(request: Request) -> Response:
        request.session["u"] = VALUE
        ear.note_objects()
        return PlainTextResponse(repr(request.scope["session"]))

    pages = (write, leave, renew, spoil, fall, look)
    app = framework(
        debug=True,
        routes=[Route(f"/{page.__name__}", page) for page in pages],
        middleware=[Middleware(SessionMiddleware, store=store, settings=settings)],
    )
    ear.note(repr(app.user_middleware))
    async with AsyncClient(
        transport=ASGITransport(Overheard(app, ear), raise_app_exceptions=False),
        base_url="https://testserver",
        headers={"accept": "text/html"},
        event_hooks={"response": [ear.note_response]},
    ) as client:
        yield client


def session_of(request: Request) -> Session:
    assert isinstance(request.session, Session)
    return request.session


async def write(request: Request) -> Response:
    session = session_of(request)
    session["u"] = session.get("u", "") + VALUE
    return PlainTextResponse(repr(session) + repr(state_of(session).changes(session)))


async def renew(request: Request) -> Response:
    session = session_of(request)
    async with session.exclusive():
        session["again"] = VALUE
    session.renew()
    return PlainTextResponse(repr(session))


async def leave(request: Request) -> Response:
    request.session.clear()
    return PlainTextResponse("bye")


async def spoil(request: Request) -> Response:
    request.session["it"] = REFUSED[request.query_params["kind"]]
    return PlainTextResponse("never sent")


async def fall(request: Request) -> Response:
    request.session["it"] = VALUE
    raise LookupError
