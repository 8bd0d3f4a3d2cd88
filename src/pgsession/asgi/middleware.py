"""The ASGI middleware: which scopes get a session, and the store's life with the application's."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from starlette.datastructures import Secret
from starlette.types import ASGIApp, Receive, Scope, Send

from pgsession.asgi.exchange import UNAVAILABLE_ERRORS, Exchange
from pgsession.asgi.exclusion import ExcludedSession, matcher
from pgsession.asgi.lifespan import Lifespan
from pgsession.asgi.policy import Policy
from pgsession.core.cookie import MaxAge, SameSite
from pgsession.core.period import Period
from pgsession.core.store import Store
from pgsession.errors import SettingsError
from pgsession.settings import Exclude, OnUnavailable, SecretKey, SessionSettings

_LOGGER = logging.getLogger("pgsession")

#: The defaults of `secret_key` and the keywords of `SessionMiddleware`, without `settings`.
_DEFAULTS: Final = (None, None, "default", "/", "lax", True, None, False, (), "refuse", None)

#: The types of the scopes that have a session.
_SESSION_SCOPES: Final = frozenset({"http", "websocket"})


class SessionMiddleware:
    """Keeps `request.session` in a store; takes the place of Starlette's class of this name.

    Give it a `store` and a `secret_key`, with Starlette's keywords where you
    need them, or `settings` alone, or `settings` and a `store`. The keywords
    mean what `SessionSettings` says. Raises `SettingsError` for what cannot work.

    - The session is saved before the response's first byte leaves; if the
      store cannot do so, the response is 503 with Retry-After instead. So it is
      if it cannot be loaded, unless `on_unavailable` says "anonymous".
    - A handler that raises, or answers with a status of 500 or above, saves nothing.
    - A session that stays empty makes no row and no cookie, one that stays
      unchanged no write (but for a touch of its expiry, now and then).
    - The store is opened with the application's lifespan and closed with it,
      if it was closed before; without a lifespan it opens on first use.
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
        cookie = (session_cookie, max_age, path, same_site, https_only, domain, partitioned)
        with _logging_wrong_settings():
            if isinstance(store, str | bytes | Secret):
                raise SettingsError("store is a store, such as PostgresStore(…), not a text.")
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
                raise SettingsError("With settings, every other setting goes there, not beside it.")
            self.app = app
            self._is_excluded = matcher(settings.exclude) if settings.exclude else None
            self._policy = Policy.from_settings(settings, store)
            self._find = self._policy.cookie.find

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, or the lifespan."""
        is_excluded = self._is_excluded
        if scope["type"] not in _SESSION_SCOPES or (is_excluded is not None and is_excluded(scope)):
            await self._serve_without(scope, receive, send)
            return
        exchange = Exchange(self._policy, scope, send)
        key = self._find(scope["headers"])
        if key is not None and not await exchange.look_up(key):
            return
        session = exchange.session
        outer = scope.get("session")
        scope["session"] = session
        try:
            await self.app(scope, receive, exchange.pass_on)
            # Skip the session work for requests without a session.
            is_visitor = exchange.is_unused and not session and scope.get("session") is session
            if not (is_visitor or exchange.is_finished()):
                await exchange.finish()
        except (*UNAVAILABLE_ERRORS, ExceptionGroup) as error:
            if not await exchange.answer_error(error):
                raise
        finally:
            session.attachment = None
            if outer is not None:
                scope["session"] = outer

    async def _serve_without(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve what has no session: an excluded request, the lifespan, what is not known here."""
        if scope["type"] == "lifespan":
            await Lifespan(self.app, self._policy.store)(scope, receive, send)
            return
        if scope["type"] in _SESSION_SCOPES:
            scope["session"] = ExcludedSession()
        await self.app(scope, receive, send)


@contextmanager
def _logging_wrong_settings() -> Iterator[None]:
    """Log a wrong setting as well as raising it.

    Starlette makes its middleware with the first call, which is the lifespan;
    a server that takes an exception there for an application without a
    lifespan starts all the same.
    """
    try:
        yield
    except SettingsError as error:
        _LOGGER.critical("%s", error)
        raise
