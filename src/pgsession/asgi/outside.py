"""A session that is open outside of a request: no response can set its cookie."""

from __future__ import annotations

import time
from typing import Final, NoReturn

from starlette.types import Scope

from pgsession.asgi.binding import Binding
from pgsession.asgi.ended import end
from pgsession.asgi.exchange import Exchange
from pgsession.asgi.policy import Policy
from pgsession.asgi.reference import Reference
from pgsession.core.cookie import FoundCookie
from pgsession.core.decision import Change
from pgsession.core.session import Session
from pgsession.core.store import Entry, Store
from pgsession.core.undecoded import UndecodedMembers, undecoded_class
from pgsession.errors import (
    ProofMissingError,
    ResponseStartedError,
    SessionNotFoundError,
    StoreUnavailableError,
)

_ENDED: Final = (
    "The session has ended, has expired or has got a new key since: sign-outs, logins and renewals "
    "do that. Ask the client to connect again."
)
_TOO_OLD: Final = (
    "The cookie was replaced by a rotation since. Keep the session that was opened with it first, "
    "and open that session from then on; or ask the client to connect again."
)
_CHANGES_LOST: Final = (
    "The session ended or got a new key while it was open: its changes are not saved."
)
NO_PROOF: Final = (
    "The session is bound to a device, and what was opened comes with no proof that is in time. "
    "Do this in a request, or let the client connect again: its browser proves the device then."
)
_NO_COOKIE_CAN_BE_SET: Final = (
    "No response can set a cookie outside of a request. Begin, renew or prolong a session, and "
    "sign in, in a request."
)


class OutsideSession(Session):
    """A session that is open outside of a request."""

    __slots__ = ()

    def _check_not_started(self) -> NoReturn:
        raise ResponseStartedError(_NO_COOKIE_CAN_BE_SET)


class Outside(Exchange):
    """A session that is open outside of a request, bound to its row.

    To the code of requests it is one whose response has started. It writes
    nothing when it loads: no number of a rotation is recorded as shown, no
    binding is put in force, and no copy of a cookie ends a session.
    """

    started = True

    #: The cookie has a number that is too old.
    _is_too_old: bool = False

    def __init__(self, policy: Policy, scope: Scope) -> None:
        Binding.__init__(self, policy, scope)

    async def load_by_cookie(self) -> None:
        """Load the session of the cookie in the scope.

        Raises `SessionNotFoundError`, `ProofMissingError` and `StoreUnavailableError`.
        """
        cookie, headers = self._policy.cookie, self._scope["headers"]
        cookies = cookie.find(headers)
        if not cookies:
            raise SessionNotFoundError(
                f"The cookie {cookie.name} is signed with none of these secrets, or was altered."
                if cookie.count(headers)
                else f"There is no cookie {cookie.name} in what was opened: the client is a "
                "visitor without a session."
            )
        found, entry = await self._look_up_twins(cookies)
        if self._unproven is not None:
            raise ProofMissingError(NO_PROOF)
        if entry is None:
            raise SessionNotFoundError(_TOO_OLD if self._is_too_old else _ENDED)
        self._open(found, entry)

    async def load_by_reference(self, reference: Reference) -> None:
        """Load the session of a request. Raises the same errors."""
        entry = await self._policy.store.get(reference.key)
        if entry is None:
            raise SessionNotFoundError(_ENDED)
        self._is_proved, self._judged_until = reference.is_proved, reference.judged_until
        if not self._still_opens(entry):
            raise ProofMissingError(NO_PROOF)
        self._open(FoundCookie(reference.key, None, is_current=True, number=entry.number), entry)

    async def admit(self, found: FoundCookie, entry: Entry) -> Entry | None:
        """Return the entry if the cookie's number is good, and record nothing.

        One that is too old is usual here: a connection keeps the headers that it began with.
        """
        verdict = self._policy.rotation.judge(
            found.number, number=entry.number, shown_for=entry.shown_for
        )
        self._is_too_old = not verdict.is_good
        return entry if verdict.is_good else None

    async def keep(self, *, extend: bool) -> None:
        """Save what the block has changed. Extend the expiry too if that is due and wanted."""
        async with self._hold_task_lock():
            await self.judge_again()
            if self._is_gone:
                self._check_nothing_is_lost()
                return
            decision = self._decide(touch=extend)
            if decision[0] is Change.CREATE:
                raise ResponseStartedError(_NO_COOKIE_CAN_BE_SET)
            try:
                await self._execute(decision, self._policy.store, extend=extend)
            except SessionNotFoundError:
                self._check_nothing_is_lost()
            except StoreUnavailableError as error:
                if decision[0] is not Change.TOUCH:
                    raise
                self._policy.extension_pause.begin(error)
        if self.is_due_again:
            await self.do_again()

    async def _save(self, store: Store) -> None:
        try:
            await super()._save(store)
        except ResponseStartedError:
            raise ResponseStartedError(_NO_COOKIE_CAN_BE_SET) from None

    def close(self) -> None:
        """End the session, as at the end of a request."""
        self.end_streams()
        end(self.session, self.reference)

    def _open(self, found: FoundCookie, entry: Entry) -> None:
        self.begin_with(found, entry)
        is_large = isinstance(self.session, UndecodedMembers)
        self.session.__class__ = undecoded_class(OutsideSession) if is_large else OutsideSession

    def _still_opens(self, entry: Entry) -> bool:
        """Return whether the proof that a request came with, if it needed one, opens its session.

        One that came without has none either once its session is bound.
        """
        binding, until = self._policy.device_binding, self._judged_until
        if binding is None:
            return True
        if self._is_proved:
            return until is not None and time.monotonic() < until
        self._judged_until = time.monotonic() + binding.period.total_seconds()
        return self._may_keep(entry)

    def _check_nothing_is_lost(self) -> None:
        """Raise if the session was changed, and has ended."""
        if self.session.modified:
            if self._is_proof_over:
                raise ProofMissingError(NO_PROOF)
            raise SessionNotFoundError(_CHANGES_LOST)
