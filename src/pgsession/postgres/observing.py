"""What is observed of a store: its place and its pool."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from pgsession.core.hidden import hidden
from pgsession.core.observer import Place, StoreObserver
from pgsession.postgres.connections.conninfo import ADDRESS, address_in
from pgsession.postgres.connections.observed_pool import ObservedPool
from pgsession.postgres.connections.own_pool import PoolSettings
from pgsession.postgres.connections.pool import DriverPool, Pool
from pgsession.postgres.table_name import TableName

_PORT: Final = "5432"


def observed_by(observer: StoreObserver) -> Callable[..., Pool]:
    """Return what makes a pool that tells an observer of its connections."""
    return partial(ObservedPool, observer=observer)


def place_of(source: PoolSettings | DriverPool, table: TableName) -> Place:
    """Return where the table is, as far as the settings say."""
    pool: str | None = None
    if isinstance(source, PoolSettings):
        known = address_in(source.conninfo)
    else:
        conninfo = hidden(source.conninfo)
        known = address_in(conninfo) if isinstance(conninfo, str) else {}
        pool = source.name
        if isinstance(source.kwargs, dict):
            known |= {name: str(it) for name, it in source.kwargs.items() if name in ADDRESS}
    port = known.get("port", _PORT)
    namespace = "|".join(it for it in (known.get("dbname"), table.schema) if it)
    return Place(
        known.get("host") or known.get("hostaddr"),
        int(port) if port.isdecimal() and port != _PORT else None,
        namespace or None,
        table.name,
        pool,
    )
