"""Visitors who come with a session from before a switch: it is taken over, once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from typing import Final

from starlette.types import Scope

from pgsession.asgi.cross_site import comes_without_cookie
from pgsession.core.adoption import AdoptingStore, Adoption, as_adopting_store, marker_of
from pgsession.core.cookie import Cookie
from pgsession.core.hidden import Hidden, HiddenBytes
from pgsession.core.login import checked_user_id
from pgsession.core.period import Period
from pgsession.core.predecessor import (
    Content,
    Derivation,
    OldSession,
    Predecessor,
    end_of,
    fingerprint,
    remembered_for,
    shape_of,
)
from pgsession.core.store import Entry, Store
from pgsession.errors import InvalidValueError, StoreUnavailableError, UnknownUserError

_LOGGER = logging.getLogger("pgsession")

#: So many old cookies of one request are tried: a browser may have several of one name.
_MOST_TRIES: Final = 8

#: So many bytes of the Cookie headers are read, as of our own cookie.
_MAX_HEADER: Final = 65_536

#: Headers in which a proxy names the address of the browser, before those of other proxies.
_ADDRESSES: Final = (b"x-forwarded-for", b"forwarded", b"x-real-ip")

#: What tells browsers apart that have the same old cookie, beside the address.
_MARKS: Final = (b"user-agent", b"accept-language")


class Takeover:
    """Takes over the sessions of a predecessor, for one middleware."""

    def __init__(self, predecessor: Predecessor, cookie: Cookie, store: Store) -> None:
        self._predecessor = predecessor
        self._cookie = cookie
        self._store: AdoptingStore = as_adopting_store(store)
        self._shape = shape_of(predecessor.name)
        self._derivation = Derivation(cookie.secret_keys)
        self._end = end_of(predecessor.until).timestamp()
        self._is_reported = False
        #: The deletion of the old cookie would delete ours, which has replaced it.
        self._is_replaced = (predecessor.name, predecessor.path, predecessor.domain) == (
            cookie.name,
            cookie.path,
            cookie.domain,
        )

    async def session_of(
        self, scope: Scope, *, period: Period | None
    ) -> tuple[Hidden, Entry] | None:
        """Return the key and the entry of the session that takes over the one of a request.

        None if the request comes without a valid old cookie, or its session was taken
        over before and has ended since. Raises `StoreUnavailableError` if that cannot
        be found out now.
        """
        if time.time() >= self._end:
            return None
        values = self._find(scope["headers"])
        if not values or comes_without_cookie(scope, self._cookie.same_site):
            return None
        for value in values:
            old = await self._read(value)
            if old is not None:
                return await self._adopt(old, scope, period)
        return None

    def deletion(self, scope: Scope, *, is_ended: bool) -> Sequence[bytes]:
        """Return the Set-Cookie text that deletes the old cookie, if it is to be deleted.

        With `is_ended`, after a logout, it is deleted in any case: a process of the
        old application would still serve it.
        """
        if not (self._predecessor.delete or is_ended) or self._is_replaced:
            return ()
        if time.time() >= self._end or not self._find(scope["headers"]):
            return ()
        return [self._predecessor.deletion(self._cookie.same_site)]

    def _find(self, headers: Iterable[tuple[bytes, bytes]]) -> list[Hidden]:
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

    async def _read(self, value: Hidden) -> OldSession | None:
        """Return the old session of a cookie. Raises `StoreUnavailableError`."""
        predecessor, failure = self._predecessor, ""
        try:
            async with asyncio.timeout(self._store.timeout):
                old, accept = await predecessor.load(value), predecessor.accept
                is_good = old is not None and (accept is None or await accept(old.content))
                return old if is_good else None
        except StoreUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - the application's own client may raise anything
            failure = type(error).__name__
        # Not while the error is handled: it may quote the cookie.
        raise StoreUnavailableError(
            f"The sessions from before the switch cannot be read ({failure}). Try again."
        )

    async def _adopt(
        self, old: OldSession, scope: Scope, period: Period | None
    ) -> tuple[Hidden, Entry] | None:
        try:
            adoption = self._adoption(old, scope)
        except Exception as error:  # noqa: BLE001 - the application's own `user_id` may raise anything
            self._report(error)
            return None
        try:
            found = await self._store.adopt(adoption, period=period)
        except (InvalidValueError, UnknownUserError) as error:
            self._report(error)
            return None
        # A number that was raised says that the browser has our cookie: this is a copy of the old.
        return None if found is None or found[1].number else found

    def _adoption(self, old: OldSession, scope: Scope) -> Adoption:
        identity, user_id = fingerprint(old.identity), self._user(old.content)
        browser = identity
        if not old.is_unique and user_id is None:
            browser = HiddenBytes(identity + _marks(scope))
        return Adoption(
            marker=marker_of(identity),
            keys=self._derivation.keys(browser),
            content=old.content,
            remembered=remembered_for(old, self._predecessor.until),
            user_id=user_id,
        )

    def _user(self, content: Content) -> str | None:
        """Return the user who is signed in. Raises as `checked_user_id`, or as the application."""
        user_id = self._predecessor.user_id
        found = None if user_id is None else user_id(content)
        if isinstance(found, int) and not isinstance(found, bool):
            found = str(found)
        return None if found is None or found == "" else checked_user_id(found)

    def _report(self, error: Exception) -> None:
        """Log the first old session that cannot be kept."""
        if not self._is_reported:
            self._is_reported = True
            _LOGGER.warning(
                "A session from before the switch cannot be taken over, so its visitor starts a "
                "new one; others of this kind are not logged: %s",
                type(error).__name__,
            )


def _marks(scope: Scope) -> bytes:
    """Return what tells the browser of a request from most others: all its requests have it.

    The address of a proxy may be another one with each connection. It counts if nothing else is
    known.
    """
    headers = {name.lower(): text for name, text in scope["headers"]}
    named = (headers[name].partition(b",")[0].strip() for name in _ADDRESSES if name in headers)
    client = scope.get("client")
    address = next(named, b"" if client is None else str(client[0]).encode())
    return b"\x00".join([address, *(headers.get(name, b"") for name in _MARKS)])
