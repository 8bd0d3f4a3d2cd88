"""What a store grants its sessions: how long they live, and how large they may be."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from pgsession.core.period import DEFAULT_PERIOD, Period, as_period
from pgsession.core.value import DEFAULT_VALUE_LIMIT, JSON, encode_value


class Limits:
    """The periods and the size that hold for all sessions of a store.

    - `default_period`: how long a session lives after its last use, if nothing else is said;
      a week.
    - `max_lifetime`: how long it lives at most after it was generated, however often it is
      used; None for no such limit.
    - `max_inactivity`: how long it lives at most after it was last extended, even with a longer
      period of its own; None for no such limit.
    - `value_limit`: the largest value, in bytes of the text that PostgreSQL prints.

    Both limits hold for all sessions, also for those from before the limit was set. Raises
    `InvalidPeriodError` for a period that cannot be one.
    """

    def __init__(
        self,
        *,
        default_period: Period = DEFAULT_PERIOD,
        max_lifetime: Period | None = None,
        max_inactivity: Period | None = None,
        value_limit: int = DEFAULT_VALUE_LIMIT,
    ) -> None:
        self._default_period = as_period(default_period)
        self._max_lifetime = None if max_lifetime is None else as_period(max_lifetime)
        self._max_inactivity = None if max_inactivity is None else as_period(max_inactivity)
        self._value_limit = value_limit

    @property
    def default_period(self) -> timedelta:
        """The period where none is given. Setting it affects future operations only.

        It is no longer than `max_inactivity`.
        """
        if self._max_inactivity is None:
            return self._default_period
        return min(self._default_period, self._max_inactivity)

    @default_period.setter
    def default_period(self, period: Period) -> None:
        self._default_period = as_period(period)

    @property
    def value_limit(self) -> int:
        """The largest value, in bytes of the text that PostgreSQL prints."""
        return self._value_limit

    @property
    def max_lifetime(self) -> timedelta | None:
        """How long a session lives at most after it was generated; None without such a limit."""
        return self._max_lifetime

    @property
    def max_inactivity(self) -> timedelta | None:
        """How long it lives at most after it was last extended; None without such a limit."""
        return self._max_inactivity

    def _capped(self, granted: timedelta | None) -> timedelta | None:
        """Return a session's own period, as far as `max_inactivity` allows it."""
        if granted is None or self._max_inactivity is None:
            return granted
        return min(granted, self._max_inactivity)

    def _period(self, period: Period | None) -> timedelta:
        """Return `period` as a `timedelta`, or the default period."""
        return self.default_period if period is None else as_period(period)

    def _encoded(self, value: Mapping[str, JSON] | None) -> bytes | None:
        """Return the JSON text of a value. Raises as `encode_value` does."""
        return None if value is None else encode_value(value, limit=self._value_limit)
