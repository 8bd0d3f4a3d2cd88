"""Visitors who come with a session from before a switch: it is taken over, once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from starlette.types import Scope

from pgsession.asgi.cross_site import comes_without_cookie, is_cross_site
from pgsession.asgi.old_cookies import OldCookies
from pgsession.core.adoption import Adopted, AdoptingStore, Adoption, as_adopting_store, marker_of
from pgsession.core.cookie import Cookie
from pgsession.core.cookie_attributes import SameSite
from pgsession.core.hidden import Hidden, HiddenBytes
from pgsession.core.login import checked_user_id
from pgsession.core.observer import Observer
from pgsession.core.origins import judge
from pgsession.core.period import Period
from pgsession.core.predecessor import (
    Content,
    Derivation,
    OldSession,
    Predecessor,
    check_other_secret,
    end_of,
    fingerprint,
    remembered_for,
    seed_of,
)
from pgsession.core.store import Entry, Store
from pgsession.errors import InvalidValueError, UnknownUserError

_SECURE: Final = frozenset({"https", "wss"})

#: Headers in which a proxy names the address of the browser, before those of other proxies.
_ADDRESSES: Final = (b"x-forwarded-for", b"forwarded", b"x-real-ip")

#: What tells browsers apart that have the same old cookie, beside the address.
_MARKS: Final = (b"user-agent", b"accept-language")


@dataclass(frozen=True, slots=True)
class TakenOver:
    """What has become of the old session of a request. The repr shows no key."""

    #: The key of the session that has taken it over, or those that this may have had.
    keys: Sequence[Hidden] = field(repr=False)
    #: The session; None if it has ended or was renewed, and for an old one that does not count,
    #: is empty or cannot be kept.
    entry: Entry | None = None


class Takeover:
    """Takes over the sessions of a predecessor, for one middleware.

    `trusted` are further origins of the site, as `checked_origins` returns them. Raises
    `SettingsError` if one of our secrets is also one of the predecessor.
    """

    def __init__(
        self,
        predecessor: Predecessor,
        cookie: Cookie,
        store: Store,
        *,
        trusted: frozenset[str] = frozenset(),
        observer: Observer | None = None,
    ) -> None:
        check_other_secret(predecessor, cookie.secret_keys)
        self._observer = observer
        self._predecessor = predecessor
        self._same_site: SameSite = cookie.same_site
        self._trusted = trusted
        self._store: AdoptingStore = as_adopting_store(store)
        self._cookies = OldCookies(predecessor, cookie, store)
        self._derivation = Derivation(cookie.secret_keys, cookie.name)
        self._end = end_of(predecessor.until).timestamp()

    async def session_of(self, scope: Scope, *, period: Period | None) -> TakenOver | None:
        """Return what has taken over the old session of a request.

        None if the request comes without a valid old cookie. Of several, the first whose
        session lives counts. Raises `StoreUnavailableError` if that cannot be found
        out now.
        """
        if time.time() >= self._end:
            return None
        values = self._cookies.find(scope["headers"])
        if not values or self._is_of_others(scope):
            return None
        keys: dict[Hidden, None] = {}
        for value in values:
            old = await self._cookies.load(value)
            if old is not None:
                taken = await self._take(old, scope, period)
                if taken.entry is not None:
                    return taken
                keys.update(dict.fromkeys(taken.keys))
        return TakenOver(tuple(keys)) if keys else None

    async def deletion(self, scope: Scope, *, is_ended: bool, is_known: bool) -> Sequence[bytes]:
        """Return the Set-Cookie text that deletes the old cookie; see `OldCookies.deletion`."""
        if time.time() >= self._end:
            return ()
        headers = scope["headers"]
        return await self._cookies.deletion(headers, is_ended=is_ended, is_known=is_known)

    def _is_of_others(self, scope: Scope) -> bool:
        """Return True for a request of another site with which our cookie would not come.

        Browsers may say of a WebSocket only which origin opens it.
        """
        if comes_without_cookie(scope, self._same_site):
            return True
        if self._same_site == "strict" and is_cross_site(scope):
            return True
        return (
            scope["type"] == "websocket"
            and judge(
                scope["headers"],
                method=None,
                is_secure=scope.get("scheme") in _SECURE,
                trusted=self._trusted,
            )
            is not None
        )

    async def _take(self, old: OldSession, scope: Scope, period: Period | None) -> TakenOver:
        try:
            adoption = self._adoption(old, scope)
        except Exception as error:  # noqa: BLE001 - the application's own `user_id` may raise anything
            self._cookies.report(error)
            return TakenOver(self._derivation.keys(seed_of(old)))
        found = None
        if (old.content or adoption.user_id is not None) and await self._cookies.accepts(old):
            found = await self._adopt(old, adoption, period)
        return TakenOver(adoption.keys) if found is None else TakenOver([found.key], found.entry)

    async def _adopt(
        self, old: OldSession, adoption: Adoption, period: Period | None
    ) -> Adopted | None:
        try:
            found = await self._store.adopt(adoption, period=period)
        except (InvalidValueError, UnknownUserError) as error:
            self._cookies.report(error)
            return None
        # A number that was raised says that the browser has our cookie: this is a copy of the old.
        if found is None or found.entry.number or not await self._counts_still(old, found):
            return None
        if found.is_new and self._observer is not None:
            self._observer.adopt()
        return found

    async def _counts_still(self, old: OldSession, found: Adopted) -> bool:
        """Ask `accept` again, and end a new session of one that counts no more."""
        # The row is committed: a change of the password that was committed before this question is
        # seen now, and one that ends sessions after it finds the row. Requests that have found the
        # row ask too, as the one that has made it may be cancelled here.
        is_good = False
        try:
            is_good = await self._cookies.accepts(old)
        finally:
            if not is_good and found.is_new:
                await self._store.clear(found.key)
        return is_good

    def _adoption(self, old: OldSession, scope: Scope) -> Adoption:
        seed, user_id = seed_of(old), self._user(old.content)
        if not old.is_unique and user_id is None:
            seed = HiddenBytes(seed + _marks(scope))
        return Adoption(
            marker=marker_of(fingerprint(old.identity)),
            keys=self._derivation.keys(seed),
            content=old.content,
            remembered=remembered_for(old, self._predecessor.until),
            user_id=user_id,
        )

    def _user(self, content: Content) -> str | None:
        """Return the user. Raises what `checked_user_id` and the application's function raise."""
        user_id = self._predecessor.user_id
        found = None if user_id is None else user_id(content)
        if isinstance(found, int) and not isinstance(found, bool):
            found = str(found)
        return None if found is None or found == "" else checked_user_id(found)


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
