"""Signing in and out: what a session says about its user, and what a handler asks for."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from pgsession.core.login import Login, Signing, checked_optional, checked_user_id
from pgsession.core.period import Period, as_period, as_positive
from pgsession.core.tracked import TrackedDict
from pgsession.errors import ProofMissingError, SessionError


class SigningSession(TrackedDict):
    """A session that knows its user."""

    __slots__ = ()

    @property
    def user_id(self) -> str | None:
        """The user who is signed in, or None for a visitor."""
        self.mark_accessed()
        return self._state.user_id

    @property
    def stamp(self) -> str | None:
        """The stamp that the last `login` was given, or None."""
        self.mark_accessed()
        user = self._state.signing.login or self._state.user
        return None if user is None else user.stamp

    @property
    def label(self) -> str | None:
        """The name of the device that the last `login` was given, or None."""
        self.mark_accessed()
        user = self._state.signing.login or self._state.user
        return None if user is None else user.label

    @property
    def actor_id(self) -> str | None:
        """The administrator who is signed in as this user, or None."""
        self.mark_accessed()
        user = self._state.signing.login or self._state.user
        return None if user is None else user.actor_id

    @property
    def device_bound(self) -> bool:
        """True if the session is bound to the browser's device, and the request came with a proof.

        False in a process without `device_binding`: it looks at no proof.
        """
        self.mark_accessed()
        state = self._state
        if state.user is None or state.signing.login is not None:
            return False
        return state.proof_ends is not None and not state.proof_missing

    @property
    def proof_missing(self) -> bool:
        """True if the session is bound to a device and the request came without its proof.

        The session is empty then, even if the visitor has one, and only `login` and
        `logout` work: any other change raises `ProofMissingError`. It becomes True too
        when the proof of a long request ends: the session has ended for that request.
        """
        return self._state.proof_missing

    def require_device_binding(self) -> None:
        """Raise `ProofMissingError` unless the session is bound to the device of the browser.

        For a place where the application insists on it. To refuse whole paths, use the
        setting of the same name.
        """
        if not self.device_bound:
            raise ProofMissingError

    @property
    def authenticated_at(self) -> datetime | None:
        """When the user last proved who they are: at a `login` or `confirm`. None for a visitor.

        It is the database's time, except in the request that signs in.
        """
        self.mark_accessed()
        if self._state.is_proved_now:
            return datetime.now(UTC)
        user = self._state.user
        return None if user is None else user.authenticated_at

    def is_fresh(self, within: Period) -> bool:
        """Return True if the user has proved who they are no longer than `within` ago.

        `within` is a `timedelta` or seconds; `InvalidPeriodError` is raised for anything else.
        Ask for the password again before a dangerous action if not, and call
        `confirm` (OWASP ASVS 7.5). False for a visitor. The age is the
        database's; no application's clock is compared with it.
        """
        self.mark_accessed()
        longest, state = as_period(within), self._state
        if state.is_proved_now:
            return longest > timedelta(0)
        if state.user is None:
            return False
        since = timedelta(seconds=time.monotonic() - state.signed_in_as_of)
        age = state.user.authenticated_for
        return timedelta(0) <= age and age + since <= longest

    def login(
        self,
        user_id: str,
        *,
        period: Period | None = None,
        keep: Iterable[str] | None = None,
        stamp: str | None = None,
        label: str | None = None,
        actor_id: str | None = None,
    ) -> None:
        """Sign a user in: bind the session to them, under a new key, with this response.

        Call it once the user has proved who they are. The key from before is
        worthless then (OWASP: session fixation). What a visitor has collected
        stays, or of that what `keep` names, if that is given. What belongs to
        another user goes. A login of the same user keeps the content.

        - `user_id`: 1 to 255 characters; of a number or a UUID, ``str(…)``.
        - `period`: how long the session lives after its last use, as `Session.period`; the
          default period if it is left out.
        - `stamp`: a short text to compare later, such as a counter in the table of users that
          each change of the password raises; see docs/how-to/passwords.md.
        - `label`: the name of the device, such as "work laptop".
        - `actor_id`: the administrator who signs in as this user. It is shown in the
          list of devices, and does not count for `max_sessions`.

        Raises `TypeError` or `ValueError` for texts that cannot be stored,
        `InvalidPeriodError` for a period that is not positive,
        `ResponseStartedError` once the response has started, and `SessionError`
        if the store keeps no users. Nothing has changed then. If a foreign key
        refuses the user, the commit raises `UnknownUserError`: at `save`, or when the
        response starts.
        """
        self.mark_accessed()
        self._check_not_started()
        self._check_users()
        login = Login(
            checked_user_id(user_id),
            checked_optional(stamp, named="stamp"),
            checked_optional(label, named="label"),
            None if actor_id is None else checked_user_id(actor_id, named="actor_id"),
        )
        granted = None if period is None else as_positive(period)
        if isinstance(keep, str):
            raise TypeError("keep must be a list of names, not one str.")
        state = self._state
        before = state.signing.login or state.user
        if before is not None and (before.user_id, before.actor_id) != (user_id, actor_id):
            self.clear()
        elif before is None and keep is not None:
            if state.typed is not None:
                state.typed.check(self)
            self._clear_but(frozenset(keep))
        state.granted = granted
        state.period_changed += 1
        state.signing = Signing(login, state.cleared, calls=state.signing.calls + 1)

    def confirm(self) -> None:
        """Record that the user has just proved again who they are; give the session a new key.

        `is_fresh` is True afterwards, and `max_lifetime` begins anew. Raises
        `SessionError` if nobody is signed in or the store keeps no users, and
        `ResponseStartedError` once the response has started.
        """
        self.mark_accessed()
        self._check_not_started()
        self._check_users()
        state = self._state
        if state.user_id is None:
            raise SessionError("confirm() is for a user who is signed in: call login() first.")
        signing = state.signing
        state.signing = replace(signing, is_confirmed=True, calls=signing.calls + 1)

    def logout(self) -> None:
        """Sign the user out: end this session.

        Its row is removed before the response is sent, even if another request
        renews it meanwhile; and the response deletes the cookie. Members that are
        set afterwards begin a new session. Once the response has started, the row is
        removed at `save`, or when the request ends. Raises `RequestEndedError` after
        the request.
        """
        self.clear()
        state = self._state
        state.period_changed += state.granted is not None
        state.granted = None
        state.signing = Signing(is_logout=True, calls=state.signing.calls + 1)

    def _clear_but(self, names: Collection[str]) -> None:
        """Do as `clear`, and keep these members."""

    def _check_not_started(self) -> None:
        """Raise `ResponseStartedError` once the response has started."""

    def _check_users(self) -> None:
        """Raise `SessionError` if the store keeps no users."""
