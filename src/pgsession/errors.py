"""All errors that pgsession raises on purpose.

::

    SessionError
    ├── SettingsError              ValueError       a setting is wrong or missing
    ├── InvalidPeriodError         ValueError       a period is no number, or too long
    ├── InvalidValueError          ValueError       JSON or PostgreSQL cannot hold a value
    │   ├── UnsupportedTypeError   TypeError        JSON has no such type
    │   └── ValueTooLargeError     ValueError       a value has more bytes than the limit
    ├── SessionNotFoundError       LookupError      the key is unknown, cleared or expired
    ├── UnknownUserError           LookupError      a login of a user that does not exist
    ├── SessionEndedError          RuntimeError     the session ended within a `lasting` block
    ├── SessionExcludedError       RuntimeError     `request.session` on an excluded path
    ├── SessionMissingError        RuntimeError     a connection without a session of ours
    ├── ProofMissingError          RuntimeError     a bound session without its proof
    ├── ResponseStartedError       RuntimeError     too late for a cookie or a new key
    ├── RequestEndedError          RuntimeError     too late for any use of a session
    ├── SchemaError                RuntimeError     the table is missing, old or altered
    ├── StoreClosedError           RuntimeError     the store was closed, or is open elsewhere
    └── StoreUnavailableError      ConnectionError  PostgreSQL cannot answer now
        ├── StoreBusyError         TimeoutError     no connection or lock was free in time
        │   └── SessionBusyError   TimeoutError     something else holds this one session
        │       └── HeldTooLongError TimeoutError   a block held a lock for too long
        └── StoreRejectedError     PermissionError  PostgreSQL rejects the connection

No message holds a key, a cookie, a secret or a part of a value. A message may
hold the path to a part, such as ``session["cart"][3]``. Each is one line, and all its characters
are printable: a server's text and its names are escaped.
"""

from pgsession.printable import printable


class SessionError(Exception):
    """The base class of all errors that pgsession raises on purpose."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*(printable(it) if isinstance(it, str) else it for it in arguments))


class SettingsError(SessionError, ValueError):
    """A setting is wrong or missing. The message names it."""


class InvalidPeriodError(SessionError, ValueError):
    """A period has a wrong type (bool included), is NaN or infinite, or exceeds 100 years."""


class InvalidValueError(SessionError, ValueError):
    """A session value cannot be stored. Nothing was written: the stored value is unchanged."""


class UnsupportedTypeError(InvalidValueError, TypeError):
    """A part of a session value has a type that JSON does not have."""


class ValueTooLargeError(InvalidValueError):
    """A session value is larger than the limit, in bytes of the text that PostgreSQL prints."""


class SessionNotFoundError(SessionError, LookupError):
    """The key is unknown, cleared, renewed or expired. Nothing was written."""

    def __init__(
        self,
        message: str = "The session is unknown, cleared, renewed or expired; nothing was written. "
        "Generate a new one.",
    ) -> None:
        super().__init__(message)


class UnknownUserError(SessionError, LookupError):
    """A foreign key of the session table, or a column computed from `user_id`, refuses a login.

    Nobody is signed in, and the row is as it was.
    """

    def __init__(
        self,
        message: str = "A login was refused: the table of users has no such user, as the foreign "
        "key of the session table says, or user_id is not of the type of its computed column. "
        "Commit a new user before the response that signs them in.",
    ) -> None:
        super().__init__(message)


class SessionEndedError(SessionError, RuntimeError):
    """The session has ended, so its `lasting` block was cancelled."""

    def __init__(
        self,
        message: str = "The session of this stream has ended: it was logged out, revoked or "
        "deleted, has expired, or somebody has logged in to it. End the stream.",
    ) -> None:
        super().__init__(message)


class SessionExcludedError(SessionError, RuntimeError):
    """`request.session` was used on a path that the middleware excludes."""


class SessionMissingError(SessionError, RuntimeError):
    """A connection has no session of pgsession. The message says why, and what to do."""


class ProofMissingError(SessionError, RuntimeError):
    """The request came without the proof that its session is bound to a device."""

    def __init__(
        self,
        message: str = "The request came without the proof of the device that its session is bound "
        "to, or must be bound to here. The session is empty, and only login() and logout() work: "
        "check session.proof_missing first.",
    ) -> None:
        super().__init__(message)


class ResponseStartedError(SessionError, RuntimeError):
    """The response has started, so it cannot set a cookie with a new key or period any more."""

    def __init__(
        self,
        message: str = "The response has started, so its cookie cannot be set any more. Start, "
        "renew or prolong a session before the response starts.",
    ) -> None:
        super().__init__(message)


class RequestEndedError(SessionError, RuntimeError):
    """The request of the session is over: nothing would save a change, or wait for its end."""

    def __init__(
        self,
        message: str = "The request of this session is over, so it can only be read. Change it "
        "before the request ends, and enter lasting() before. Afterwards open it again: async with "
        "sessions.open(session), of pgsession.Sessions.",
    ) -> None:
        super().__init__(message)


class SchemaError(SessionError, RuntimeError):
    """The database lacks the table that this version needs. The message says what to do."""


class StoreClosedError(SessionError, RuntimeError):
    """The store was closed, or is open in another event loop or process."""


class StoreUnavailableError(SessionError, ConnectionError):
    """The database cannot answer now. The session may exist: retry later."""


class StoreBusyError(StoreUnavailableError, TimeoutError):
    """No connection, or no lock of a session, was free in time. Retry later."""


class SessionBusyError(StoreBusyError):
    """Another transaction or block held this session for too long. Others are not affected."""


class HeldTooLongError(SessionBusyError):
    """An `exclusive` block held its lock for `exclusive_limit`, and was cancelled.

    Nothing of it was committed, except by `save` and `take`.
    """

    def __init__(
        self,
        message: str = "A block held a session's lock for longer than exclusive_limit, and was "
        "cancelled: its changes are undone. Wait for other services before the block, not in it, "
        "or raise exclusive_limit.",
    ) -> None:
        super().__init__(message)


class StoreRejectedError(StoreUnavailableError, PermissionError):
    """PostgreSQL rejects the connection: a wrong password, role or database, or pg_hba.conf.

    It does not pass by itself, so it stops the start of an application.
    """
