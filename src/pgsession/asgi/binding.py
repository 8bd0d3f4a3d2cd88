"""A session bound to its row: when its changes are committed, and by which task."""

from __future__ import annotations

import time
from collections.abc import Collection, Coroutine, Sequence
from datetime import timedelta
from typing import Any, Final

from starlette.types import Scope

from pgsession import rare
from pgsession.asgi.policy import Policy
from pgsession.asgi.row import Decision
from pgsession.asgi.streams import Streams
from pgsession.asgi.unproven import withhold
from pgsession.core.content import is_empty
from pgsession.core.cookie import FoundCookie
from pgsession.core.decision import Change
from pgsession.core.keys import digest
from pgsession.core.logs import event, own_logger
from pgsession.core.session import Session, attached, fill
from pgsession.core.store import Changes, Entry, Written
from pgsession.core.users import as_user_store
from pgsession.errors import SessionNotFoundError, StoreUnavailableError

#: A request that has extended its session so many seconds ago need not ask whether it lives.
_AT_ONCE: Final = 0.05

#: How often the changes after a response are saved, if more are made meanwhile.
_LATE_SAVES: Final = 3

_LOGGER = own_logger()


class Binding(Streams):
    """One request's session, bound to its row.

    Changes are committed when the response starts (`commit`), when the
    application's call ends (`commit_late`), and when a handler asks for it
    (`Operations`).
    """

    # Defaults live on the class: most requests never set them.

    #: No cookie of a session came with the request.
    _is_visitor: bool = True
    #: The session is one from before a switch, and the browser has no cookie of it.
    _is_taken_over: bool = False
    #: The request came with a valid cookie from before a switch.
    _has_old: bool = False
    #: The request has failed: it commits nothing any more.
    _discarded: bool = False

    session: Session

    def __init__(self, policy: Policy, scope: Scope) -> None:
        super().__init__(policy, scope, attached(Session, self))

    def begin_with(self, found: FoundCookie, entry: Entry | None) -> None:
        """Begin with the cookie that came with the request, and what the store has for its key."""
        self._found, self._is_visitor = found, False
        if self._unproven is not None:  # a login or a logout ends the session of the cookie
            self._lost_key, self._came_alive, self._lost = found.key, True, True
            withhold(self.session)
            return
        if entry is not None:
            self._came_alive = True
            self._key = found.key
            fill(self.session, self.state, entry)
            if self._is_proved:
                self.state.proof_ends = self._judged_until
            self._note_entry(entry)

    def begin_with_old(
        self, found: FoundCookie, entry: Entry | None, others: Sequence[str] = ()
    ) -> None:
        """Begin with a session from before a switch, whose key the browser must learn.

        `found` is the cookie that it would have. `entry` is None if the session has ended, and
        without the proof that it needs. Then `found` counts as a stale cookie of ours: another
        response may have set the cookie of a login. `others` are keys that it may have had too.
        """
        self._has_old, self._old_keys = True, others
        self.begin_with(found, entry)
        if entry is not None:
            self._found = None
            self._is_taken_over = self._cookie_due = self._has_new_key = True

    @property
    def value_limit(self) -> int:
        """The largest session, in bytes."""
        return self._policy.store.value_limit

    @property
    def handle(self) -> str | None:
        """The handle of the row, or None without a row."""
        return None if self._key is None else digest(self._key)

    @property
    def remaining(self) -> timedelta | None:
        """How long the row still lives, or None without a row."""
        return None if self._key is None else self._remaining_now()

    async def devices(self, user_id: str) -> list[rare.Device]:
        """Return the sessions of a user; see `Session.devices`."""
        if self._judged_until is not None:
            async with self._hold_task_lock():
                await self.judge_again()
        if self._is_gone:
            raise SessionNotFoundError
        found = await as_user_store(self._policy.store).devices(user_id)
        return rare.in_listing_order(found, current=self.handle)

    def note_ended(self, handles: Collection[str]) -> None:
        """Record that sessions have ended in a transaction of the application's."""
        self._remember_ended(handles)
        self._twins = [key for key in self._twins if digest(key) not in handles]
        if self.handle in handles:
            self._lose()

    def discard(self) -> None:
        """Commit nothing from now on: the request has failed."""
        self._discarded = True

    async def commit(self, *, extend: bool) -> bytes | None:
        """Make the one change that the request asks for. Return a Set-Cookie text if one is due.

        With `extend=False` the session is not extended just because that is due.
        A session that was not used has no changes, so it is not compared.
        """
        is_used = extend or self.state.accessed or self._task_lock is not None
        if is_used and not self._discarded:
            decision = self._decide(touch=extend)
            if decision[0] is not Change.NOTHING or self._task_lock is not None:
                try:
                    await self._commit(decision, extend=extend)
                except SessionNotFoundError:
                    _log_end()
                    return None
                except StoreUnavailableError as error:
                    if decision[0] is not Change.TOUCH or self.state.period_changed:
                        raise
                    self._policy.extension_pause.begin(error)
                    return None
            if extend and self._is_behind():
                if not await self._announce_cookie():
                    return None
                self._cookie_due = True
        if self._surplus_of is not None:
            await self._end_surplus(self._surplus_of)
        if not self._cookie_due or not await self._is_still_alive():
            return None
        return self._set_cookie()

    def may_merge(self) -> bool:
        """Return True if `merge` does what `commit` would do, where members are all that changed.

        That is what most requests do that write. `Outcome` and `decide` name the other cases.
        """
        state = self.state
        return not (
            state.cleared
            or self._discarded
            or self._is_committing
            or self._waiter is not None
            or is_empty(self.session)
        )

    async def merge(self) -> None:
        """Merge the members that have changed into the living session. See `may_merge`.

        Raises `InvalidValueError` for a changed value that cannot be stored, and
        `StoreUnavailableError`. If the session has ended, that is recorded.
        """
        state, key, wishes = self.state, self._key, self.state.wishes
        changes = state.changes(self.session)
        if key is None or not changes:
            return
        self._is_committing = True
        try:
            written = await self._merge(key, changes)
        except SessionNotFoundError:
            self._lose()
            _log_end()
        else:
            self._note_written(written)
            state.acknowledge(changes, is_new=False, wishes=wishes)
        finally:
            self._is_committing = False
            self._release_task_lock()

    def _merge(self, key: str, changes: Changes) -> Coroutine[Any, Any, Written]:
        return self._policy.store.merge(key, changes)

    async def _end_surplus(self, user_id: str) -> None:
        """End the sessions that are more than `max_sessions`, now that the login is committed."""
        most = self._policy.max_sessions
        if most is not None:
            await as_user_store(self._policy.store).end_surplus(user_id, most)
            if self.ended_within:
                self._surplus_due = user_id
        self._surplus_of = None

    @property
    def is_due_again(self) -> bool:
        """True if something waits for the end of the application's own transaction."""
        return bool(self._logouts_due) or self._surplus_due is not None

    async def do_again(self) -> None:
        """Do what may have met sessions that the application's own transaction had ended.

        If that was rolled back, they live.
        """
        logouts, self._logouts_due = self._logouts_due, ()
        user_id, self._surplus_due = self._surplus_due, None
        self._forget_ended()
        users = as_user_store(self._policy.store)
        for key, login_number in logouts:
            await users.logout(key, login_number)
        if user_id is not None:
            await self._end_surplus(user_id)

    async def _announce_cookie(self) -> bool:
        """Extend the session before a cookie is set again, if its number may be raised meanwhile.

        The number is not raised within the grace after that, so this cookie cannot
        arrive after one with the next number. Return False if no cookie can be set.
        """
        policy, key = self._policy, self._key
        if key is None or self._is_announced or not (policy.rotation.every or self._number):
            return True
        try:
            async with self._hold_task_lock():
                written = await policy.store.touch(key, period=self.default_period)
        except SessionNotFoundError:
            self._lose()
            return False
        except StoreUnavailableError as error:
            policy.extension_pause.begin(error)
            return False  # the next response sets the cookie
        self._note_written(written)
        self._note_extended(self.state.granted or self.default_period)
        return True

    async def _is_still_alive(self) -> bool:
        """Return False if another request has ended or renewed the session since it was loaded.

        The browser may have the cookie of a renewal by then, and this one would
        overwrite it. A request that has just extended the session need not ask.
        """
        if self._key is None:
            return True
        if self._is_announced and time.monotonic() - self._as_of < _AT_ONCE:
            return True
        try:
            entry = await self._policy.store.get(self._key)
        except StoreUnavailableError:
            return False  # the next response sets the cookie
        if entry is None:
            self._lose()
            return False
        if not self._may_keep(entry):
            self._lose_proof()
            return False
        self._note_number(entry.number)
        return True

    async def _commit(self, decision: Decision, *, extend: bool) -> None:
        if self._task_lock is not None or self._is_committing:  # another task uses the store
            async with self._hold_task_lock():
                decision = self._decide(touch=extend)
                await self._execute(decision, self._policy.store, extend=extend)
            return
        self._is_committing = True
        try:
            await self._execute(decision, self._policy.store, extend=extend)
        finally:
            self._is_committing = False
            self._release_task_lock()

    def _release_task_lock(self) -> None:
        if self._task_lock is not None:  # made by a task that waits for `_commit`
            self._task_lock.release()

    async def commit_late(self) -> None:
        """Commit what changed after the response had started, if the session has a row.

        What is changed meanwhile is committed too, unless that goes on and on.
        """
        for _ in range(_LATE_SAVES):
            if self._discarded or self._is_dropped or not self.session.modified:
                return
            if self._lost and not self.state.signing.is_logout:
                return
            if self._key is None and not is_empty(self.session):
                _LOGGER.warning(
                    "A session was filled after the response had started, when its cookie could no "
                    "longer be set: its content is lost. Fill it before the response starts.",
                    extra=event("content_lost"),
                )
                return
            try:
                await self.save()
            except SessionNotFoundError:
                _LOGGER.info(
                    "A session ended before the changes of a long response were saved.",
                    extra=event("session_ended_meanwhile"),
                )
                return
        if self.session.modified:
            _LOGGER.warning(
                "A task changed a session again and again after its response: the last change is "
                "lost. Let the request wait for the task, or call session.save() in it.",
                extra=event("last_change_lost"),
            )


def _log_end() -> None:
    _LOGGER.info(
        "A session ended while a request that changed it was in flight.",
        extra=event("session_ended_meanwhile"),
    )
