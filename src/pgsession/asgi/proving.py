"""The proof of one request: what a session that is bound to a device needs to be loaded."""

from __future__ import annotations

import math
import time
from datetime import timedelta

from pgsession import rare
from pgsession.asgi.row import Decision
from pgsession.asgi.signing import SigningRow
from pgsession.asgi.unproven import withhold
from pgsession.core.cookie import FoundCookie
from pgsession.core.keys import digest
from pgsession.core.login import SignedIn
from pgsession.core.logs import event, own_logger
from pgsession.core.store import Entry, Store
from pgsession.core.users import LoginState
from pgsession.errors import StoreUnavailableError, UnknownUserError

_LOGGER = own_logger()


class ProvedRow(SigningRow):
    """What one request knows about the device that its session is bound to.

    It is judged when the session is loaded, and again after that in a long request: one that
    came with a proof keeps the session until the proof ends, and one that came without
    loses it if it has been bound since.
    """

    # Defaults live on the class: most requests never set them.

    #: The user of a session that this request has no proof for, or none any more. Its key is
    #: `_lost_key`.
    _unproven: SignedIn | None = None
    #: The request came with a proof.
    _is_proved: bool = False
    #: The binding is not in force, as far as this request knows, though it came with a proof.
    _is_proof_new: bool = False
    #: When the request is to be judged again, by the monotonic clock.
    _judged_until: float | None = None
    #: The session was loaded, and this request has no proof for it any more.
    _is_proof_over: bool = False

    def opens(self, found: FoundCookie, entry: Entry) -> bool:
        """Return whether the request may load a session that was found, and remember why not."""
        binding, signed_in = self._policy.device_binding, entry.signed_in
        if binding is None or signed_in is None:
            return True
        longest = binding.period.total_seconds()
        if signed_in.now is not None:
            bound = rare.Bound(digest(found.key), signed_in.login_number)
            seconds = binding.proved_for(self._scope["headers"], bound, signed_in.now)
            self._is_proved = seconds > 0
            self._is_proof_new = self._is_proved and not signed_in.is_bound
            longest = min(longest, seconds) if self._is_proved else longest
        if not self._is_proved and (signed_in.is_bound or binding.requires(self._scope)):
            from pgsession.dbsc.headers import read_skipped  # noqa: PLC0415 - few bind sessions

            _LOGGER.debug(
                "A request came without the proof that its session needs. The browser says why: %s",
                read_skipped(self._scope["headers"]),
                extra=event("proof_missing"),
            )
            self._unproven = signed_in
            return False
        self._judged_until = time.monotonic() + longest
        return True

    def forget_proof(self) -> None:
        """Forget the proof: it is not one of the session of this request."""
        self._is_proved = self._is_proof_new = self._is_proof_over = False
        self._judged_until = self._unproven = None
        self.state.proof_ends = None

    async def enforce(self) -> None:
        """Put the binding in force: the browser has shown its first bound cookie.

        If that fails, a later request does it.
        """
        key, pause = self._key, self._policy.extension_pause
        if key is None or pause.is_on():
            return
        bound = rare.Bound(digest(key), self.state.login_number)
        try:
            is_done = await rare.as_binding_store(self._policy.store).enforce(bound)
        except StoreUnavailableError as error:
            pause.begin(error)
        else:
            self._is_proof_new = not is_done

    async def judge_again(self) -> None:
        """Take the session as lost if this request has no proof for it any more.

        Raises `StoreUnavailableError` if that cannot be found out.
        """
        binding, until, key = self._policy.device_binding, self._judged_until, self._key
        if binding is None or until is None or time.monotonic() < until:
            return
        if not self._is_proved and key is not None:
            entry = await self._policy.store.get(key)
            if entry is None or self._may_keep(entry):
                self._judged_until = time.monotonic() + binding.period.total_seconds()
                return
        self._lose_proof()

    def _may_keep(self, entry: Entry) -> bool:
        """Return False if the session was bound to a device after this request had begun."""
        signed_in = entry.signed_in
        return signed_in is None or not signed_in.is_bound or self.login_state.is_bound

    def _lose_proof(self) -> None:
        """Record that this request has no proof for its session any more."""
        self._judged_until = None
        if self._key is not None:
            self._unproven, self._is_proof_over = self.state.signed_in, True
            self._lose()
            self.state.proof_ends = -math.inf

    @property
    def login_state(self) -> LoginState:
        """What a stream of this request goes on with."""
        is_bound = self._is_proved or self._policy.device_binding is None
        return LoginState(self.state.login_number, is_bound)

    async def _login(self, store: Store, decision: Decision, period: timedelta | None) -> None:
        """Sign in, and end the session that this request has no proof for: it is this browser's."""
        unproven, key = self._unproven, self._lost_key
        try:
            await super()._login(store, decision, period)
        except UnknownUserError:
            if unproven is not None and not self._is_proof_over:
                withhold(self.session)
            raise
        if unproven is not None and key is not None:
            await self._end_row(store, key, unproven.login_number)
        self.forget_proof()

    async def _logout(self, store: Store, decision: Decision, period: timedelta | None) -> None:
        await super()._logout(store, decision, period)
        self.forget_proof()

    async def _confirm(self, store: Store, decision: Decision, period: timedelta | None) -> None:
        await super()._confirm(store, decision, period)
        self._is_offered = self._is_offered or self._is_proof_new  # it has ended the registration

    @property
    def _loaded_number(self) -> int:
        if self._key is None and self._unproven is not None:
            return self._unproven.login_number
        return super()._loaded_number
