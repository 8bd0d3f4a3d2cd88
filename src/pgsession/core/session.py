"""The mapping that a handler uses as ``request.session``."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any, Protocol

from pgsession.core.baseline import Baseline
from pgsession.core.content import ContentState
from pgsession.core.period import DEFAULT_PERIOD, Period, as_period, as_positive
from pgsession.core.store import DEFAULT_EXCLUSIVE_TIMEOUT, Entry
from pgsession.core.users import Device
from pgsession.core.value import encode_text
from pgsession.errors import ResponseStartedError, SessionError


class Attachment(Protocol):
    """What attaches a session to a request and a store, as the session sees it."""

    #: True once the response has started, so that no cookie can be set any more.
    started: bool

    @property
    def is_writing(self) -> bool:
        """True while a task of the request writes to the store."""
        ...

    @property
    def default_period(self) -> timedelta:
        """The period of a session that has none of its own."""
        ...

    @property
    def value_limit(self) -> int:
        """The largest session, in bytes of its JSON text."""
        ...

    @property
    def handle(self) -> str | None:
        """The handle of the row, or None without a row."""
        ...

    def check_users(self) -> None:
        """Raise `SessionError` if the store keeps no users."""
        ...

    async def devices(self, user_id: str) -> list[Device]:
        """Return the sessions of a user, the current one first."""
        ...

    async def ended(self) -> None:
        """Return when the session has ended."""
        ...

    def lasting(self) -> AbstractAsyncContextManager[None]:
        """Cancel the block when the session has ended."""
        ...

    async def save(self) -> None:
        """Commit the changes."""
        ...

    async def reload(self) -> None:
        """Read the row again."""
        ...

    def exclusive(self, timeout: timedelta) -> AbstractAsyncContextManager[None]:
        """Hold the session's lock."""
        ...

    async def take(self, name: str, default: object) -> Any:  # noqa: ANN401 - JSON
        """Remove a member and return it, only once."""
        ...


class Session(ContentState):
    """A `dict` with the content of one session, valid during one request.

    It is saved when the response starts. Changes are found by comparing the
    content with what was loaded: a change deep inside a member counts, a value
    that was set back does not, and True differs from 1.

    A copy or a pickle is a plain `dict`. The repr shows neither content nor key.

    ``Session({"user": "ann"})`` is a session with this content, unchanged, that belongs to no
    request, for the test of a function that takes one.
    """

    #: True if the store could not answer and `on_unavailable` is "anonymous". The session is
    #: empty, even if the visitor has one, and raises `StoreUnavailableError` when it is changed.
    is_unavailable: bool = False

    #: The request and the store of this session; None after the request.
    attachment: Attachment | None = None

    _default_period: timedelta = DEFAULT_PERIOD

    def __init__(
        self,
        entry: Entry | dict[str, Any] | None = None,
        *,
        default_period: timedelta | None = None,
        limit: int | None = None,
        attachment: Attachment | None = None,
    ) -> None:
        if entry is not None:
            if isinstance(entry, dict):
                entry = Entry(entry, self._default_period)
            value, _, granted, _, _, _, _, signed_in = entry
            self.is_new = False
            if signed_in is not None:
                self.note_signed_in(signed_in)
            if granted is not None:
                self._granted = granted
            if value:
                if type(value) is dict:
                    dict.update(self, value)
                    self._stored = Baseline(encode_text(value))
                else:
                    dict.update(self, dict.items(value))
                    self._stored = self._baseline_of(value)
        if attachment is not None:
            self.attachment = attachment
        if default_period is not None:
            self._default_period = default_period
        if limit is not None:
            self._limit = limit

    def __repr__(self) -> str:
        return f"<Session is_new={self.is_new} accessed={self.accessed}>"

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        """Make copies and pickles plain dicts: only the original belongs to the request."""
        self.mark_accessed()
        return dict, (dict(dict.items(self)),)

    def renew(self) -> None:
        """Give the session a new key with this response. The old key ends at once.

        Call it whenever the privileges of a visitor change, above all at
        login: then a key that an attacker planted before is worthless (OWASP:
        session fixation). The content stays. Raises `ResponseStartedError`
        once the response has started, because the browser cannot get the new
        key any more.
        """
        self.mark_accessed()
        self._check_not_started()
        self._renewed += 1

    @property
    def renewed(self) -> bool:
        """True once `renew()` was called."""
        return self._renewed > 0

    @property
    def period(self) -> timedelta:
        """How long the session lives after its last use.

        Set it to a `timedelta` or seconds, for "remember me": the session
        keeps this period for all later requests. Set it to None to go back to
        the default. Raises `InvalidPeriodError` unless it is positive (to end
        a session, clear it) and `ResponseStartedError` once the response has
        started.
        """
        if self._granted is not None:
            return self._granted
        if self.attachment is not None:
            return self.attachment.default_period
        return self._default_period

    @period.setter
    def period(self, period: Period | None) -> None:
        self.mark_accessed()
        self._check_not_started()
        granted = None if period is None else as_positive(period)
        self._period_changed += granted != self._granted
        self._granted = granted

    @property
    def granted(self) -> timedelta | None:
        """The session's own period, or None if it has the default period."""
        return self._granted

    @property
    def period_changed(self) -> bool:
        """True if `period` was set to another value than was loaded."""
        return self._period_changed > 0

    async def save(self) -> None:
        """Commit the changes now, not only when the response starts.

        Use it in a WebSocket, in a long task, or before another server reads
        the session. The expiry stays as it is, unless `period` was set. It
        commits at once in an `exclusive` block too.

        Raises `SessionNotFoundError` if the session has ended since it was
        loaded, `ResponseStartedError` if it has no row yet and the response
        has started, `InvalidValueError` for a value that cannot be stored, and
        `StoreUnavailableError`.
        """
        await self._attached().save()

    async def reload(self) -> None:
        """Read the session again, and keep the changes that are not saved.

        A session without a row stays as it is. Raises `SessionNotFoundError`
        if the session has ended since it was loaded, `InvalidValueError` for
        a changed value that cannot be stored, and `StoreUnavailableError`.
        """
        await self._attached().reload()

    def exclusive(
        self, timeout: Period = DEFAULT_EXCLUSIVE_TIMEOUT
    ) -> AbstractAsyncContextManager[None]:
        """Run a block under the session's lock: ``async with session.exclusive(): …``.

        The session is reloaded when the lock is acquired, and its changes are
        committed at the end of the block. Other requests that ask for the lock
        of this session wait; requests that do not ask never wait. If the block
        raises, what it did to the session is undone, except what `save` and
        `take` have committed. Blocks of one request cannot be nested; that is a
        `SessionError`.

        Raises `StoreBusyError` if the lock cannot be acquired within `timeout`
        (a `timedelta` or seconds), or if too many locks of other sessions are
        held, and the errors of `reload` and `save`.
        """
        return self._attached().exclusive(as_period(timeout))

    async def take(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - JSON
        """Remove ``session[name]`` and return it, or return `default` if there is none.

        If several requests take the same member, in any processes, exactly one
        gets it. Use it for OAuth states, nonces and one-time messages. It is
        committed at once, and stays so if it is called in an `exclusive` block
        that raises. Raises `StoreUnavailableError`.
        """
        return await self._attached().take(name, default)

    @property
    def handle(self) -> str | None:
        """Names this session among those of its user: the `Device.handle` of this session.

        It opens nothing, and stays the same for the session's whole life. None if
        the session has no row yet. Raises `RequestEndedError` after the request.
        """
        self.mark_accessed()
        return None if self.attachment is None else self.attachment.handle

    async def devices(self) -> list[Device]:
        """Return the living sessions of the user, this one first; none for a visitor.

        The others follow with those seen last first. Raises `StoreUnavailableError`,
        `RequestEndedError` after the request, and `SessionError` if the store keeps no
        users.
        """
        attachment, user_id = self._attached(), self.user_id
        return [] if user_id is None else await attachment.devices(user_id)

    async def ended(self) -> None:
        """Return when the session has ended: for a WebSocket, a stream of events, a long poll.

        It ends with a logout or a login in any process, when it is revoked, when
        its row is deleted, and when it expires. A new key, of `renew`, `confirm`
        or rotation, does not end it. It is noticed within `watch_every`, 1.5
        seconds by default, once the database answers.

        After a logout of this request itself this returns at once; what waits by then
        is told when the logout is committed, so `save` after it. After its login the
        session that it has logged in to counts. A session without a row does not
        end. Waiting does not extend a session. While the database is away this goes on
        waiting, without an error.

        Raises `SessionError` if the store keeps no users, and `RequestEndedError` after
        the request. It is cancelled if it still waits when the request ends.
        """
        await self._attached().ended()

    def lasting(self) -> AbstractAsyncContextManager[None]:
        """Run a block while the session lasts: ``async with session.lasting(): …``.

        When the session ends, as in `ended`, the block is cancelled, and
        `SessionEndedError` is raised out of it; also if it was done first, and at its
        start if the session has ended already. A cancellation by others stays one, as
        with `asyncio.timeout`. In a task that outlives the request, the block is watched
        until it is done.

        Raises `SessionError` if the store keeps no users, and `RequestEndedError` if it
        is entered after the request.
        """
        return self._attached().lasting()

    def _attached(self) -> Attachment:
        self.mark_accessed()
        if self.attachment is None:
            raise SessionError(
                "This session belongs to no request, so it has no store. Use request.session."
            )
        return self.attachment

    def _is_writing(self) -> bool:
        return self.attachment is not None and self.attachment.is_writing

    def _max_size(self) -> int:
        return self._limit if self.attachment is None else self.attachment.value_limit

    def _check_users(self) -> None:
        if self.attachment is not None:
            self.attachment.check_users()

    def _check_not_started(self) -> None:
        if self.attachment is not None and self.attachment.started:
            raise ResponseStartedError
