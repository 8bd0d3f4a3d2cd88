"""The session of a request, for typed code."""

from __future__ import annotations

from starlette.requests import HTTPConnection

from pgsession.asgi.exclusion import ExcludedSession, reject_use
from pgsession.core.session import Session
from pgsession.errors import SessionMissingError

_MISSING = (
    "This connection has no session: add pgsession's SessionMiddleware to the application. What "
    "stands outside of that middleware has no session either: of those added with add_middleware, "
    "the one that is added last stands outside."
)


def get_session(connection: HTTPConnection) -> Session:
    """Return the session of a request or WebSocket: what `request.session` is, with its type.

    It is also a dependency of FastAPI, for HTTP and WebSockets::

        SessionDep = Annotated[Session, Depends(get_session)]

    It reads nothing and writes nothing, and is no use of the session.

    Raises `SessionMissingError` if there is no session, or one of another middleware, and
    `SessionExcludedError` on a path that the middleware excludes.
    """
    session = connection.scope.get("session")
    if isinstance(session, Session):
        return session
    if isinstance(session, ExcludedSession):
        reject_use()
    raise SessionMissingError(_MISSING if session is None else _is_of_another(type(session)))


def _is_of_another(kind: type) -> str:
    if kind is dict or kind.__module__ == "starlette.middleware.sessions":
        return (
            "This is the session of Starlette's own SessionMiddleware. Import SessionMiddleware "
            "from pgsession instead, or, if a library adds Starlette's, add pgsession's so that it "
            "stands inside of that one."
        )
    return (
        f"This is the session of another middleware, of the type {kind.__module__}."
        f"{kind.__qualname__}. Replace that middleware by pgsession's SessionMiddleware, or add "
        "pgsession's so that it stands inside of that one."
    )
