"""The ASGI middleware: it gives each HTTP request and WebSocket its session."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from pgsession.asgi.ended import EndedSession, end
from pgsession.asgi.exchange import UNAVAILABLE_ERRORS, Exchange, has_left
from pgsession.asgi.exclusion import ExcludedSession, matcher
from pgsession.asgi.lifespan import Lifespan
from pgsession.asgi.neighbours import InnerScope, cookie_names
from pgsession.asgi.policy import Policy
from pgsession.asgi.sockets import WatchedSocket
from pgsession.core.cookie import FoundCookie, MaxAge
from pgsession.core.cookie_attributes import SameSite
from pgsession.core.current import current
from pgsession.core.hidden import hidden
from pgsession.core.period import Period
from pgsession.core.session import Session
from pgsession.core.store import Store
from pgsession.core.tracked import state_of
from pgsession.errors import SettingsError
from pgsession.settings import Exclude, OnUnavailable, SecretKey, SessionSettings

_LOGGER = logging.getLogger("pgsession")

#: The defaults of `secret_key` and the keywords of `SessionMiddleware`, without `settings`.
_DEFAULTS: Final = (None, None, "default", "/", "lax", True, None, False, (), "refuse", None)

#: The methods that tell a store from what is none.
_STORE_METHODS: Final = (
    "open",
    "close",
    "generate",
    "get",
    "get_newest",
    "set",
    "merge",
    "touch",
    "renew",
    "rotate",
    "show",
    "take",
    "exclusive",
    "clear",
)

#: The types of the scopes that have a session.
_SESSION_SCOPES: Final = frozenset({"http", "websocket"})


class SessionMiddleware:
    """Keeps `request.session` in a store. It replaces Starlette's class of the same name.

    Pass a `store` and a `secret_key`, and Starlette's keywords if you need
    them. Or pass `settings`, with or without a `store`. The keywords are
    described in `SessionSettings`. Raises `SettingsError` for a setting that
    cannot work.

    - The session is saved before the first byte of the response is sent. If
      the store cannot save it, the response is 503 with Retry-After instead.
      The same happens if the store cannot load it, unless `on_unavailable` is
      "anonymous".
    - If a handler raises, or answers with a status of 500 or above, nothing is saved.
      A WebSocket function that raises `WebSocketDisconnect` has not failed: the client left.
    - An empty session gets no row and no cookie. An unchanged session is not
      written, except to extend its expiry now and then.
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
    ) -> None:
        secret_key = hidden(secret_key)
        cookie = (session_cookie, max_age, path, same_site, https_only, domain, partitioned)
        with _logging_settings_error():
            _check_store(store)
            if settings is None:
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
            elif (secret_key, *cookie, exclude, on_unavailable, touch_after) != _DEFAULTS:
                raise SettingsError(
                    "settings cannot be combined with other settings. Put these into settings."
                )
            self.app = app
            self._is_excluded = matcher(settings.exclude) if settings.exclude else None
            self._policy = Policy.from_settings(settings, store)
            self._find = self._policy.cookie.find
            #: The name of the cookie, as in Starlette's class.
            self.session_cookie: str = self._policy.cookie.name
            if self.session_cookie in cookie_names(app):
                self._policy.warnings.same_name()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request or WebSocket, or the lifespan."""
        if scope["type"] not in _SESSION_SCOPES or self._is_without(scope):
            await self._serve_without(scope, receive, send)
            return
        cookies = self._find(scope["headers"])
        if "session" in scope:
            scope = self._beside(scope, cookies)
        exchange = Exchange(self._policy, scope, send)
        if cookies and not await exchange.look_up(cookies):
            return
        session = exchange.session
        scope["session"] = session
        exchange.outer = outer = current.get()
        current.set(exchange)
        try:
            if self._policy.closes_websockets and scope["type"] == "websocket":
                await WatchedSocket(exchange, receive).serve(self.app, scope)
            else:
                await self.app(scope, receive, exchange.send)
            if not exchange.is_finished():
                await exchange.finish()
        except (*UNAVAILABLE_ERRORS, WebSocketDisconnect, ExceptionGroup) as error:
            if has_left(error):
                await exchange.finish()
                raise
            if not await exchange.answer_error(error):
                raise
        finally:
            current.set(outer)
            exchange.end_streams()
            end(session)
            if exchange.hook is not None:
                await asyncio.wait({exchange.hook})  # it goes on if this is cancelled

    def _is_without(self, scope: Scope) -> bool:
        """Return True if a request is excluded, or to an endpoint of the device binding."""
        is_excluded, binding = self._is_excluded, self._policy.device_binding
        if is_excluded is not None and is_excluded(scope):
            return True
        return binding is not None and binding.serves(scope)

    def _beside(self, scope: Scope, cookies: Sequence[FoundCookie]) -> Scope:
        """Return a scope for the application, apart from the session that stands outside."""
        outer, policy = scope["session"], self._policy
        if issubclass(type(outer), EndedSession):  # of an earlier call with the same scope
            return scope
        if issubclass(type(outer), Session):  # `isinstance` would ask an object of another library
            if isinstance(exchange := state_of(outer).attachment, Exchange):
                exchange.check_neighbour(policy)
        # The name of another's cookie is not known, but its form is.
        elif not cookies and policy.cookie.is_of_starlette(scope["headers"]):
            policy.warnings.same_name()
        return InnerScope(scope)

    async def _serve_without(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve an excluded request, the lifespan, or a scope of an unknown type."""
        if scope["type"] == "lifespan":
            lifespan = Lifespan(self.app, self._policy.store, is_strict=self._policy.is_strict)
            await lifespan(scope, receive, send)
            return
        binding = self._policy.device_binding
        if binding is not None and scope["type"] == "http" and binding.serves(scope):
            await binding.serve(scope, send, self._find(scope["headers"]))
            return
        if scope["type"] in _SESSION_SCOPES:
            outer = scope.get("session")
            if outer is None or issubclass(type(outer), EndedSession):  # of an earlier request
                scope["session"] = ExcludedSession()
        await self.app(scope, receive, send)


def _check_store(store: object) -> None:
    """Raise `SettingsError` unless `store` is None or has the methods of a store."""
    if isinstance(store, type):
        raise SettingsError(f"store must be a store, not a class: write {store.__name__}(…).")
    if store is not None and not all(hasattr(store, name) for name in _STORE_METHODS):
        raise SettingsError(
            f"store must be a store, such as PostgresStore(…), not {type(store).__name__}."
        )


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
        _LOGGER.critical("%s", error)
        raise
