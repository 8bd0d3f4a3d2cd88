"""Timed operations: each is a value of a histogram and, in a trace that is recorded, a span."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter

from opentelemetry.context import Context, attach, detach
from opentelemetry.metrics import Histogram
from opentelemetry.trace import Span, Status, StatusCode, Tracer, get_current_span
from opentelemetry.trace.propagation import set_span_in_context

from pgsession.telemetry.failures import Failures, error_type

_ERROR = Status(StatusCode.ERROR)  # without a description, which may hold anything


class Timed:
    """One operation of a request that is under way: a load or a save.

    Its span is a child of the span that is current, and itself current until the end. Without
    a span that is recorded there is none: the spans of statements are of use only in the trace of
    a request, and nothing is paid for them where nothing is traced.
    """

    __slots__ = ("_kind", "_span", "_start", "_token")

    def __init__(self, kind: TimedKind) -> None:
        self._kind = kind
        self._span: Span | None = None
        if recorded_span(kind.failures) is not None:
            self._begin_span(kind)
        self._start = perf_counter()

    def _begin_span(self, kind: TimedKind) -> None:
        try:
            span = kind.tracer.start_span(kind.name)
            self._token = attach(set_span_in_context(span))
        except Exception as error:  # noqa: BLE001 - whatever the application's provider raises
            kind.failures.note(error)
        else:
            self._span = span

    def end(self, outcome: str, error: BaseException | None = None) -> None:
        """Record the time, and end the span."""
        kind, seconds = self._kind, perf_counter() - self._start
        attributes = kind.attributes(outcome, error)
        try:
            kind.histogram.record(seconds, attributes)
        except Exception as failure:  # noqa: BLE001 - as above
            kind.failures.note(failure)
        if self._span is not None:
            try:
                detach(self._token)
            except Exception as failure:  # noqa: BLE001 - as above
                kind.failures.note(failure)
            end_span(self._span, attributes, kind.failures, error)


class TimedKind:
    """The operations of one kind. `attribute` is that of their outcome."""

    def __init__(
        self, name: str, attribute: str, histogram: Histogram, tracer: Tracer, failures: Failures
    ) -> None:
        self.name: str = name
        self.histogram: Histogram = histogram
        self.tracer: Tracer = tracer
        self.failures: Failures = failures
        self._attribute = attribute
        self._made: dict[tuple[str, str], Mapping[str, str | int]] = {}

    def attributes(self, outcome: str, error: BaseException | None) -> Mapping[str, str | int]:
        """Return the attributes of an end. They are made once for each."""
        key = (outcome, "" if error is None else error_type(error))
        made = self._made.get(key)
        if made is None:
            made = {self._attribute: outcome}
            if error is not None:
                made = {**made, "error.type": key[1]}
            self._made[key] = made
        return made


def end_span(
    span: Span,
    attributes: Mapping[str, str | int],
    failures: Failures,
    error: BaseException | None,
) -> None:
    """End a span: with an error, its status says so, without any text."""
    try:
        span.set_attributes(attributes)
        if error is not None:
            span.set_status(_ERROR)
        span.end()
    except Exception as failure:  # noqa: BLE001 - as above
        failures.note(failure)


def recorded_span(failures: Failures) -> Span | None:
    """Return the span that is current and recorded; None if there is none."""
    try:
        span = get_current_span()
        return span if span.is_recording() else None
    except Exception as error:  # noqa: BLE001 - as above
        failures.note(error)
        return None


def within(span: Span) -> Context:
    """Return a context in which `span` is current, and nothing else is."""
    return set_span_in_context(span, Context())
