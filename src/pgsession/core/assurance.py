"""The longest sessions that each authenticator assurance level of NIST SP 800-63B-4 allows.

Sections 2.1.3, 2.2.3 and 2.3.3 give an overall timeout for each level, and an
inactivity timeout for levels 2 and 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from pgsession.core.period import DEFAULT_PERIOD
from pgsession.errors import SettingsError

#: AAL1, AAL2 or AAL3.
AssuranceLevel: TypeAlias = Literal[1, 2, 3]


class Assurance(Struct, frozen=True, kw_only=True):
    """The longest timeouts of one level. None means no limit."""

    level: AssuranceLevel | None = None
    #: How long a session may live after its last use.
    inactivity: timedelta | None = None
    #: How long it may live after it was created, however often it is used.
    overall: timedelta | None = None

    @classmethod
    def of(cls, level: object) -> Assurance:
        """Return the timeouts of `level`; None has no limits. Raises `SettingsError` for others."""
        if level is None:
            return cls()
        if isinstance(level, bool) or not isinstance(level, int) or level not in _LEVELS:
            raise SettingsError("assurance_level must be 1, 2 or 3: a level of NIST SP 800-63B.")
        return _LEVELS[level]

    @property
    def default_period(self) -> timedelta:
        """The period of a session if no setting gives one."""
        return DEFAULT_PERIOD if self.inactivity is None else self.inactivity

    def check_period(self, period: timedelta, *, named: str) -> None:
        """Raise `SettingsError`, with the name of the setting, if `period` is too long."""
        if self.inactivity is not None and period > self.inactivity:
            raise SettingsError(
                f"{named} is longer than assurance_level {self.level} allows: "
                f"{_format(self.inactivity)} after the last use. Shorten it, or leave it out."
            )

    def check_lifetime(self, lifetime: timedelta | None, *, named: str) -> None:
        """Raise `SettingsError`, with the name of the setting, if `lifetime` exceeds the limit.

        None is no limit at all, so it exceeds one.
        """
        if self.overall is not None and (lifetime is None or lifetime > self.overall):
            raise SettingsError(
                f"{named} is {'missing' if lifetime is None else 'too long'}: assurance_level "
                f"{self.level} allows at most {_format(self.overall)}, even for a session in use. "
                f"Set it to {_format(self.overall)} or less."
            )

    def check_inactivity(self, inactivity: timedelta | None, *, named: str) -> None:
        """Raise `SettingsError`, with the name of the setting, if `inactivity` exceeds the limit.

        None is no limit at all, so it exceeds one.
        """
        if self.inactivity is not None and (inactivity is None or inactivity > self.inactivity):
            raise SettingsError(
                f"{named} is {'missing' if inactivity is None else 'too long'}: assurance_level "
                f"{self.level} allows at most {_format(self.inactivity)} after the last use, even "
                f"for a session with a longer period. Set it to {_format(self.inactivity)} or less."
            )


_LEVELS: Final[Mapping[int, Assurance]] = {
    1: Assurance(level=1, overall=timedelta(days=30)),
    2: Assurance(level=2, inactivity=timedelta(hours=1), overall=timedelta(hours=24)),
    3: Assurance(level=3, inactivity=timedelta(minutes=15), overall=timedelta(hours=12)),
}


def _format(period: timedelta) -> str:
    """Return a period as it is written in a setting."""
    hours = period // timedelta(hours=1)
    return f"{hours}h" if hours else f"{period // timedelta(minutes=1)}m"
