"""The settings about requests that get no session: their types, and how they are checked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, TypeAlias

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Scope

from pgsession.errors import SettingsError, StoreUnavailableError

#: Path prefixes, or a function of the ASGI scope that returns True for an excluded or an exempt
#: request.
Exclude: TypeAlias = Sequence[str] | Callable[[Scope], bool]

#: What an excluded request finds in its scope: "error", a session whose use is an error; "absent",
#: no key ``session``.
ExcludedChoice: TypeAlias = Literal["error", "absent"]

#: What to do if the store cannot load the session of a request: "refuse" answers 503, "anonymous"
#: serves the request with an empty session that cannot be changed. Or a function of the ASGI scope
#: that returns one of these.
OnUnavailable: TypeAlias = (
    Literal["refuse", "anonymous"] | Callable[[Scope], Literal["refuse", "anonymous"]]
)

#: A function, plain or async, that makes the response to a request whose session cannot be loaded
#: or saved: a Starlette `Response`, or another ASGI application.
UnavailableResponse: TypeAlias = Callable[
    [HTTPConnection, StoreUnavailableError], ASGIApp | Awaitable[ASGIApp]
]


def check_requests(
    *,
    exclude: Exclude,
    csrf_exempt: Exclude,
    excluded_session: object,
    on_unavailable: object,
    unavailable_response: object,
) -> None:
    """Raise `SettingsError` for one of these settings that cannot work."""
    _check_exclude("exclude", exclude)
    _check_exclude("csrf_exempt", csrf_exempt)
    if excluded_session not in ("error", "absent"):
        raise SettingsError('excluded_session must be "error" or "absent".')
    if not callable(on_unavailable) and on_unavailable not in ("refuse", "anonymous"):
        raise SettingsError(
            'on_unavailable must be "refuse", "anonymous" or a function of the scope.'
        )
    if unavailable_response is not None and not callable(unavailable_response):
        raise SettingsError(
            "unavailable_response must be a function of the connection and the error that returns "
            "a response."
        )


def _check_exclude(name: str, exclude: Exclude) -> None:
    if callable(exclude):
        return
    if isinstance(exclude, str) or not isinstance(exclude, Sequence):
        raise SettingsError(f"{name} must be a list of path prefixes or a function of the scope.")
    if not all(str(prefix).startswith("/") for prefix in exclude):
        raise SettingsError(f"{name}: each path prefix must start with a slash.")
    if not all(str(prefix).isprintable() for prefix in exclude):
        raise SettingsError(f"{name}: a path prefix has a line break or another control character.")
