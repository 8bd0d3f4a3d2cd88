"""Sessions outside of their requests: in events, queues, and tasks that outlive a response."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.types import Scope

from pgsession import rare
from pgsession.asgi.choice import Choice, policies_of
from pgsession.asgi.exchange import Exchange
from pgsession.asgi.policy import Policy
from pgsession.asgi.reference import Reference
from pgsession.asgi.stores import check_settings, check_store
from pgsession.core.current import Current
from pgsession.core.hidden import hidden
from pgsession.core.session import Session
from pgsession.core.store import Store
from pgsession.core.tracked import state_of
from pgsession.errors import (
    ProofMissingError,
    SessionError,
    SessionNotFoundError,
    SettingsError,
    StoreUnavailableError,
)
from pgsession.settings import SecretKey, SessionSettings

if TYPE_CHECKING:  # few applications open sessions outside of requests
    from pgsession.asgi.sources import Opened


class Sessions:
    """Opens sessions where there is no request, or none any more.

    ::

        sessions = Sessions(store=store, secret_key=…)
        app.add_middleware(SessionMiddleware, sessions=sessions)

        async with sessions.open(request) as session:
            session["progress"] = 1

    Pass a `store` and a `secret_key`, or `settings` for everything else, with or without a
    `store`: as `SessionMiddleware` takes them. Give the object to the middleware, so that both
    have the same settings and the same store. Raises `SettingsError` for a setting that cannot
    work.
    """

    def __init__(
        self,
        store: Store | None = None,
        secret_key: SecretKey | None = None,
        *,
        settings: SessionSettings | None = None,
    ) -> None:
        secret_key = hidden(secret_key)
        check_store(store)
        check_settings(settings)
        if settings is None:
            settings = SessionSettings(secret_key=secret_key or ())
        elif secret_key is not None:
            raise SettingsError(
                "settings cannot be combined with secret_key. Put it into settings."
            )
        #: What a middleware is made of that is given this object.
        self.settings: SessionSettings = settings
        #: The policy of each cookie, by its name in `cookies`; with a single cookie, one.
        self.policies: Mapping[str, Policy] = policies_of(settings, store)
        #: Chooses the policy of a request, where there are several.
        self.choice: Choice | None = (
            Choice(self.policies, settings.choose_cookie) if settings.choose_cookie else None
        )
        #: The policy of all requests; with several cookies, that of the first one.
        self.policy: Policy = next(iter(self.policies.values()))
        if self.policy.observer is not None:
            _ = rare.ObservedOutside  # imported before it is used

    @property
    def store(self) -> Store:
        """The store of the sessions."""
        return self.policy.store

    @asynccontextmanager
    async def open(self, source: rare.Source, *, extend: bool = True) -> AsyncIterator[Session]:
        """Load a session for a block: ``async with sessions.open(request) as session: …``.

        `source` says which one:

        - a session of a request, under way or over: its row, also if that very request has
          signed in or renewed the session;
        - a `Request` or `WebSocket`, an ASGI scope, or the ``environ`` of python-socketio: the
          same if it holds a session of this middleware, else that of its cookie;
        - headers, as ASGI has them or as a mapping: that of their cookie.

        The session is read anew, with one statement. No connection is held during the block. At
        its end the changes are merged, as at the end of a request, and an unchanged session is
        not written, except to extend its expiry now and then; never with ``extend=False``, for
        work that is not the visitor's. If the block raises, nothing is saved.

        No response can set a cookie here. So whatever needs one raises `ResponseStartedError`:
        `login`, `confirm`, `renew` and a new `period`. `logout`, `save`, `reload`, `take`,
        `exclusive`, `ended` and `lasting` work. After the block the session can be read, and
        opened again.

        Raises `SessionNotFoundError` if there is no cookie, a wrong one, or one whose session has
        ended or has another key by now; also at the end of the block, if changes are lost so.
        Raises `ProofMissingError` for a session that is bound to a device without a proof that is
        in time, `StoreUnavailableError`, `TypeError` for a `source` that is none, and
        `SettingsError` for a session of a middleware with another cookie or secret.
        """
        outside = await self._load(rare.read_source(source))
        current = Current(outside)
        try:
            yield outside.session
            await outside.keep(extend=extend)
        finally:
            current.end()  # a task that began in the block may go on for long
            outside.close()

    async def _load(self, opened: Opened) -> rare.Outside:
        session, scope = opened.session, opened.scope
        reference = None if session is None else _reference_of(session)
        if reference is not None and (scope is None or self._is_ours(reference)):
            policy = self._policy_beside(reference)
            outside = _outside(policy, scope or {"type": "http", "headers": []})
            await outside.load_by_reference(reference)
        elif scope is not None:
            policy = self.policy if self.choice is None else self.choice.policy_of(scope)
            outside = _outside(policy, scope)
            await outside.load_by_cookie()
        else:
            raise _no_row(session)
        return outside

    def _is_ours(self, reference: Reference) -> bool:
        """Return False for the session of another middleware in the same application."""
        return reference.policy.cookie.name in self._by_cookie

    @property
    def _by_cookie(self) -> dict[str, Policy]:
        return {policy.cookie.name: policy for policy in self.policies.values()}

    def _policy_beside(self, reference: Reference) -> Policy:
        """Return our policy for a session. Raises `SettingsError` if its middleware has another."""
        theirs = reference.policy
        ours = self._by_cookie.get(theirs.cookie.name)
        if ours is None:
            raise SettingsError(
                f"These Sessions have the cookie {self.policy.cookie.name}, and the session's "
                f"middleware has {theirs.cookie.name}. Give the middleware these Sessions: "
                "sessions=…"
            )
        cookie = theirs.cookie.write(reference.key, None)
        if ours is not theirs and not ours.cookie.find([(b"cookie", cookie)]):
            raise SettingsError(
                "These Sessions do not have the secret of the session's middleware. Give the "
                "middleware these Sessions: sessions=…"
            )
        return ours


def _outside(policy: Policy, scope: Scope) -> rare.Outside:
    if policy.observer is None:
        return rare.Outside(policy, scope)
    return rare.ObservedOutside(policy, scope)


def _reference_of(session: Session) -> Reference | None:
    """Return what leads to the row of a request's session, or None if there is no row."""
    state = state_of(session)
    if isinstance(state.attachment, Exchange):
        return state.attachment.reference
    return state.reference if isinstance(state.reference, Reference) else None


def _no_row(session: Session | None) -> SessionError:
    """Return the error for a session that leads to no row."""
    if session is not None and session.is_unavailable:
        return StoreUnavailableError(
            "The store was unavailable when the request began, so it has no session to open. "
            "Open the request: its cookie may have one."
        )
    if session is not None and session.proof_missing:
        return ProofMissingError(rare.NO_PROOF)
    return SessionNotFoundError(
        "What was opened has no row: its request has begun no session, or none that was saved by "
        "then, or has lost or ended the one that it had."
    )
