"""The cookies from before a switch: which came, what sessions they open, and their deletion."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from typing import Final, TypeVar

from pgsession.core.cookie import Cookie
from pgsession.core.cookie_attributes import SameSite
from pgsession.core.hidden import Hidden
from pgsession.core.logs import event, own_logger
from pgsession.core.predecessor import OldSession, Predecessor, shape_of
from pgsession.core.store import Store
from pgsession.errors import InvalidValueError, StoreUnavailableError

_LOGGER = own_logger()

_AnswerT = TypeVar("_AnswerT")

#: So many old cookies of one request are tried: a browser may have several of one name.
_MOST_TRIES: Final = 8

#: So many bytes of the Cookie headers are read, as of our own cookie.
_MAX_HEADER: Final = 65_536


class OldCookies:
    """The cookies of a predecessor, as they come to one middleware."""

    def __init__(self, predecessor: Predecessor, cookie: Cookie, store: Store) -> None:
        self._predecessor = predecessor
        self._store = store
        self._same_site: SameSite = cookie.same_site
        self._shape = shape_of(predecessor.name)
        self._is_reported = False
        #: The deletion of the old cookie would delete ours, which has replaced it.
        self._is_replaced = (predecessor.name, predecessor.path, predecessor.domain) == (
            cookie.name,
            cookie.path,
            cookie.domain,
        )

    def find(self, headers: Iterable[tuple[bytes, bytes]]) -> list[Hidden]:
        """Return the values of the first old cookies that came, each once."""
        found: dict[Hidden, None] = {}
        left = _MAX_HEADER
        for header, text in headers:
            if header.lower() == b"cookie":
                for pair in self._shape.finditer(text[:left]):
                    found[Hidden(pair[1], "ascii")] = None
                    if len(found) == _MOST_TRIES:
                        return list(found)
                left = max(0, left - len(text))
        return list(found)

    async def load(self, value: Hidden) -> OldSession | None:
        """Return the old session of a cookie, or None. Raises `StoreUnavailableError`."""
        return await self._asked(self._load(value))

    async def accepts(self, old: OldSession) -> bool:
        """Return whether an old session counts. Raises `StoreUnavailableError`."""
        accept = self._predecessor.accept
        return accept is None or bool(await self._asked(accept(old.content)))

    async def deletion(
        self, headers: Iterable[tuple[bytes, bytes]], *, is_ended: bool, is_known: bool
    ) -> Sequence[bytes]:
        """Return the Set-Cookie text that deletes the old cookie, if it is to be deleted.

        With `is_ended`, after a logout, it is deleted in any case: a process of the
        old application would still serve it. It is left if it opens no old session, as
        it is another middleware's then; `is_known` says that it does. Raises
        `StoreUnavailableError` if that cannot be found out after a logout.
        """
        if not (self._predecessor.delete or is_ended) or self._is_replaced:
            return ()
        values = self.find(headers)
        try:
            if not values or not (is_known or await self._asked(self._is_any_old(values))):
                return ()
        except StoreUnavailableError:
            if is_ended:
                raise
            return ()  # a later response does it
        return [self._predecessor.deletion(self._same_site)]

    def report(self, error: Exception) -> None:
        """Log the first old session that cannot be kept."""
        if not self._is_reported:
            self._is_reported = True
            _LOGGER.warning(
                "A session from before the switch cannot be taken over, so its visitor starts a "
                "new one; others of this kind are not logged: %s",
                type(error).__name__,
                extra=event("old_session_unreadable"),
            )

    async def _load(self, value: Hidden) -> OldSession | None:
        try:
            return await self._predecessor.load(value)
        except InvalidValueError as error:
            self.report(error)
            return None

    async def _is_any_old(self, values: Iterable[Hidden]) -> bool:
        for value in values:
            if await self._load(value) is not None:
                return True
        return False

    async def _asked(self, question: Awaitable[_AnswerT]) -> _AnswerT:
        """Return the answer of the application's own code. Raises `StoreUnavailableError`."""
        failure = ""
        try:
            async with asyncio.timeout(self._store.timeout):
                return await question
        except StoreUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - the application's own client may raise anything
            failure = type(error).__name__
        # Not while the error is handled: it may quote the cookie.
        raise StoreUnavailableError(
            f"The sessions from before the switch cannot be read ({failure}). Try again."
        )
