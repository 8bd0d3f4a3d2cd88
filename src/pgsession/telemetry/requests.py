"""The telemetry of requests, and of all stores with the same providers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from opentelemetry.metrics import (
    CallbackOptions,
    Counter,
    MeterProvider,
    Observation,
    get_meter_provider,
)
from opentelemetry.trace import TracerProvider, get_tracer_provider

from pgsession.core.observer import Operation, Place, StoreObserver, Watched
from pgsession.telemetry.failures import Failures, error_type
from pgsession.telemetry.instruments import RequestInstruments
from pgsession.telemetry.living import Living
from pgsession.telemetry.stores import Stores, StoreTelemetry
from pgsession.telemetry.timing import Timed, TimedKind
from pgsession.version import __version__

_NAME = "pgsession"

#: The values of `pgsession.reason` of a cookie.
REJECTIONS: Final = ("signature", "replaced", "proof_missing")

#: What a request mostly gets, and why, while the store cannot answer.
_MOSTLY_MISSED: Final = {"pgsession.answer": "503", "error.type": "StoreUnavailableError"}


class RequestTelemetry:
    """An `Observer` that reports to OpenTelemetry, with the global providers if none are given.

    Raises whatever the API or a provider raises when it makes the instruments.
    """

    def __init__(
        self,
        meter_provider: MeterProvider | None = None,
        tracer_provider: TracerProvider | None = None,
    ) -> None:
        meter = (meter_provider or get_meter_provider()).get_meter(_NAME, __version__)
        tracer = (tracer_provider or get_tracer_provider()).get_tracer(_NAME, __version__)
        self._failures = failures = Failures()
        self._watched: Living[Watched, None] = Living()
        self._instruments = made = RequestInstruments(meter, self._count_watched)
        self._load = TimedKind("pgsession.load", "pgsession.outcome", made.load, tracer, failures)
        self._save = TimedKind("pgsession.save", "pgsession.change", made.save, tracer, failures)
        self._stores = Stores(meter, tracer, failures)
        # A counter that begins at 1 has no rate: begin it at 0, unless the provider comes later.
        for reason in REJECTIONS:
            self._add(made.rejected, {"pgsession.reason": reason}, 0)
        self._add(made.unavailable, _MOSTLY_MISSED, 0)

    def begin_load(self) -> Operation:
        return Timed(self._load)

    def begin_save(self) -> Operation:
        return Timed(self._save)

    def reject_cookie(self, reason: str) -> None:
        self._add(self._instruments.rejected, {"pgsession.reason": reason})

    def miss(self, answer: str, error: BaseException) -> None:
        kind = {"pgsession.answer": answer, "error.type": error_type(error)}
        self._add(self._instruments.unavailable, kind)

    def adopt(self) -> None:
        self._add(self._instruments.adopted, {})

    def prove(self, outcome: str) -> None:
        self._add(self._instruments.proofs, {"pgsession.outcome": outcome})

    def watch(self, watched: Watched) -> None:
        self._watched.add(watched, None)

    def of_store(self, place: Place) -> StoreObserver:
        return StoreTelemetry(self._stores, place)

    def _add(self, counter: Counter, attributes: Mapping[str, str], count: int = 1) -> None:
        try:
            counter.add(count, attributes)
        except Exception as error:  # noqa: BLE001 - whatever the application's provider raises
            self._failures.note(error)

    def _count_watched(self, _: CallbackOptions) -> Iterable[Observation]:
        yield Observation(sum(len(each) for each, _ in self._watched.now()))
