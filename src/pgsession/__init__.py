"""Server-side sessions in PostgreSQL behind plain ``request.session``.

::

    from pgsession import PostgresStore, SessionMiddleware

    store = PostgresStore("postgresql://localhost/app")
    app.add_middleware(SessionMiddleware, store=store, secret_key=…)
"""

from importlib import import_module
from typing import TYPE_CHECKING

from pgsession.asgi.access import get_session
from pgsession.asgi.middleware import SessionMiddleware
from pgsession.asgi.sessions import Sessions
from pgsession.cookie_settings import CookieSettings
from pgsession.core.adoption import Adopted, AdoptingStore, Adoption
from pgsession.core.bound import BindingStore, Bound, BoundDevice
from pgsession.core.flash import Flash
from pgsession.core.login import Login, SignedIn
from pgsession.core.overview import SignedInUser
from pgsession.core.predecessor import OldSession, Predecessor
from pgsession.core.session import Session
from pgsession.core.store import Changes, Entry, Store, Written
from pgsession.core.users import Device, LoginState, NewDevice, UserStore
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
from pgsession.postgres.sweeping.sweep import Swept
from pgsession.settings import SessionSettings
from pgsession.telemetry.choice import Telemetry
from pgsession.version import __version__

if TYPE_CHECKING:
    from pgsession.asgi.flash import flashes, take_flashes
    from pgsession.asgi.probes import Liveness, Readiness
    from pgsession.asgi.reposting import repost
    from pgsession.core.old_cookie import OldCookie
    from pgsession.memory import MemoryStore
else:  # a type checker would take any name
    #: The names that most applications do not use, and their modules: these are imported at the
    #: first use, so that the others start sooner.
    _ELSEWHERE = {
        "Liveness": "asgi.probes",
        "MemoryStore": "memory",
        "OldCookie": "core.old_cookie",
        "Readiness": "asgi.probes",
        "flashes": "asgi.flash",
        "repost": "asgi.reposting",
        "take_flashes": "asgi.flash",
    }

    def __getattr__(name: str) -> object:
        if name not in _ELSEWHERE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
        return getattr(import_module(f"{__name__}.{_ELSEWHERE[name]}"), name)

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
