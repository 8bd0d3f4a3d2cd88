"""What a middleware accepts as a store."""

from __future__ import annotations

from typing import Final

from pgsession.errors import SettingsError

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


def check_store(store: object) -> None:
    """Raise `SettingsError` unless `store` is None or has the methods of a store."""
    if isinstance(store, type):
        raise SettingsError(f"store must be a store, not a class: write {store.__name__}(…).")
    if store is not None and not all(hasattr(store, name) for name in _STORE_METHODS):
        raise SettingsError(
            f"store must be a store, such as PostgresStore(…), not {type(store).__name__}."
        )
