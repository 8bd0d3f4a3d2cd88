"""Server-side sessions in PostgreSQL behind plain ``request.session``.

::

    from pgsession import PostgresStore, SessionMiddleware

    store = PostgresStore("postgresql://localhost/app")
    app.add_middleware(SessionMiddleware, store=store, secret_key=…)
"""

from typing import TYPE_CHECKING

from pgsession import rare
from pgsession.asgi.access import get_session
from pgsession.asgi.middleware import SessionMiddleware
from pgsession.asgi.sessions import Sessions
from pgsession.core.login import Login, SignedIn
from pgsession.core.session import Session
from pgsession.core.store import Changes, Entry, Store, Written
from pgsession.core.users import LoginState, UserStore
from pgsession.errors import (
    HeldTooLongError,
    InvalidPeriodError,
    InvalidValueError,
    ProofMissingError,
    RequestEndedError,
    ResponseStartedError,
    SchemaError,
    SessionBusyError,
    SessionEndedError,
    SessionError,
    SessionExcludedError,
    SessionMissingError,
    SessionNotFoundError,
    SettingsError,
    StoreBusyError,
    StoreClosedError,
    StoreRejectedError,
    StoreUnavailableError,
    UnknownUserError,
    UnsupportedTypeError,
    ValueTooLargeError,
)
from pgsession.postgres.store import PostgresStore
from pgsession.settings import SessionSettings
from pgsession.version import __version__

if TYPE_CHECKING:
    from pgsession.rare import (
        Adopted,
        AdoptingStore,
        Adoption,
        BindingStore,
        Bound,
        BoundDevice,
        CookieSettings,
        Device,
        Flash,
        Liveness,
        MemoryStore,
        NewDevice,
        OldCookie,
        OldSession,
        Predecessor,
        Readiness,
        SignedInUser,
        Swept,
        Telemetry,
        flashes,
        repost,
        take_flashes,
    )
else:  # a type checker would take any name

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
        return getattr(rare, name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


__all__ = [
    "Adopted",
    "AdoptingStore",
    "Adoption",
    "BindingStore",
    "Bound",
    "BoundDevice",
    "Changes",
    "CookieSettings",
    "Device",
    "Entry",
    "Flash",
    "HeldTooLongError",
    "InvalidPeriodError",
    "InvalidValueError",
    "Liveness",
    "Login",
    "LoginState",
    "MemoryStore",
    "NewDevice",
    "OldCookie",
    "OldSession",
    "PostgresStore",
    "Predecessor",
    "ProofMissingError",
    "Readiness",
    "RequestEndedError",
    "ResponseStartedError",
    "SchemaError",
    "Session",
    "SessionBusyError",
    "SessionEndedError",
    "SessionError",
    "SessionExcludedError",
    "SessionMiddleware",
    "SessionMissingError",
    "SessionNotFoundError",
    "SessionSettings",
    "Sessions",
    "SettingsError",
    "SignedIn",
    "SignedInUser",
    "Store",
    "StoreBusyError",
    "StoreClosedError",
    "StoreRejectedError",
    "StoreUnavailableError",
    "Swept",
    "Telemetry",
    "UnknownUserError",
    "UnsupportedTypeError",
    "UserStore",
    "ValueTooLargeError",
    "Written",
    "__version__",
    "flashes",
    "get_session",
    "repost",
    "take_flashes",
]
