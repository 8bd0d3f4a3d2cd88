"""Flash messages in handlers and templates: who takes them from the session, and when."""

from __future__ import annotations

import asyncio

from anyio import from_thread
from starlette.requests import HTTPConnection

from pgsession.asgi.access import get_session
from pgsession.asgi.exclusion import ExcludedSession
from pgsession.core.content_session import flashes_at_hand, messages_of
from pgsession.core.flash import Flash
from pgsession.core.session import Session
from pgsession.core.tracked import state_of
from pgsession.errors import SessionError

_NOT_TAKEN = (
    "The flash messages of this request were not taken yet, and a template cannot wait for the "
    "database. Add dependencies=[Depends(take_flashes)] to the route or the application, or "
    "`await take_flashes(request)` to the handler, before it renders the template."
)


async def take_flashes(request: HTTPConnection) -> list[Flash]:
    """Take the messages of this request's session, for `flashes`, and return them.

    It is a dependency for FastAPI, ``dependencies=[Depends(take_flashes)]``, and to be
    awaited in other handlers. It is `Session.flashes`, but an excluded path has none. Raises
    `SessionMissingError` without this package's middleware.
    """
    session = _session_of(request)
    return [] if session is None else await session.flashes()


def flashes(request: HTTPConnection) -> list[Flash]:
    """Return the messages for this request, oldest first: for a template.

    These are what `take_flashes` has taken, and what the handler has flashed since. A call in a
    worker thread, of a `def` handler, takes them itself. On the event loop they must have been
    taken before: `SessionError` otherwise, even if there are none.
    """
    session = _session_of(request)
    if session is None:
        return []
    if messages_of(state_of(session)).taken is not None:
        return flashes_at_hand(session)
    if _is_on_event_loop():
        raise SessionError(_NOT_TAKEN)
    try:
        return from_thread.run(session.flashes)
    except SessionError:
        raise
    except RuntimeError as error:  # a thread that AnyIO did not start
        raise SessionError(_NOT_TAKEN) from error


def _session_of(request: HTTPConnection) -> Session | None:
    """Return the session of a request, or None on an excluded path."""
    if isinstance(request.scope.get("session"), ExcludedSession):
        return None
    return get_session(request)


def _is_on_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
