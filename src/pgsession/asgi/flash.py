"""Flash messages in handlers and templates: who takes them from the session, and when."""

from __future__ import annotations

import asyncio
from typing import Final

from anyio import from_thread
from starlette.requests import HTTPConnection

from pgsession.asgi.access import get_session
from pgsession.asgi.exclusion import ExcludedSession
from pgsession.core.content_session import flashes_at_hand, messages_of, take_messages
from pgsession.core.flash import Flash
from pgsession.core.session import Session
from pgsession.core.tracked import state_of
from pgsession.errors import SessionError

_NOT_TAKEN = (
    "The flash messages of this request were not taken yet, and a template cannot wait for the "
    "database. Add dependencies=[Depends(take_flashes)] to the route or the application, or "
    "`await take_flashes(request)` to the handler, before it renders the template. If the "
    "template is rendered after the response has started, call flashes(request) in the handler."
)

#: The browser asks for a page that its user may never see.
_PREFETCHES: Final = ("prefetch", "prerender")


async def take_flashes(request: HTTPConnection) -> None:
    """Take the messages of this request's session, for `flashes`.

    It is a dependency for FastAPI, ``dependencies=[Depends(take_flashes)]``, and to be
    awaited in other handlers. Messages that `flashes` or `Session.flashes` has not returned when
    the response starts are put back: the response does not show them. An excluded
    path has none, and a HEAD request or a prefetch leaves them where they are. Raises
    `SessionMissingError` without this package's middleware, and `StoreUnavailableError`.
    """
    session = _session_of(request)
    if session is not None:
        await take_messages(session)


def flashes(request: HTTPConnection) -> list[Flash]:
    """Return the messages for this request, oldest first: for a template.

    These are what `take_flashes` has taken, and what the handler has flashed since. There are
    none in a HEAD request or a prefetch, whose page may never be shown. A call in a
    worker thread, of a ``def`` handler, takes them itself. On the event loop they must have been
    taken before: `SessionError` otherwise, even if there are none.
    """
    session = _session_of(request)
    if session is None:
        return []
    if messages_of(state_of(session)).is_taken:
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
    """Return the session of a request; None on an excluded path, or if its page is not shown."""
    if isinstance(request.scope.get("session"), ExcludedSession):
        return None
    session = get_session(request)
    return session if _is_shown(request) else None


def _is_shown(request: HTTPConnection) -> bool:
    """Return False for a HEAD request, and for a page that is fetched in case it is needed."""
    purpose = request.headers.get("sec-purpose") or request.headers.get("purpose", "")
    return request.scope.get("method") != "HEAD" and not purpose.startswith(_PREFETCHES)


def _is_on_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
