"""OpenTelemetry's instrumentations of FastAPI and psycopg, around our middleware and our pool."""

from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any, Final

import psycopg
import pytest
from fastapi import FastAPI, Request, WebSocket
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from starlette.testclient import TestClient

from pgsession import PostgresStore, Session, SessionMiddleware
from pgsession.postgres.connections.connection import OwnConnection
from pgsession.postgres.schema import migrate
from tests.hostile.overhearing import Ear
from tests.hostile.secret import SECRET, VALUE
from tests.pages import NAME

#: The other parts of a cookie are the key and the signature.
LONGEST_NUMBER: Final = 12

#: `make test-lowest` has one that does not find the version of libpq.
COMMENTING: Final = pytest.mark.skipif(
    version("opentelemetry-instrumentation-dbapi") < "0.60",
    reason="writes no comments into the statements of asynchronous connections",
)

Instrument = Callable[..., InMemorySpanExporter]


@pytest.fixture
def instrument() -> Iterator[Instrument]:
    """Instruments psycopg with the given options; returns where the spans go."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor = PsycopgInstrumentor()
    places = (psycopg, psycopg.Connection, psycopg.AsyncConnection)
    before = [vars(place)["connect"] for place in places]

    def begin(app: FastAPI | None = None, **options: Any) -> InMemorySpanExporter:
        instrumentor.instrument(tracer_provider=provider, **options)
        if app is not None:
            FastAPIInstrumentor.instrument_app(app, tracer_provider=provider)
        return exporter

    yield begin
    instrumentor.uninstrument()
    for place, connect in zip(places, before, strict=True):
        # Else subclasses would make connections of the class that was instrumented.
        setattr(place, "connect", connect)  # noqa: B010 - mypy accepts no assignment to a method
    provider.shutdown()


@pytest.fixture
def app(database_url: str, migrated_schema: str) -> FastAPI:
    """An application with a session in PostgreSQL."""
    app = FastAPI()

    @app.get("/fill")
    async def fill(request: Request) -> None:
        session_of(request).login("ann")
        request.session["secret"] = VALUE

    @app.get("/read")
    async def read(request: Request) -> bool:
        return bool(request.session["secret"] == VALUE)

    @app.get("/count")
    async def count(request: Request) -> int:
        async with session_of(request).exclusive():
            request.session["count"] = request.session.get("count", 0) + 1
        return int(request.session["count"])

    @app.websocket("/talk")
    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json(websocket.session["secret"] == VALUE)
        await websocket.close()

    store = PostgresStore(database_url, schema=migrated_schema)
    app.add_middleware(SessionMiddleware, store=store, secret_key=SECRET)
    return app


def session_of(request: Request) -> Session:
    session = request.session
    assert isinstance(session, Session)
    return session


def visit(app: FastAPI) -> str:
    """Use the session in all ways; return the cookie."""
    with TestClient(app, base_url="https://testserver") as browser:
        assert browser.get("/fill").status_code == 200
        assert browser.get("/read").json() is True
        assert [browser.get("/count").json() for _ in range(2)] == [1, 2]
        with browser.websocket_connect("wss://testserver/talk") as socket:
            assert socket.receive_json() is True
        return browser.cookies[NAME]


def is_statement(span: ReadableSpan) -> bool:
    return span.kind is SpanKind.CLIENT


def test_spans(app: FastAPI, instrument: Instrument) -> None:
    """All works as before, and no span has a key, a cookie, a value or the secret."""
    exporter = instrument(app)

    cookie = visit(app)

    spans = exporter.get_finished_spans()
    ear = Ear(SECRET, VALUE, *(part for part in cookie.split(".") if len(part) > LONGEST_NUMBER))
    ear.note(*(span.to_json() for span in spans))
    assert ear.leaks() == []
    pages = {span.name.split()[-1] for span in spans if span.kind is SpanKind.SERVER}
    assert pages == {"/fill", "/read", "/count", "/talk"}
    texts = [str(dict(it.attributes or {})["db.statement"]) for it in spans if is_statement(it)]
    assert any("INSERT INTO" in text for text in texts)


def test_parents(app: FastAPI, instrument: Instrument) -> None:
    """A statement belongs to the trace of a request only within `exclusive`."""
    exporter = instrument(app)

    visit(app)

    spans = exporter.get_finished_spans()
    traces = {it.context.trace_id: it.name for it in spans if it.kind is SpanKind.SERVER}
    within = {traces.get(it.context.trace_id) for it in spans if is_statement(it)}
    assert within == {None, "GET /count"}


@COMMENTING
@pytest.mark.parametrize(
    ("options", "prepared"),
    [
        pytest.param({}, 1, id="plain"),
        pytest.param(
            {"enable_commenter": True, "commenter_options": {"opentelemetry_values": False}},
            1,
            id="comments",
        ),
        pytest.param({"enable_commenter": True}, 3, id="comments-with-spans"),
    ],
)
async def test_prepared(
    database_url: str, instrument: Instrument, options: dict[str, Any], prepared: int
) -> None:
    """Statements are prepared once, unless each carries the number of its span."""
    instrument(**options)
    async with await OwnConnection.connect(database_url, autocommit=True) as connection:
        for _ in range(3):
            await connection.execute("SELECT 1 WHERE %s", (True,), prepare=True)
        listing = await connection.execute(
            "SELECT name FROM pg_prepared_statements WHERE statement LIKE 'SELECT 1%'",
            prepare=False,
        )
        names = [name for (name,) in await listing.fetchall()]

    assert len(names) == prepared
    assert [name for name in names if not name.startswith("pgsession_")] == []


@COMMENTING
def test_comments(
    app: FastAPI, database_url: str, migrated_schema: str, instrument: Instrument
) -> None:
    """With comments in the statements, the store and the migrations work too."""
    instrument(app, enable_commenter=True)

    visit(app)

    assert migrate(database_url, schema=migrated_schema, table="web_session")
