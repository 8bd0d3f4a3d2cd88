"""Server-side sessions in PostgreSQL behind plain ``request.session``.

::

    from pgsession import PostgresStore, SessionMiddleware

    store = PostgresStore("postgresql://localhost/app")
    app.add_middleware(SessionMiddleware, store=store, secret_key=…)
"""

from pgsession.errors import (
    InvalidPeriodError,
    InvalidValueError,
    ResponseStartedError,
    SchemaError,
    SessionError,
    SessionExcludedError,
    SessionNotFoundError,
    SettingsError,
    StoreBusyError,
    StoreClosedError,
    StoreUnavailableError,
    UnsupportedTypeError,
    ValueTooLargeError,
)
from pgsession.memory import MemoryStore
from pgsession.middleware import SessionMiddleware
from pgsession.postgres import PostgresStore
from pgsession.session import Session
from pgsession.settings import SessionSettings
from pgsession.store import Changes, Entry, Store
from pgsession.sweep import Swept

__all__ = [
    "Changes",
    "Entry",
    "InvalidPeriodError",
    "InvalidValueError",
    "MemoryStore",
    "PostgresStore",
    "ResponseStartedError",
    "SchemaError",
    "Session",
    "SessionError",
    "SessionExcludedError",
    "SessionMiddleware",
    "SessionNotFoundError",
    "SessionSettings",
    "SettingsError",
    "Store",
    "StoreBusyError",
    "StoreClosedError",
    "StoreUnavailableError",
    "Swept",
    "UnsupportedTypeError",
    "ValueTooLargeError",
]
