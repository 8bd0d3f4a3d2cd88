"""Nothing that OpenTelemetry does breaks a request, and nothing is kept alive for it."""

import asyncio
import gc
import logging
import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from weakref import ref

import pytest
from opentelemetry.context import Context
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.trace import INVALID_SPAN_CONTEXT, NonRecordingSpan, SpanContext, use_span

from pgsession import LoginState, MemoryStore, PostgresStore, Telemetry
from pgsession.asgi.watching import Waiter, Watching
from pgsession.telemetry.choice import find_observer
from tests.telemetry.life import browser, site, visit
from tests.telemetry.reported import Reported

COUNT = "db.client.connection.count"


class Broken(SpanProcessor):
    """Raises whenever it is called."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        raise LookupError(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        raise LookupError(span)


def broken_meters() -> MeterProvider:
    """Return a provider whose instruments raise whenever they are used."""
    provider = MeterProvider()
    make = provider.get_meter

    def get_meter(*names: Any, **more: Any) -> Any:
        meter = make(*names, **more)
        for kind in ("histogram", "counter", "gauge"):
            setattr(meter, f"create_{kind}", lambda *_, **__: object())
        return meter

    provider.get_meter = get_meter  # type: ignore[method-assign] # broken on purpose
    return provider


async def test_raising(
    database_url: str, migrated_schema: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Instruments and span processors that raise break no request, and are logged once."""
    tracers = TracerProvider()
    tracer = tracers.get_tracer("test")
    telemetry = Telemetry(meter_provider=broken_meters(), tracer_provider=tracers)
    async with PostgresStore(database_url, schema=migrated_schema, telemetry=telemetry) as store:
        async with browser(site(store, telemetry, touch_after=0)) as client:
            with use_span(tracer.start_span("request")):
                tracers.add_span_processor(Broken())
                await visit(client, "login", "look", "take", "merge", "lock")
                assert await store.revoke_all("UQZXW-somebody") == 1
        await store.sweep()

    logged = [it for it in caplog.records if it.levelno >= logging.WARNING]
    assert [it.getMessage() for it in logged if it.name == "pgsession"] == [
        "OpenTelemetry has failed, and its data are incomplete. No request fails for that."
    ]


async def test_closed_and_reopened(
    reported: Reported, database_url: str, migrated_schema: str
) -> None:
    """The connections of a store are counted while it is open, also after it was opened again."""
    store = PostgresStore(database_url, schema=migrated_schema, telemetry=reported.telemetry)

    counted = []
    for _ in range(2):
        await store.open()
        counted.append(sum(count for _, count in reported.points(COUNT)))
        await store.close()
        counted.append(sum(count for _, count in reported.points(COUNT)))

    assert counted == [1, 0, 1, 0]


async def test_same_place(reported: Reported, database_url: str, migrated_schema: str) -> None:
    """The connections of two stores with one name are added up."""
    settings: dict[str, Any] = {"schema": migrated_schema, "telemetry": reported.telemetry}
    async with (
        PostgresStore(database_url, pool_size=2, **settings),
        PostgresStore(database_url, pool_size=3, **settings),
    ):
        assert [most for _, most in reported.points("db.client.connection.max")] == [5]


async def test_not_kept(reported: Reported, database_url: str, migrated_schema: str) -> None:
    """A store that nobody uses any more is not kept alive by what observes it."""
    store = PostgresStore(database_url, schema=migrated_schema, telemetry=reported.telemetry)
    app = site(store, reported.telemetry)
    await store.open()
    await store.close()
    kept = ref(store)

    del store, app
    gc.collect()

    assert kept() is None


def in_child(answer: Callable[[], object]) -> str:
    """Return the text of what a function returns in a child of this process."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writing, str(answer()).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as told:
        return told.read()


async def test_forked_connections(
    reported: Reported, database_url: str, migrated_schema: str
) -> None:
    """Connections that were opened before a fork are the parent's, and are not counted twice."""
    settings: dict[str, Any] = {"schema": migrated_schema, "telemetry": reported.telemetry}
    async with PostgresStore(database_url, **settings):
        assert in_child(lambda: sum(count for _, count in reported.points(COUNT))) == "0"
        assert sum(count for _, count in reported.points(COUNT)) == 1


def test_forked_streams(reported: Reported) -> None:
    """A middleware that was made before a fork is observed after it: each process has its own
    streams.
    """
    watching = Watching(MemoryStore(), timedelta(minutes=1))
    observer = find_observer(reported.telemetry)
    assert observer is not None
    observer.watch(watching)

    async def wait(*handles: str) -> None:
        for handle in handles:
            watching.here().add(Waiter(print), handle, LoginState(0))

    def watched() -> list[float]:
        return [count for _, count in reported.points("pgsession.streams.watched")]

    def waiting_in_child() -> list[float]:
        before = watched()
        asyncio.run(wait("second", "third"))
        return [*before, *watched()]

    asyncio.run(wait("first"))

    assert in_child(waiting_in_child) == "[0, 2]"
    assert watched() == [1]


async def test_memory(reported: Reported) -> None:
    """Requests are reported with a store in memory too."""
    store: Any = MemoryStore()
    async with browser(site(store, reported.telemetry)) as client:
        await visit(client, "create", "look", "merge")

    assert reported.counts("pgsession.load.duration", "pgsession.outcome") == {"found": 2}
    assert reported.counts("pgsession.save.duration", "pgsession.change") == {
        "create": 1,
        "merge": 1,
    }


def test_no_op() -> None:
    """Providers that do nothing are fine."""
    assert find_observer(Telemetry(meter_provider=NoOpMeterProvider())) is not None


class _BrokenSpan(NonRecordingSpan):
    """The span of a provider that fails whatever it is asked."""

    def is_recording(self) -> bool:
        raise LookupError

    def get_span_context(self) -> SpanContext:
        raise LookupError


async def test_broken_span(
    database_url: str, migrated_schema: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A current span that raises when it is asked whether it is recorded breaks no request."""
    span = _BrokenSpan(INVALID_SPAN_CONTEXT)
    telemetry = Telemetry(tracer_provider=TracerProvider())
    async with PostgresStore(database_url, schema=migrated_schema, telemetry=telemetry) as store:
        client = browser(site(store, telemetry, touch_after=0))
        with use_span(span, record_exception=False, set_status_on_exception=False):
            await visit(client, "login", "look", "take", "merge", "lock")
        await client.aclose()

    logged = [it for it in caplog.records if it.levelno >= logging.WARNING]
    assert [vars(it)["pgsession_event"] for it in logged if it.name == "pgsession"] == [
        "telemetry_failed"
    ]
