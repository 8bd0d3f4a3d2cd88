"""The providers of an application that does not use the global ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the package may be missing
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry:
    """Providers of OpenTelemetry, other than the global ones: a value of the setting `telemetry`.

    None stands for the global provider, also if that is set later.
    """

    #: Where metrics go.
    meter_provider: MeterProvider | None = None
    #: Where spans go.
    tracer_provider: TracerProvider | None = None
