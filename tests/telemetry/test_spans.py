"""The spans of requests and statements: where they belong, and how they end."""

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI, Request, WebSocket
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind
from psycopg import Connection
from starlette.testclient import TestClient

from pgsession import PostgresStore, SessionMiddleware, SessionSettings
from tests.applications import SECRET
from tests.blocking import blocked, terminate_blocked, until_blocked
from tests.telemetry.reported import Reported


@pytest.fixture
def app(reported: Reported, database_url: str, migrated_schema: str) -> FastAPI:
    """An application of FastAPI with its own instrumentation, and a session in PostgreSQL."""
    app = FastAPI()

    @app.get("/count")
    async def count(request: Request) -> int:
        request.session["count"] = request.session.get("count", 0) + 1
        return int(request.session["count"])

    @app.websocket("/talk")
    async def talk(websocket: WebSocket) -> None:
        websocket.session["talked"] = True
        await websocket.accept()
        await websocket.receive_text()
        await websocket.close()

    settings = SessionSettings(
        secret_key=SECRET,
        database_url=database_url,
        schema=migrated_schema,
        telemetry=reported.telemetry,
    )
    app.add_middleware(SessionMiddleware, settings=settings)
    FastAPIInstrumentor.instrument_app(
        app, tracer_provider=reported.tracer_provider, meter_provider=reported.meter_provider
    )
    return app


def test_children(app: FastAPI, reported: Reported) -> None:
    """The load and the save of a request are children of its span, and their statements are
    theirs.
    """
    with TestClient(app, base_url="https://testserver") as browser:
        browser.get("/count")
        reported.exporter.clear()
        browser.get("/count")

    [page] = [it for it in reported.spans() if it.kind is SpanKind.SERVER]
    [load], [save] = reported.spans("pgsession.load"), reported.spans("pgsession.save")
    [select], [update] = reported.spans("SELECT session"), reported.spans("UPDATE session")
    assert [parent_of(it) for it in (load, save)] == [id_of(page)] * 2
    assert (parent_of(select), parent_of(update)) == (id_of(load), id_of(save))
    assert page.attributes is not None
    assert page.attributes["http.status_code"] == 200
    assert not any(name.startswith(("pgsession", "db.")) for name in page.attributes)


def test_socket(app: FastAPI, reported: Reported) -> None:
    """The spans of a WebSocket have ended while it is still open."""
    with TestClient(app, base_url="https://testserver") as browser:
        browser.get("/count")
        reported.exporter.clear()
        with browser.websocket_connect("wss://testserver/talk") as socket:
            ended = {it.name for it in reported.spans()}
            socket.send_text("bye")

    assert {"pgsession.load", "pgsession.save"} <= ended
    assert "/talk" not in ended


async def test_batch(reported: Reported, postgres_at: PostgresStore) -> None:
    """The statement for several requests is in the first one's trace, and linked to the others."""
    keys = [await postgres_at.generate({}) for _ in range(8)]

    async def ask(key: str) -> ReadableSpan:
        with reported.tracer.start_as_current_span("asking") as span:
            await postgres_at.get(key)
        assert isinstance(span, ReadableSpan)
        return span

    asking = await asyncio.gather(*map(ask, keys))

    statements = reported.spans("SELECT session")
    sizes = [dict(it.attributes or {}).get("db.operation.batch.size", 1) for it in statements]
    assert len(statements) < len(keys) == sum(int(str(it)) for it in sizes)
    served = [{parent_of(it), *(link.context.span_id for link in it.links)} for it in statements]
    assert sorted(it for each in served for it in each) == sorted(map(id_of, asking))


async def test_alone(reported: Reported, postgres_at: PostgresStore) -> None:
    """Each of many reads one after the other has one statement, in its own trace."""
    key = await postgres_at.generate({})
    asking: list[int] = []

    for _ in range(12):
        with reported.tracer.start_as_current_span("asking") as span:
            await postgres_at.get(key)
        assert isinstance(span, ReadableSpan)
        asking.append(id_of(span))

    statements = reported.spans("SELECT session")
    assert [parent_of(it) for it in statements] == asking
    assert all(it.status.is_unset for it in statements)
    for name in ("db.client.operation.duration", "pgsession.batch.wait", "pgsession.batch.size"):
        assert reported.counts(name, "pgsession.statement")["fetch"] == 12
    used = reported.counts("db.client.connection.use_time", "")
    assert used == {"": 13}


async def test_alone_again(
    reported: Reported, postgres_at: PostgresStore, table: Connection
) -> None:
    """A read that fails without a task, and is made again, is one statement, as in a lane."""
    key = await postgres_at.generate({})
    for _ in range(12):
        await postgres_at.get(key)
    reported.exporter.clear()

    with reported.tracer.start_as_current_span("asking") as span:
        with blocked(table):
            task = asyncio.create_task(postgres_at.get(key))
            await until_blocked(table)
            terminate_blocked(table)
        await task

    assert isinstance(span, ReadableSpan)
    statements = reported.spans("SELECT session")
    assert [parent_of(it) for it in statements] == [id_of(span)]
    assert [it.status.is_unset for it in statements] == [True]


async def test_untraced(reported: Reported, postgres_at: PostgresStore) -> None:
    """Without a span that is recorded no span is made, and the metrics are the same."""
    await postgres_at.generate({})
    tracer = TracerProvider(sampler=ALWAYS_OFF).get_tracer("test")
    with tracer.start_as_current_span("not sampled"):
        await postgres_at.generate({})

    assert reported.spans() == []
    assert reported.counts("db.client.operation.duration", "pgsession.statement")["insert"] == 2


@pytest.fixture
async def postgres_at(reported: Reported, database_url: str, migrated_schema: str) -> Any:
    """A store that is observed."""
    async with PostgresStore(
        database_url, schema=migrated_schema, telemetry=reported.telemetry
    ) as store:
        yield store


def id_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.span_id)


def parent_of(span: ReadableSpan) -> int:
    assert span.parent is not None
    return int(span.parent.span_id)
