"""Part 8: what telemetry adds to a request, with a store that costs nothing."""

import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from starlette.types import Message, Receive, Scope, Send

from benchmarks.measure import Part, Sample, Trial, alternate, said
from benchmarks.options import Options
from benchmarks.servers import Places
from pgsession import MemoryStore, SessionMiddleware, SessionSettings, Telemetry
from pgsession.telemetry.choice import TelemetryChoice

SECRET = "a secret of the benchmarks that is long enough"

Works = dict[str, Callable[[Any], object]]

#: What the handler does with the session.
WORKS: Works = {
    "none": lambda _: None,
    "read": lambda session: session.get("user"),
    "write": lambda session: session.update(n=session.get("n", 0) + 1),
}


class _Nowhere(SpanExporter):
    def export(self, spans: object) -> SpanExportResult:  # noqa: ARG002 - it drops them
        return SpanExportResult.SUCCESS


async def measure(_places: Places, options: Options) -> Part:
    """Serve requests without telemetry, with the API alone, and with the SDK."""
    meters = MeterProvider([InMemoryMetricReader()])
    tracers = TracerProvider()
    tracers.add_span_processor(BatchSpanProcessor(_Nowhere()))
    tracer = tracers.get_tracer("benchmark")
    full = Telemetry(meter_provider=meters, tracer_provider=tracers)
    subjects: dict[str, tuple[TelemetryChoice, Callable[[], AbstractContextManager[object]]]] = {
        "off": (False, nullcontext),
        "API alone": (True, nullcontext),
        "SDK: metrics": (full, nullcontext),
        "SDK: metrics and spans": (full, partial(tracer.start_as_current_span, "request")),
    }
    trials = [
        Trial(subject, work, 1, await _serving(telemetry, around, work))
        for work in WORKS
        for subject, (telemetry, around) in subjects.items()
    ]
    try:
        seconds = options.seconds / 5
        cells = await alternate(trials, rounds=options.rounds, seconds=seconds)
        return Part(cells, rounds=said(options.rounds, seconds))
    finally:
        meters.shutdown()
        tracers.shutdown()


async def _serving(
    telemetry: TelemetryChoice, around: Callable[[], AbstractContextManager[object]], work: str
) -> Callable[[float], Awaitable[Sample]]:
    """Return what serves requests for some seconds, all within one span of the caller's."""
    use, sent = WORKS["write"], list[Message]()

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        use(scope["session"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    settings = SessionSettings(secret_key=SECRET, telemetry=telemetry)
    site = SessionMiddleware(app, MemoryStore(), settings=settings)
    scope: Scope = {"type": "http", "method": "GET", "path": "/", "scheme": "https", "headers": []}
    await site(dict(scope), receive, send)
    headers = dict(sent[0]["headers"])
    scope["headers"] = [(b"cookie", headers[b"set-cookie"].partition(b";")[0])]
    use = WORKS[work]

    async def run(seconds: float) -> Sample:
        start = now = time.perf_counter()
        done = 0
        with around():
            while now < start + seconds:
                sent.clear()
                await site(dict(scope), receive, send)
                done += 1
                now = time.perf_counter()
        each = (now - start) / done * 1e6
        return Sample(rate=1e6 / each, p50=each, p99=each)

    return run
