"""What a middleware accepts as a store, and as settings."""

from __future__ import annotations

from typing import Final

from starlette.types import Scope

from pgsession.core.store import Store
from pgsession.errors import SettingsError
from pgsession.settings import SessionSettings

#: The methods that tell a store from what is none.
_STORE_METHODS: Final = (
    "open",
    "close",
    "generate",
    "get",
    "get_newest",
    "set",
    "merge",
    "touch",
    "renew",
    "rotate",
    "show",
    "take",
    "exclusive",
    "clear",
)


#: Where a middleware puts its store, in the scopes that it passes on.
_STORE: Final = "pgsession.store"


def offer_store(scope: Scope, store: Store) -> None:
    """Put the store of a middleware into a scope, also if its request has no session."""
    scope[_STORE] = store


def offered_store(scope: Scope) -> Store:
    """Return the store of the innermost middleware. Raises `SettingsError` if there is none."""
    store: Store | None = scope.get(_STORE)
    if store is None:
        raise SettingsError(
            "No SessionMiddleware stands outside of this Readiness, so it has no store. Give it "
            "one: Readiness(store)."
        )
    return store


def check_store(store: object) -> None:
    """Raise `SettingsError` unless `store` is None or has the methods of a store."""
    if isinstance(store, SessionSettings):
        raise SettingsError("The settings were given as the store: write settings=….")
    if isinstance(store, type):
        raise SettingsError(f"store must be a store, not a class: write {store.__name__}(…).")
    if store is not None and not all(hasattr(store, name) for name in _STORE_METHODS):
        raise SettingsError(
            f"store must be a store, such as PostgresStore(…), not {type(store).__name__}."
        )


def check_settings(settings: object) -> None:
    """Raise `SettingsError` unless `settings` is None or a `SessionSettings`."""
    if settings is not None and not isinstance(settings, SessionSettings):
        given = settings.__name__ if isinstance(settings, type) else type(settings).__name__
        raise SettingsError(
            "settings must be a SessionSettings, such as SessionSettings.from_env(), not "
            f"{'the class ' if isinstance(settings, type) else ''}{given}."
        )
