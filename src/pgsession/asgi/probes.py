"""Endpoints for the probes of Kubernetes and of load balancers."""

from __future__ import annotations

import asyncio
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol, runtime_checkable
from weakref import ref

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from pgsession.asgi.denial import send_denial
from pgsession.asgi.stores import check_store, offered_store
from pgsession.core.logs import Pace, event, own_logger
from pgsession.core.session import Session
from pgsession.core.store import Store
from pgsession.core.tracked import state_of
from pgsession.errors import SessionError, SettingsError, StoreUnavailableError

_LOGGER = own_logger()

#: Seconds for which an answer is given again, so that strangers cannot make the database work.
_FRESH: Final = 0.5

_METHODS: Final = ("GET", "HEAD")


@runtime_checkable
class _Checks(Protocol):
    """A store that can be checked."""

    async def check(self) -> None:
        """Raise the reason if no request can be served."""
        ...


class Probe(ABC):
    """An endpoint for GET and HEAD: an ASGI application, and `answer` for FastAPI's own routes."""

    #: The log says that a probe came with a session.
    _is_warned: bool = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "websocket":
            await send_denial(scope, send, status=404, body=b"Not Found", close_code=1008)
            return
        response = await self.answer(Request(scope))
        await response(scope, receive, send)

    async def answer(self, request: Request) -> Response:
        """Return the response to a request.

        It is what FastAPI's ``add_route`` and ``add_api_route`` take.
        """
        if request.method not in _METHODS:
            return _response(405, "Method Not Allowed", Allow=", ".join(_METHODS))
        if not self._is_warned and _has_loaded(request.scope):
            self._is_warned = True
            name = type(self).__name__
            _LOGGER.warning(
                "A probe of %s came with a session's cookie, so the middleware has asked the "
                "database before the endpoint could answer. Name the path of %s in `exclude`.",
                name,
                name,
                extra=event("probe_not_excluded"),
            )
        return await self._answer(request.scope)

    @abstractmethod
    async def _answer(self, scope: Scope) -> Response:
        """Return the response to a GET."""


class Liveness(Probe):
    """An endpoint that answers 200 while the process answers at all. It asks no database.

    ::

        Route("/alive", Liveness())  # Starlette
        app.add_route("/alive", Liveness().answer)  # FastAPI
        app.add_middleware(SessionMiddleware, …, exclude=["/alive"])

    It answers GET and HEAD, and uses no session. But a `SessionMiddleware` around it loads the
    session of a probe that comes with its cookie, such as a browser's, and answers 503 in an
    outage: name the path in `exclude`.
    """

    async def _answer(self, scope: Scope) -> Response:  # noqa: ARG002 - it looks at nothing
        return _response(200, "alive")


class Readiness(Probe):
    """An endpoint that answers 200 while the store can serve requests, and else 503.

    ::

        Route("/ready", Readiness())  # Starlette
        app.add_route("/ready", Readiness().answer)  # FastAPI
        app.add_middleware(SessionMiddleware, …, exclude=["/ready"])

    It calls ``check`` of the store, or `Store.open` of one without that, at most twice a second
    in each process. The store is the given one, or else that of the `SessionMiddleware` around
    the endpoint, also where the path is excluded. One endpoint may serve several applications:
    it answers for the store of each.

    - With ``once=True`` it answers 200 for ever once the store is open, and asks no more: an
      outage of the database does not take the processes out of service.
    - It answers GET and HEAD, uses no session, and no cache keeps the answer. The body says
      "ready" or "not ready"; the reason is one line in the log, when it begins.
    - Name its path in `exclude`, as that of `Liveness`.

    Raises `SettingsError` for a store that is none, and in a request if there is no store.
    """

    def __init__(self, store: Store | None = None, *, once: bool = False) -> None:
        check_store(store)
        if not isinstance(once, bool):
            raise SettingsError("once must be True or False.")
        self._store = store
        self._once = once
        #: What is known of each store, by its identity, while it exists.
        self._known: dict[int, tuple[Callable[[], object], _Judge]] = {}

    async def _answer(self, scope: Scope) -> Response:
        store = offered_store(scope) if self._store is None else self._store
        if await self._judge_of(store).is_ready(store):
            return _response(200, "ready")
        return _response(503, "not ready")

    def _judge_of(self, store: Store) -> _Judge:
        number, known = id(store), self._known
        if number not in known:
            try:
                kept: Callable[[], object] = ref(store, lambda _: known.pop(number, None))
            except TypeError:  # of a class with slots alone
                kept = partial(_same, store)
            known[number] = kept, _Judge(once=self._once)
        return known[number][1]


class _Judge:
    """Judges whether one store can serve requests, and logs when that has changed."""

    def __init__(self, *, once: bool) -> None:
        self._once = once
        self._pace = Pace()
        #: Whether the log says that it is not ready.
        self._is_told = False
        #: The last answer, and when it was given, by the clock of its event loop.
        self._is_ready: bool | None = None
        self._answered_at = -math.inf
        self._loop: asyncio.AbstractEventLoop | None = None

    async def is_ready(self, store: Store) -> bool:
        """Return the last answer while it is fresh, or else ask the store."""
        if not self._is_fresh():
            await self._ask(store)
        return bool(self._is_ready)

    def _is_fresh(self) -> bool:
        """Tell whether the last answer still holds."""
        if self._once and self._is_ready:
            return True
        loop = asyncio.get_running_loop()
        return loop is self._loop and loop.time() - self._answered_at < _FRESH

    async def _ask(self, store: Store) -> None:
        """Ask the store, and log what has changed."""
        loop = asyncio.get_running_loop()
        try:
            await self._check(store)
        except SessionError as error:
            # At each failure: the pace may not have allowed the line when the outage began.
            if not self._is_told and self._pace.count():
                self._is_told = True
                _LOGGER.warning(
                    "Readiness: not ready, and answers 503: %s",
                    error,
                    extra=event("not_ready", error=error),
                )
            self._is_ready = False
        else:
            if self._is_told:
                self._is_told = False
                _LOGGER.info("Readiness: ready again.", extra=event("ready_again"))
            self._is_ready = True
        self._loop, self._answered_at = loop, loop.time()

    async def _check(self, store: Store) -> None:
        """Raise the reason if the store cannot serve, or, with `once`, if it is not open."""
        if not isinstance(store, _Checks):
            await store.open()
            return
        try:
            await store.check()
        except StoreUnavailableError:
            if not self._once:
                raise
            await store.open()  # does nothing if it is open


def _has_loaded(scope: Scope) -> bool:
    """Tell whether the database was asked for a session of this request."""
    session = scope.get("session")
    if not isinstance(session, Session):
        return False
    attachment = state_of(session).attachment  # not `session.handle`, which is a use
    return session.is_unavailable or (attachment is not None and attachment.handle is not None)


def _same(store: Store) -> Store:
    return store


def _response(status: int, text: str, **headers: str) -> Response:
    """Return a short text that no cache keeps."""
    return PlainTextResponse(text, status, {"Cache-Control": "no-store", **headers})
