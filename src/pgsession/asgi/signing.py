"""Signing in and out with one request: what happens to the row."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Sequence
from collections.abc import Set as AbstractSet
from datetime import timedelta
from typing import Any, Final

from msgspec.structs import replace

from pgsession import rare
from pgsession.asgi.row import Decision, SessionRow
from pgsession.core.decision import Change
from pgsession.core.keys import digest
from pgsession.core.login import Client, printable
from pgsession.core.logs import event, own_logger
from pgsession.core.store import Changes, Store, Written
from pgsession.core.users import as_user_store, keeps_users
from pgsession.errors import SessionNotFoundError, UnknownUserError

_LOGGER = own_logger()


#: These sign in or out, or do so if the session has a user or had one.
_SIGNING: Final = frozenset(
    {
        Change.LOGIN,
        Change.CONFIRM,
        Change.LOGOUT,
        Change.DESTROY,
        Change.CREATE,
        Change.FORGET,
    }
)


class SigningRow(SessionRow):
    """What one request knows about the user of its session."""

    # Defaults live on the class: most requests never set them.

    #: The user of a login that is committed, until `max_sessions` is applied to them.
    _surplus_of: str | None = None
    #: Logouts that are done again once the application's call, and so its transaction, has ended.
    _logouts_due: Sequence[tuple[str, int]] = ()
    #: A login under `max_sessions` whose limit is looked at once more then.
    _surplus_due: str | None = None
    #: This request has signed in, or confirmed an unbound session: its response offers a
    #: registration to the browser.
    _is_offered: bool = False
    #: The sign-in of a browser that had no session of this user.
    _new_device: rare.NewDevice | None = None
    #: The handles of sessions that transactions of the application's have ended, which may be open
    #: still.
    ended_within: AbstractSet[str] = frozenset()

    def _call(  # pyright: ignore[reportIncompatibleMethodOverride] - it returns a coroutine
        self, store: Store, decision: Decision, period: timedelta | None
    ) -> Coroutine[Any, Any, Written | None]:
        # Not a coroutine around a coroutine: each that a write goes through costs a little.
        call = self._call_signing if decision[0] in _SIGNING else super()._call
        return call(store, decision, period)

    async def _call_signing(
        self, store: Store, decision: Decision, period: timedelta | None
    ) -> Written | None:
        match decision[0]:
            case Change.LOGIN:
                await self._clear_twins(store)
                try:
                    await self._login(store, decision, period)
                except UnknownUserError:
                    self.state.note_refused(decision[2][-1])
                    raise
            case Change.CONFIRM:
                await self._clear_twins(store)
                await self._confirm(store, decision, period)
            case Change.LOGOUT:
                await self._clear_twins(store)
                await self._logout(store, decision, period)
            case Change.DESTROY if self.state.signed_in is not None:
                await self._clear_twins(store)
                await self._logout(store, decision, period)
            case Change.CREATE | Change.FORGET if await self._is_retired(store):
                self._is_dropped = True
            case _:
                return await super()._call(store, decision, period)
        return None

    async def _login(self, store: Store, decision: Decision, period: timedelta | None) -> None:
        """Bind the session to a user. If its row has ended, make a new one."""
        state, users, (_, changes, (*_, signing)) = self.state, as_user_store(store), decision
        login, before = signing.login, state.signed_in
        new_device = rare.NewDevice  # imported before anything is written
        assert login is not None  # noqa: S101 - the decision says so
        client = self._client()
        if users.record_client:
            login = replace(login, client=client)
        granted, key, number = state.granted is not None, self._key, state.login_number + 1
        if key is not None:
            try:
                key = await users.login(key, login, changes, period=period, granted=granted)
            except SessionNotFoundError:
                key = None
        if key is None:
            number = 1
            everything = Changes(dict(self.session.items()))
            key = await users.login(None, login, everything, period=period, granted=granted)
        self._key, self._lost = key, False
        self._is_offered = True
        self._begin("user_signed_in", "A user has signed in.", store)
        state.note_done(signing, login_number=number)
        if login.actor_id is not None:
            self._new_device = None
        else:
            self._surplus_of = login.user_id
            if before is None or before.user_id != login.user_id:
                self._new_device = new_device(
                    user_id=login.user_id,
                    handle=digest(key),
                    label=login.label,
                    address=client.address,
                    agent=client.agent,
                )

    async def _confirm(self, store: Store, decision: Decision, period: timedelta | None) -> None:
        state, key, (_, changes, (*_, signing)) = self.state, self._key or "", decision
        granted = state.granted is not None if state.period_changed else None
        users = as_user_store(store)
        self._key = await users.confirm(key, changes, period=period, granted=granted)
        self._is_offered = state.signed_in is not None and not state.signed_in.is_bound
        self._begin("user_confirmed", "A user has confirmed a session.", store)
        state.note_done(signing, login_number=state.login_number)

    async def _logout(self, store: Store, decision: Decision, period: timedelta | None) -> None:
        """End the row that was loaded. What the handler has set since begins a new one."""
        _, changes, (*_, signing) = decision
        if not await self._end_loaded(store):
            self._lose()  # somebody has signed in to it since
            return
        self.state.note_done(signing, login_number=0)
        self.state.note_signed_in(None)
        self._lost, self._new_device, self._is_offered = False, None, False
        self._end()
        if changes.set and self.started:
            _LOGGER.warning(
                "A session was filled after a logout, when the response had started and its cookie "
                "could no longer be set: its content is lost. Sign out before the response starts.",
                extra=event("content_lost"),
            )
        elif changes.set:
            await self._create(store, changes, period)

    async def _end_loaded(self, store: Store) -> bool:
        """End the row that was loaded; return False if it is of another login by now."""
        key = self._lost_key if self._key is None else self._key
        assert key is not None  # noqa: S101 - the decision says so
        return await self._end_row(store, key, self._loaded_number)

    async def _end_row(self, store: Store, key: str, login_number: int) -> bool:
        if digest(key) in self.ended_within:
            # Its row may be locked until the application commits. It may also roll back.
            self._logouts_due = (*self._logouts_due, (key, login_number))
            return True
        if not keeps_users(store):
            return await store.clear(key)
        return await as_user_store(store).logout(key, login_number)

    @property
    def _loaded_number(self) -> int:
        """The login number of the row that was loaded."""
        return self.state.login_number

    def _remember_ended(self, handles: Collection[str]) -> None:
        """Add to the sessions that the application has ended."""
        self.ended_within |= frozenset(handles)

    def _forget_ended(self) -> None:
        """Take what the application has ended as done: its transactions are over."""
        self.ended_within = frozenset()

    async def _is_retired(self, store: Store) -> bool:
        """Return True if the cookie's key was renewed a moment ago: the browser has another one.

        A session of this request, or the deletion of its cookie, would overwrite that.
        """
        found = self._found
        if found is None or self._came_alive or not keeps_users(store):
            return False
        users = as_user_store(store)
        keys = (found.key, *self._twins, *self._old_keys)
        is_retired = any(await asyncio.gather(*map(users.is_retired, keys)))
        if is_retired:
            _LOGGER.info(
                "A request came with a key from before a login: its session is not kept.",
                extra=event("retired_key_used"),
            )
        return is_retired

    def _client(self) -> Client:
        """Return the client of the request, as the ASGI server names it."""
        scope = self._scope
        client = scope.get("client")
        agent = next((value for name, value in scope["headers"] if name == b"user-agent"), None)
        return Client(
            None if client is None else printable(str(client[0])),
            None if agent is None else printable(agent.decode("latin-1")),
        )
