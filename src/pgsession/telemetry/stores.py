"""The telemetry of stores: their statements, their connections and their sweeps."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from time import perf_counter
from typing import Final

from opentelemetry.metrics import CallbackOptions, Histogram, Meter, Observation
from opentelemetry.trace import Link, Span, SpanKind, Tracer

from pgsession.core.observer import (
    REFUSALS,
    STATEMENTS,
    Operation,
    Place,
    PoolObserver,
    StatementObserver,
    Usage,
    UsedPool,
)
from pgsession.telemetry.failures import Failures, error_type
from pgsession.telemetry.instruments import PoolInstruments, StoreInstruments
from pgsession.telemetry.living import Living
from pgsession.telemetry.timing import end_span, recorded_span, within

_PORT: Final = 5432

#: The values of `pgsession.reason` of a revocation.
REVOCATIONS: Final = ("one", "all", "max_sessions")


class Stores:
    """What the stores of one pair of providers share."""

    def __init__(self, meter: Meter, tracer: Tracer, failures: Failures) -> None:
        self.tracer: Tracer = tracer
        self.failures: Failures = failures
        self.pools: Living[UsedPool, str] = Living()
        self.instruments: StoreInstruments = StoreInstruments(meter)
        self.of_pools: PoolInstruments = PoolInstruments(
            meter, count=self._count, most=self._most, waiting=self._waiting
        )

    def _count(self, _: CallbackOptions) -> Iterable[Observation]:
        for name, usage in self._usage().items():
            for state, count in (("idle", usage.idle), ("used", usage.used)):
                attributes = {_POOL: name, "db.client.connection.state": state}
                yield Observation(count, attributes)

    def _most(self, _: CallbackOptions) -> Iterable[Observation]:
        return [Observation(usage.most, {_POOL: name}) for name, usage in self._usage().items()]

    def _waiting(self, _: CallbackOptions) -> Iterable[Observation]:
        return [Observation(usage.waiting, {_POOL: name}) for name, usage in self._usage().items()]

    def _usage(self) -> Mapping[str, Usage]:
        """Return the connections by the names of the pools: those of one name are added up."""
        found: dict[str, Usage] = {}
        for pool, name in self.pools.now():
            usage = pool.usage()
            if usage is not None:
                before = found.get(name, Usage(0, 0, 0, 0))
                found[name] = Usage(
                    before.idle + usage.idle,
                    before.used + usage.used,
                    before.most + usage.most,
                    before.waiting + usage.waiting,
                )
        return found


_POOL: Final = "db.client.connection.pool.name"


class StoreTelemetry:
    """A `StoreObserver` that reports to OpenTelemetry."""

    def __init__(self, stores: Stores, place: Place) -> None:
        self._stores = stores
        self._place = place
        self.attributes: Mapping[str, str | int] = _attributes(place)
        self._statements: dict[str, StatementTelemetry] = {}
        self._begin_at_zero()

    def of_statement(self, name: str) -> StatementObserver:
        made = self._statements.get(name)
        if made is None:
            made = StatementTelemetry(self._stores, name, self._place.table, self.attributes)
            self._statements[name] = made
        return made

    def of_pool(self, pool: UsedPool) -> PoolObserver:
        name = _pool_name(self._place)
        self._stores.pools.add(pool, name)
        return PoolTelemetry(self._stores, {_POOL: name})

    def revoke(self, count: int, reason: str) -> None:
        if count:
            self._count_revoked(count, reason)

    def _begin_at_zero(self) -> None:
        """Do as `RequestTelemetry` does: a counter that begins at 1 has no rate."""
        for reason in REVOCATIONS:
            self._count_revoked(0, reason)
        try:
            self._stores.instruments.swept.add(0, self.attributes)
        except Exception as error:  # noqa: BLE001 - whatever the application's provider raises
            self._stores.failures.note(error)

    def _count_revoked(self, count: int, reason: str) -> None:
        try:
            kind = {**self.attributes, "pgsession.reason": reason}
            self._stores.instruments.revoked.add(count, kind)
        except Exception as error:  # noqa: BLE001 - whatever the application's provider raises
            self._stores.failures.note(error)

    def sweep(self, seconds: float, rows: int, error: BaseException | None = None) -> None:
        made, kind = self._stores.instruments, self.attributes
        try:
            if error is None:
                made.sweep.record(seconds, kind)
                made.swept.add(rows, kind)
                made.last_sweep.set(time.time(), kind)
            else:
                made.sweep.record(seconds, {**kind, "error.type": error_type(error)})
        except Exception as failure:  # noqa: BLE001 - as above
            self._stores.failures.note(failure)


class StatementTelemetry:
    """A `StatementObserver` that reports to OpenTelemetry."""

    def __init__(
        self, stores: Stores, name: str, table: str, attributes: Mapping[str, str | int]
    ) -> None:
        command = STATEMENTS[name]
        self.stores: Stores = stores
        self.span_name: str = f"{command} {table}"
        #: Of the statement's time and its span.
        self.attributes: Mapping[str, str | int] = {
            **attributes,
            "db.operation.name": command,
            "pgsession.statement": name,
        }
        #: Of its batch.
        self.batch: Mapping[str, str | int] = {**attributes, "pgsession.statement": name}
        self._failed: dict[str, Mapping[str, str | int]] = {}

    def origin(self) -> object | None:
        return recorded_span(self.stores.failures)

    def begin(self, origins: Sequence[object | None], waited: float | None) -> Operation:
        try:
            made = self.stores.instruments
            made.batch_size.record(len(origins), self.batch)
            if waited is not None:
                made.batch_wait.record(waited, self.batch)
        except Exception as error:  # noqa: BLE001 - whatever the application's provider raises
            self.stores.failures.note(error)
        return _Statement(self, origins)

    def failed(self, error: BaseException) -> Mapping[str, str | int]:
        """Return the attributes of a statement that has failed."""
        kind = error_type(error)
        if kind not in self._failed:
            self._failed[kind] = {**self.attributes, "error.type": kind}
        return self._failed[kind]


class _Statement:
    """A statement under way. Its span is a child of the first caller's that is recorded."""

    __slots__ = ("_kind", "_span", "_start")

    def __init__(self, kind: StatementTelemetry, origins: Sequence[object | None]) -> None:
        self._kind = kind
        spans = [each for each in origins if each is not None and isinstance(each, Span)]
        self._span = _begin_span(kind, spans, len(origins)) if spans else None
        self._start = perf_counter()

    def end(self, outcome: str, error: BaseException | None = None) -> None:  # noqa: ARG002 - a statement has none
        kind, seconds = self._kind, perf_counter() - self._start
        attributes = kind.attributes if error is None else kind.failed(error)
        try:
            kind.stores.instruments.operation.record(seconds, attributes)
        except Exception as failure:  # noqa: BLE001 - as above
            kind.stores.failures.note(failure)
        if self._span is not None:
            end_span(self._span, attributes, kind.stores.failures, error)


def _begin_span(kind: StatementTelemetry, spans: Sequence[Span], calls: int) -> Span | None:
    """Begin the span of a statement, in the trace of the first caller, with links to the others."""
    try:
        first, *others = spans
        attributes = dict(kind.attributes)
        if calls > 1:
            attributes["db.operation.batch.size"] = calls
        return kind.stores.tracer.start_span(
            kind.span_name,
            within(first),
            SpanKind.CLIENT,
            attributes,
            [Link(each.get_span_context()) for each in others],
        )
    except Exception as error:  # noqa: BLE001 - as above
        kind.stores.failures.note(error)
        return None


class PoolTelemetry:
    """A `PoolObserver` that reports to OpenTelemetry."""

    def __init__(self, stores: Stores, attributes: Mapping[str, str]) -> None:
        self._made = stores.of_pools
        self._failures = stores.failures
        self._attributes = attributes
        for reason in REFUSALS:
            self._count_timeouts(0, reason)  # as in `RequestTelemetry`: begin at 0

    def note_made(self, seconds: float) -> None:
        self._record(self._made.create_time, seconds)

    def note_wait(self, seconds: float) -> None:
        self._record(self._made.wait_time, seconds)

    def note_use(self, seconds: float) -> None:
        self._record(self._made.use_time, seconds)

    def note_timeout(self, reason: str) -> None:
        self._count_timeouts(1, reason)

    def _count_timeouts(self, count: int, reason: str) -> None:
        try:
            self._made.timeouts.add(count, {**self._attributes, "pgsession.reason": reason})
        except Exception as error:  # noqa: BLE001 - as above
            self._failures.note(error)

    def _record(self, histogram: Histogram, seconds: float) -> None:
        try:
            histogram.record(seconds, self._attributes)
        except Exception as error:  # noqa: BLE001 - as above
            self._failures.note(error)


def _attributes(place: Place) -> Mapping[str, str | int]:
    known: dict[str, str | int | None] = {
        "db.system.name": "postgresql",
        "db.namespace": place.namespace,
        "db.collection.name": place.table,
        "server.address": place.address,
        "server.port": place.port,
    }
    return {name: it for name, it in known.items() if it is not None}


def _pool_name(place: Place) -> str:
    if place.pool is not None:
        return place.pool
    return f"{place.address or ''}:{place.port or _PORT}/{place.namespace or ''}"
