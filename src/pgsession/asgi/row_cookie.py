"""The cookie of one request's session: which one came, and when the browser must get another."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta

from starlette.types import Scope

from pgsession.asgi.cross_site import comes_without_cookie
from pgsession.asgi.policy import Policy
from pgsession.core.cookie import ROUNDING, FoundCookie, cookie_due
from pgsession.core.session import Session
from pgsession.core.state import SessionState
from pgsession.core.tracked import state_of


class RowCookie:
    """What one request knows about the cookie of its session.

    A cookie is set only if the browser must learn something: a key, another
    expiry, another secret, or that the session has ended.
    """

    # Defaults live on the class: most requests never set them.

    #: The key of the session, or None if it has no row.
    _key: str | None = None
    #: The cookie that the request came with, even if its session was not found.
    _found: FoundCookie | None = None
    #: Other cookies with the same key: the browser has several of one name.
    _copies: Sequence[FoundCookie] = ()
    #: The session of the cookie was found.
    _came_alive: bool = False
    #: The response must set or delete the cookie.
    _cookie_due: bool = False
    #: The highest number of the session's key that this request knows of.
    _number: int = 0
    #: This request has begun, renewed or ended the session.
    _has_new_key: bool = False
    #: The row's remaining period and lifetime, as of the time `_as_of` of the monotonic clock.
    _remaining: timedelta = timedelta(0)
    _lifetime: timedelta | None = None
    _as_of: float = 0.0

    session: Session
    #: What the session knows beside its content.
    state: SessionState

    def __init__(self, policy: Policy, scope: Scope, session: Session) -> None:
        self._policy = policy
        self._scope = scope
        self.use(session)

    def use(self, session: Session) -> None:
        """Make `session` the one of this request."""
        self.session, self.state = session, state_of(session)

    def _set_cookie(self) -> bytes | None:
        """Return the Set-Cookie text, with the remaining period or a deletion.

        None for a request that comes without the cookie because it is of another
        site: the browser may have one of a session that this request knows
        nothing of. Only a new key is set there.
        """
        is_new = self._has_new_key and self._key is not None
        if not is_new and self._is_cross_site():
            return None
        cookie = self._policy.cookie
        if self._key is None:
            return cookie.delete()
        if self._ends_with_browser():
            return cookie.write(self._key, None, number=self._number)
        remaining = self._remaining_now()
        return cookie.write(self._key, remaining, number=self._number)

    def _is_behind(self) -> bool:
        """Return True if the cookie in the browser is not what it should be.

        A response that should have set it was lost, another request has changed
        the period or raised the number, or the secret is a new one.
        """
        found = self._found
        if found is None or self._key is None:
            return False
        until, is_current, number = found.until, found.is_current, found.number
        is_current = is_current and number >= self._number
        if is_current and until is not None and self._policy.max_age is not None:
            # Nearly always the cookie and the row's expiry are from one response.
            end = time.time() + self._remaining.total_seconds()
            if -ROUNDING < end - until < ROUNDING:
                return False
        return self._differs(found) and all(map(self._differs, self._copies))

    def _differs(self, found: FoundCookie) -> bool:
        """Return True if a cookie is not what it should be."""
        if not found.is_current or found.number < self._number:
            return True
        if self._ends_with_browser():
            return found.until is not None
        return cookie_due(
            until=found.until,
            now=time.time(),
            remaining=self._remaining_now(),
            period=self.state.period,
            touch_after=self._policy.touch_after,
        )

    def _note_number(self, number: int) -> None:
        """Record the number of the session's row. No cookie carries a lower one."""
        self._number = max(number, self._number)

    def _ends_with_browser(self) -> bool:
        """Return True if the browser drops the cookie when it closes."""
        return self._policy.max_age is None and self.state.granted is None

    def _remaining_now(self) -> timedelta:
        if elapsed := int(time.monotonic() - self._as_of):  # zero for most requests
            return self._remaining - timedelta(0, elapsed)
        return self._remaining

    def _is_cross_site(self) -> bool:
        """Return True if the request is of another site, and so comes without the cookie.

        One that comes with the cookie of a living session does not: browsers send
        it too with a redirect of another site, back to the visitor's own.
        """
        return not self._came_alive and comes_without_cookie(
            self._scope, self._policy.cookie.same_site
        )
