"""Every error that pgsession raises on purpose.

::

    SessionError
    ├── SettingsError              ValueError       a setting is wrong or missing
    ├── InvalidPeriodError         ValueError       a period that no clock can hold
    ├── InvalidValueError          ValueError       a value that JSON or PostgreSQL cannot hold
    │   ├── UnsupportedTypeError   TypeError        an object that JSON has no word for
    │   └── ValueTooLargeError     ValueError       more bytes than the limit
    ├── SessionNotFoundError       LookupError      the key is unknown, cleared or expired
    ├── SessionExcludedError       RuntimeError     `request.session` on an excluded path
    ├── ResponseStartedError       RuntimeError     too late for a new key or another cookie
    ├── SchemaError                RuntimeError     the table is missing, old or altered
    ├── StoreClosedError           RuntimeError     the store was closed, or belongs elsewhere
    └── StoreUnavailableError      ConnectionError  PostgreSQL cannot answer now
        └── StoreBusyError         TimeoutError     it could, but too many wait for it already

No message holds a key, a cookie, a secret or a part of a value: at most the
path that leads to the part, such as ``session["cart"][3]``.
"""


class SessionError(Exception):
    """The root: catch this to catch whatever pgsession raises on purpose."""


class SettingsError(SessionError, ValueError):
    """A setting is wrong or missing. The message names it."""


class InvalidPeriodError(SessionError, ValueError):
    """A period is NaN, infinite, a bool, no number, or beyond a hundred years."""


class InvalidValueError(SessionError, ValueError):
    """A session value cannot be stored. Nothing was written; the old value is intact."""


class UnsupportedTypeError(InvalidValueError, TypeError):
    """Part of a session value is of a type that JSON does not have."""


class ValueTooLargeError(InvalidValueError):
    """A session value is larger than the limit, in bytes of its JSON text."""


class SessionNotFoundError(SessionError, LookupError):
    """The key is unknown, cleared, renewed or expired. Nothing was written."""

    def __init__(
        self,
        message: str = "The session is unknown, cleared, renewed or expired; nothing was written. "
        "Generate a new one.",
    ) -> None:
        super().__init__(message)


class SessionExcludedError(SessionError, RuntimeError):
    """`request.session` was used on a path that the middleware excludes."""


class ResponseStartedError(SessionError, RuntimeError):
    """The response has started, so the browser cannot be given a new key or period any more."""

    def __init__(
        self,
        message: str = "The response has started, so its cookie cannot be set any more. Start, "
        "renew or prolong a session before the response starts.",
    ) -> None:
        super().__init__(message)


class SchemaError(SessionError, RuntimeError):
    """The database lacks the table that this version needs. The message names the remedy."""


class StoreClosedError(SessionError, RuntimeError):
    """The store was closed, or is open in another event loop or process."""


class StoreUnavailableError(SessionError, ConnectionError):
    """The database cannot answer now; the session may well be alive. Try again later."""


class StoreBusyError(StoreUnavailableError, TimeoutError):
    """Too many callers wait for the database already. Try again later."""
