"""The instruments: each is made once, and documented in docs/reference/telemetry.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from opentelemetry.metrics import (
    CallbackOptions,
    Counter,
    Histogram,
    Meter,
    Observation,
    _Gauge,
)

#: Seconds, as the conventions for databases say.
_STATEMENT: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)
#: Seconds of what mostly takes less than a millisecond.
_BRIEF: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5)
_SWEEP: Final = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 300, 1800)
_CALLS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)

#: What an observable instrument calls.
Callback = Callable[[CallbackOptions], Iterable[Observation]]


class RequestInstruments:
    """Those of requests."""

    def __init__(self, meter: Meter, watched: Callback) -> None:
        self.load: Histogram = meter.create_histogram(
            "pgsession.load.duration",
            "s",
            "Look-ups of the session of a request.",
            explicit_bucket_boundaries_advisory=_BRIEF,
        )
        self.save: Histogram = meter.create_histogram(
            "pgsession.save.duration",
            "s",
            "Changes of the session of a request.",
            explicit_bucket_boundaries_advisory=_BRIEF,
        )
        self.rejected: Counter = meter.create_counter(
            "pgsession.cookies.rejected", "{cookie}", "Cookies that opened no session."
        )
        self.unavailable: Counter = meter.create_counter(
            "pgsession.requests.unavailable",
            "{request}",
            "Requests that did not get their session, as the store could not answer.",
        )
        self.adopted: Counter = meter.create_counter(
            "pgsession.sessions.adopted",
            "{session}",
            "Sessions from before a switch that were taken over.",
        )
        self.proofs: Counter = meter.create_counter(
            "pgsession.device.proofs",
            "{request}",
            "Requests of browsers to the endpoints of device binding.",
        )
        meter.create_observable_up_down_counter(
            "pgsession.streams.watched",
            [watched],
            "{session}",
            "Sessions whose open streams this process watches.",
        )


class StoreInstruments:
    """Those of stores and their pools."""

    def __init__(self, meter: Meter) -> None:
        self.batch_size: Histogram = meter.create_histogram(
            "pgsession.batch.size",
            "{call}",
            "Calls that one statement served.",
            explicit_bucket_boundaries_advisory=_CALLS,
        )
        self.batch_wait: Histogram = meter.create_histogram(
            "pgsession.batch.wait",
            "s",
            "How long the first call of a statement waited for its turn.",
            explicit_bucket_boundaries_advisory=_BRIEF,
        )
        self.revoked: Counter = meter.create_counter(
            "pgsession.sessions.revoked", "{session}", "Sessions that were ended from elsewhere."
        )
        self.sweep: Histogram = meter.create_histogram(
            "pgsession.sweep.duration",
            "s",
            "Sweeps of expired sessions.",
            explicit_bucket_boundaries_advisory=_SWEEP,
        )
        self.swept: Counter = meter.create_counter(
            "pgsession.sweep.rows", "{session}", "Expired sessions that were removed."
        )
        self.last_sweep: _Gauge = meter.create_gauge(
            "pgsession.sweep.last_success",
            "s",
            "When the last sweep of this process has succeeded, in Unix time.",
        )
        self.operation: Histogram = meter.create_histogram(
            "db.client.operation.duration",
            "s",
            "Duration of database client operations.",
            explicit_bucket_boundaries_advisory=_STATEMENT,
        )


class PoolInstruments:
    """Those of pools."""

    def __init__(self, meter: Meter, *, count: Callback, most: Callback, waiting: Callback) -> None:
        meter.create_observable_up_down_counter(
            "db.client.connection.count", [count], "{connection}", "Connections of the pool."
        )
        meter.create_observable_up_down_counter(
            "db.client.connection.max", [most], "{connection}", "Connections at most."
        )
        meter.create_observable_up_down_counter(
            "db.client.connection.pending_requests",
            [waiting],
            "{request}",
            "Statements that wait for a connection.",
        )
        self.timeouts: Counter = meter.create_counter(
            "db.client.connection.timeouts",
            "{timeout}",
            "Statements that got no connection in time.",
        )
        self.create_time: Histogram = meter.create_histogram(
            "db.client.connection.create_time",
            "s",
            "The time to make a connection.",
            explicit_bucket_boundaries_advisory=_STATEMENT,
        )
        self.wait_time: Histogram = meter.create_histogram(
            "db.client.connection.wait_time",
            "s",
            "The wait of a statement for a connection.",
            explicit_bucket_boundaries_advisory=_BRIEF,
        )
        self.use_time: Histogram = meter.create_histogram(
            "db.client.connection.use_time",
            "s",
            "How long a statement held its connection.",
            explicit_bucket_boundaries_advisory=_BRIEF,
        )
