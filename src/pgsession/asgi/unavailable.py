"""The session of a visitor whom the store cannot tell from a stranger."""

from __future__ import annotations

from datetime import timedelta
from typing import NoReturn

from pgsession.core.period import Period
from pgsession.core.session import Session
from pgsession.errors import StoreUnavailableError


class UnavailableSession(Session):
    """Empty, and whatever would change it raises `StoreUnavailableError`.

    So a page may be shown as to a stranger, but nobody is told that they are
    logged in, or out, who are not.
    """

    is_unavailable = True

    def __setitem__(self, *_: object) -> NoReturn:
        _refuse()

    def __delitem__(self, *_: object) -> NoReturn:
        _refuse()

    def __ior__(self, *_: object) -> NoReturn:  # type: ignore[misc] # it takes nothing
        _refuse()

    def clear(self) -> NoReturn:
        _refuse()

    def pop(self, *_: object) -> NoReturn:
        _refuse()

    def popitem(self) -> NoReturn:
        _refuse()

    def setdefault(self, *_: object) -> NoReturn:
        _refuse()

    def update(self, *_: object, **__: object) -> NoReturn:
        _refuse()

    def renew(self) -> NoReturn:
        _refuse()

    @property
    def period(self) -> timedelta:
        """How long a session lives after its last use."""
        return super().period

    @period.setter
    def period(self, period: Period | None) -> NoReturn:  # noqa: ARG002 - as the property says
        _refuse()

    async def save(self) -> NoReturn:
        _refuse()

    async def reload(self) -> NoReturn:
        _refuse()

    def exclusive(self, *_: object, **__: object) -> NoReturn:
        _refuse()

    async def take(self, *_: object, **__: object) -> NoReturn:
        _refuse()


def _refuse() -> NoReturn:
    raise StoreUnavailableError(
        "The database could not be asked for this session, which was left empty as "
        "`on_unavailable` says: it cannot be changed. Look at `is_unavailable` first."
    )
