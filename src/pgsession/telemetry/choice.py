"""Whether sessions are observed, and with which providers."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from pgsession import rare
from pgsession.core.logs import event, own_logger
from pgsession.core.observer import Observer
from pgsession.errors import SettingsError

if TYPE_CHECKING:  # the package may be missing
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

_LOGGER = own_logger()


#: True: with the global providers. False: not at all. None: with the global providers if
#: ``opentelemetry-api`` is installed.
TelemetryChoice: TypeAlias = "bool | rare.Telemetry | None"


def find_observer(choice: TelemetryChoice) -> Observer | None:
    """Return what observes sessions, or None if nothing does.

    It is the same for the same providers. Raises `SettingsError` for a value that is no choice,
    and if telemetry is asked for and ``opentelemetry-api`` is missing or too old.
    """
    if choice is False:
        return None
    meters, tracers = _providers(choice)
    try:
        return _made(meters, tracers)
    except ImportError:
        if choice is None:
            return None
        raise SettingsError(
            "telemetry needs the extra otel: pip install 'pgsession[otel]'. Or set it to False."
        ) from None
    except Exception as error:
        if choice is None:  # others may have installed it; no application must fail for that
            _LOGGER.warning(
                "OpenTelemetry cannot be used, so there is no telemetry: install 'pgsession[otel]' "
                "for a version that can, or set telemetry to False.",
                exc_info=error,
                extra=event("telemetry_unusable"),
            )
            return None
        raise SettingsError(
            "telemetry cannot work with this opentelemetry-api or these providers "
            f"({type(error).__name__}): install 'pgsession[otel]', or set it to False."
        ) from error


def _providers(choice: TelemetryChoice) -> tuple[MeterProvider | None, TracerProvider | None]:
    if choice is None or isinstance(choice, bool):
        return None, None
    if not isinstance(choice, rare.Telemetry):
        raise SettingsError(
            "telemetry must be True, False, None or a pgsession.Telemetry, not of type "
            f"{type(choice).__name__}."
        )
    return choice.meter_provider, choice.tracer_provider


@lru_cache(maxsize=64)
def _made(meters: MeterProvider | None, tracers: TracerProvider | None) -> Observer:
    from pgsession.telemetry.requests import RequestTelemetry  # noqa: PLC0415 - it may be missing

    return RequestTelemetry(meters, tracers)
