"""The ASGI middleware: it gives each HTTP request and WebSocket its session."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from pgsession import rare
from pgsession.asgi.ended import EndedSession, end
from pgsession.asgi.exchange import Exchange
from pgsession.asgi.exclusion import ExcludedSession, matcher
from pgsession.asgi.failing import UNAVAILABLE_ERRORS, has_left
from pgsession.asgi.lifespan import Lifespan
from pgsession.asgi.neighbours import InnerScope, OwnMiddleware, check_stack, cookie_names
from pgsession.asgi.order import log_misplaced
from pgsession.asgi.policy import Policy
from pgsession.asgi.sessions import Sessions
from pgsession.asgi.stores import check_settings, check_store, offer_store
from pgsession.core.cookie import FoundCookie, MaxAge
from pgsession.core.cookie_attributes import SameSite
from pgsession.core.current import Current
from pgsession.core.hidden import hidden
from pgsession.core.logs import event, own_logger
from pgsession.core.period import Period
from pgsession.core.session import Session
from pgsession.core.store import Store
from pgsession.core.tracked import state_of
from pgsession.errors import SchemaError, SettingsError
from pgsession.request_settings import Exclude, OnUnavailable
from pgsession.settings import SecretKey, SessionSettings

if TYPE_CHECKING:  # most applications do neither, and should not import it
    from pgsession.asgi.csrf import CsrfGuard
    from pgsession.asgi.device_binding import DeviceBinding

_LOGGER = own_logger()

#: The defaults of `secret_key` and the keywords of `SessionMiddleware`, without `settings`.
_DEFAULTS: Final = (None, None, "default", "/", "lax", True, None, False, (), "refuse", None)

#: The types of the scopes that have a session.
_SESSION_SCOPES: Final = frozenset({"http", "websocket"})


class SessionMiddleware(OwnMiddleware):
    """Keeps `request.session` in a store. It replaces Starlette's class of the same name.

    Pass a `store` and a `secret_key`, and Starlette's keywords if you need
    them. Or pass `settings`, with or without a `store`. The keywords are
    described in `SessionSettings`. Or pass `sessions`, to open sessions outside
    of requests too. Raises `SettingsError` for a setting that
    cannot work.

    - The session is saved before the first byte of the response is sent. If
      the store cannot save it, the response is 503 with Retry-After instead.
      The same happens if the store cannot load it, unless `on_unavailable` is
      "anonymous".
    - If a handler raises, or answers with a status of 500 or above, nothing is saved.
      A WebSocket function that raises `WebSocketDisconnect` has not failed: the client left.
    - An empty session gets no row and no cookie. An unchanged session is not
      written, except to extend its expiry now and then.
    - With `csrf_protection`, a request of another origin gets a 403 before anything is loaded.
    - If the store is closed, the application's lifespan opens it and closes
      it again. Without a lifespan, the first use opens it.
    """

    def __init__(
        self,
        app: ASGIApp,
        store: Store | None = None,
        secret_key: SecretKey | None = None,
        *,
        session_cookie: str | None = None,
        max_age: Period | MaxAge = "default",
        path: str = "/",
        same_site: SameSite = "lax",
        https_only: bool = True,
        domain: str | None = None,
        partitioned: bool = False,
        exclude: Exclude = (),
        on_unavailable: OnUnavailable = "refuse",
        touch_after: Period | None = None,
        settings: SessionSettings | None = None,
        sessions: Sessions | None = None,
    ) -> None:
        secret_key = hidden(secret_key)
        cookie = (session_cookie, max_age, path, same_site, https_only, domain, partitioned)
        with _logging_settings_error():
            check_store(store)
            check_settings(settings)
            given = (secret_key, *cookie, exclude, on_unavailable, touch_after)
            if sessions is not None:
                if (store, settings, *given) != (None, None, *_DEFAULTS):
                    raise SettingsError(
                        "sessions cannot be combined with other settings. Put these into Sessions."
                    )
                settings = sessions.settings
            elif settings is None:
                settings = SessionSettings(
                    secret_key=secret_key or (),
                    session_cookie=session_cookie,
                    max_age=max_age,
                    path=path,
                    same_site=same_site,
                    https_only=https_only,
                    domain=domain,
                    partitioned=partitioned,
                    exclude=exclude,
                    on_unavailable=on_unavailable,
                    touch_after=touch_after,
                )
            elif given != _DEFAULTS:
                raise SettingsError(
                    "settings cannot be combined with other settings. Put these into settings."
                )
            self.app = app
            self._is_excluded = matcher(settings.exclude) if settings.exclude else None
            self._guard = _guard_of(settings)
            if self._guard is not None:
                self._is_excluded = self._guard.joined(self._is_excluded)
            self._is_excluded_bare = settings.excluded_session == "absent"
            sessions = sessions or Sessions(store, settings=settings)
            policies, self._choice = sessions.policies.values(), sessions.choice
            #: The policy of all requests; with several cookies, that of the first one.
            self._policy = sessions.policy
            binding = self._policy.device_binding
            self._may_be_without = self._is_excluded is not None or binding is not None
            self._exchange = _exchange_of(self._policy)
            #: The name of the cookie, as in Starlette's class; of several, that of the first.
            self.session_cookie: str = self._policy.cookie.name
            #: The names of all its cookies.
            self.session_cookies: tuple[str, ...] = tuple(policy.cookie.name for policy in policies)
            check_stack(app, self.session_cookies)
            for policy in policies:
                if policy.cookie.name in cookie_names(app):
                    policy.warnings.same_name()
            self._has_begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request or WebSocket, or the lifespan."""
        if not self._has_begun:
            self._begin(scope)
        offer_store(scope, self._policy.store)
        if scope["type"] not in _SESSION_SCOPES or (
            self._may_be_without and self._is_without(scope)
        ):
            await self._serve_without(scope, receive, send)
            return
        policy = self._policy if self._choice is None else self._choice.policy_of(scope)
        cookies = policy.cookie.find(scope["headers"])
        if "session" in scope:
            scope = _beside(policy, scope, cookies)
        exchange = self._exchange(policy, scope, send)
        is_wanted = cookies or policy.takeover is not None
        if is_wanted and not await exchange.look_up(cookies):
            return
        session = exchange.session
        scope["session"] = session
        current = Current(exchange)
        try:
            if policy.closes_websockets and scope["type"] == "websocket":
                await rare.WatchedSocket(exchange, receive).serve(self.app, scope)
            else:
                await self.app(scope, receive, exchange.send)
            if not exchange.is_finished():
                await exchange.finish()
        except (*UNAVAILABLE_ERRORS, SchemaError, WebSocketDisconnect, ExceptionGroup) as error:
            if has_left(error):
                await exchange.finish()
                raise
            if not await exchange.answer_error(error):
                raise
        finally:
            current.end()
            exchange.end_streams()
            end(session, exchange.reference)
            if policy.on_new_device is not None and exchange.hook is not None:
                await asyncio.wait({exchange.hook})  # it goes on if this is cancelled

    def _begin(self, scope: Scope) -> None:
        """Do what is done once, in the first call: nearly always that of the lifespan.

        Log which middleware of the application stands outside and uses the session.
        """
        rare.finish_import()
        self._has_begun = True
        log_misplaced(scope)

    def _is_without(self, scope: Scope) -> bool:
        """Return True if a request is rejected, excluded, or to an endpoint of the binding."""
        is_excluded = self._is_excluded
        if is_excluded is not None and is_excluded(scope):
            return True
        return self._policy.device_binding is not None and self._binding_of(scope) is not None

    def _binding_of(self, scope: Scope) -> tuple[Policy, DeviceBinding] | None:
        """Return the policy and the device binding whose endpoint a request is to, or None."""
        policy = self._policy
        if policy.device_binding is None:
            return None
        if self._choice is not None:
            if not self._choice.may_serve_binding(scope):
                return None  # a host that is not known may ask for an excluded path
            policy = self._choice.policy_of(scope)
        binding = policy.device_binding
        return (policy, binding) if binding is not None and binding.serves(scope) else None

    async def _serve_without(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve an excluded request, the lifespan or an unknown type of scope, or reject a request.

        Excluded paths are checked too, but the endpoints of the device binding check for
        themselves: a browser takes a 403 of theirs for a challenge.
        """
        if scope["type"] == "lifespan":
            lifespan = Lifespan(self.app, self._policy.store, is_strict=self._policy.is_strict)
            await lifespan(scope, receive, send)
            return
        if scope["type"] == "http" and (found := self._binding_of(scope)) is not None:
            policy, binding = found
            if policy.observer is not None:
                from pgsession.asgi.observed import counting_proofs  # noqa: PLC0415 - see below

                send = counting_proofs(policy.observer, scope, send)
            await binding.serve(scope, send, policy.cookie.find(scope["headers"]))
            return
        if scope["type"] in _SESSION_SCOPES:
            if self._guard is not None and (rejection := self._guard.rejection(scope)) is not None:
                await self._guard.reject(scope, send, rejection)
                return
            outer = scope.get("session")
            if outer is None or issubclass(type(outer), EndedSession):  # of an earlier request
                if self._is_excluded_bare:
                    scope.pop("session", None)
                else:
                    scope["session"] = ExcludedSession()
        await self.app(scope, receive, send)


def _exchange_of(policy: Policy) -> type[Exchange]:
    """Return what serves a request: only with telemetry another class than `Exchange`."""
    if policy.observer is None:
        return Exchange
    from pgsession.asgi.observed import ObservedExchange  # noqa: PLC0415 - see above

    return ObservedExchange


def _guard_of(settings: SessionSettings) -> CsrfGuard | None:
    """Return what rejects requests of other origins, or None if nothing is said of them."""
    if not (settings.csrf_protection or settings.trusted_origins or settings.csrf_exempt):
        return None
    from pgsession.asgi.csrf import CsrfGuard  # noqa: PLC0415 - see above

    return CsrfGuard.of(settings)


def _beside(policy: Policy, scope: Scope, cookies: Sequence[FoundCookie]) -> Scope:
    """Return a scope for the application, apart from the session that stands outside."""
    outer = scope["session"]
    if issubclass(type(outer), EndedSession):  # of an earlier call with the same scope
        return scope
    if issubclass(type(outer), Session):  # `isinstance` would ask an object of another library
        if isinstance(exchange := state_of(outer).attachment, Exchange):
            exchange.check_neighbour(policy)
    # The name of another's cookie is not known, but its form is.
    elif not cookies and policy.cookie.is_of_starlette(scope["headers"]):
        policy.warnings.same_name()
    return InnerScope(scope)


@contextmanager
def _logging_settings_error() -> Iterator[None]:
    """Log a `SettingsError` before it is raised.

    Starlette constructs its middleware in the first call, which is the
    lifespan. Some servers take an exception there for an application without
    a lifespan: they hide it and start.
    """
    try:
        yield
    except SettingsError as error:
        _LOGGER.critical("%s", error, extra=event("settings_rejected", error=error))
        raise
