"""All that ``pgsession stats`` reads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Final, LiteralString

from psycopg.rows import tuple_row

from pgsession.cli.counting import Counts, TopUser, count_living, read_counts, read_top
from pgsession.cli.holding import Holder, read_holders, read_sees_others
from pgsession.cli.storage import (
    Activity,
    Index,
    Sizes,
    read_activity,
    read_distributed_sizes,
    read_free_share,
    read_indexes,
    read_parts,
    read_sizes,
)
from pgsession.errors import SchemaError, SettingsError
from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.connections.conninfo import complete_conninfo
from pgsession.postgres.connections.dedicated import dedicated
from pgsession.postgres.connections.runner import DEFAULT_TIMEOUT
from pgsession.postgres.distribution import is_distributed
from pgsession.postgres.statements.text import Wording
from pgsession.postgres.table_name import Found, TableName, catalog_cursor, find
from pgsession.postgres.validation import validate_table
from pgsession.settings import SessionSettings

#: Seconds that reading the catalog may take, or counting the sessions for a question.
_BRIEFLY: Final = 10.0

_MAY_READ: Final[LiteralString] = """
SELECT
    has_table_privilege(%(oid)s::int8::oid, 'SELECT')
        AND NOT row_security_active(%(oid)s::int8::oid)
"""


@dataclass(frozen=True, slots=True)
class Statistics:
    """All that ``pgsession stats`` has found, also the document that ``--json`` prints."""

    table: str
    is_quick: bool
    is_distributed: bool
    #: None if they were not counted; `not_counted` says why.
    counts: Counts | None
    not_counted: str | None
    top: list[TopUser] | None
    sizes: Sizes
    indexes: list[Index]
    #: None for a distributed table: other nodes have its rows.
    activity: Activity | None
    #: About which share of the table's pages is free; None if unknown.
    free_share: float | None
    #: What holds VACUUM back, the oldest first; five at most.
    holders: list[Holder]
    #: False if the role may not see what other roles do.
    sees_others: bool


async def estimate(settings: SessionSettings) -> tuple[int, bool]:
    """Count the living sessions; or, if that takes too long, estimate the rows. Tell which."""
    async with dedicated(_conninfo(settings), purpose="count", timeout=3 * _BRIEFLY) as connection:
        return await connection.run(partial(_estimate, settings=settings))


async def read_statistics(
    settings: SessionSettings, *, is_quick: bool, most: int, timeout: float
) -> Statistics:
    """Read the statistics of the table. Each of two counts stops after `timeout` seconds.

    Raises `SchemaError` if there is no table as this version needs it, and
    `StoreUnavailableError`.
    """
    reading = _Reading(settings, most, timeout)
    conninfo = _conninfo(settings)
    async with dedicated(conninfo, purpose="stats", timeout=_BRIEFLY) as connection:
        statistics = await connection.run(reading.read_catalog)
    if is_quick:
        return statistics
    limit = 2 * timeout + _BRIEFLY
    async with dedicated(conninfo, purpose="stats", timeout=limit) as connection:
        return await connection.run(reading.count, statistics)


class _Reading:
    """What one run reads."""

    def __init__(self, settings: SessionSettings, most: int, timeout: float) -> None:
        self._settings = settings
        self._most = most
        self._timeout = timeout

    async def read_catalog(self, connection: Connection) -> Statistics:
        """Read what PostgreSQL knows of the table, whatever its size."""
        found, wording = await _wording(connection, self._settings)
        distributed = wording.is_distributed
        parts = await read_parts(connection, found)
        if distributed:
            sizes = await read_distributed_sizes(connection, found)
        else:
            sizes = await read_sizes(connection, parts)
        return Statistics(
            table=str(wording.name),
            is_quick=True,
            is_distributed=distributed,
            counts=None,
            top=None,
            not_counted="--quick",
            sizes=sizes,
            indexes=[] if distributed else await read_indexes(connection, parts),
            activity=None if distributed else await read_activity(connection, parts),
            free_share=None if distributed else await read_free_share(connection, found),
            holders=await read_holders(connection),
            sees_others=await read_sees_others(connection),
        )

    async def count(self, connection: Connection, statistics: Statistics) -> Statistics:
        """Add what needs the whole table, if this role may read it."""
        found, wording = await _wording(connection, self._settings)
        statistics = replace(statistics, is_quick=False, not_counted=None)
        async with catalog_cursor(connection, tuple_row) as cursor:
            await cursor.execute(_MAY_READ, {"oid": found.oid})
            [(may_read,)] = await cursor.fetchall()
        if not may_read:
            return replace(statistics, not_counted="this role may not read all rows of the table")
        counts = await read_counts(connection, wording, timeout=self._timeout)
        if counts is None:
            late = f"it takes longer than {self._timeout:g} s: give a longer --timeout, or --quick"
            return replace(statistics, not_counted=late)
        top = await read_top(connection, wording, most=self._most, timeout=self._timeout)
        return replace(statistics, counts=counts, top=top)


def _conninfo(settings: SessionSettings) -> str:
    if settings.database_url is None:
        raise SettingsError("database_url is missing: set SESSION_DATABASE_URL.")
    return complete_conninfo(settings.database_url, {}, timeout=DEFAULT_TIMEOUT)


async def _wording(connection: Connection, settings: SessionSettings) -> tuple[Found, Wording]:
    """Return where the table is, and how statements on it are written."""
    name = TableName(settings.schema, settings.table)
    await validate_table(connection, name)
    found = await find(connection, name)
    if found is None:  # dropped just now
        raise SchemaError(f"There is no table {name}; run `pgsession migrate`.")
    store = settings.make_store()
    return found, Wording(
        TableName(found.schema, name.name),
        max_lifetime=store.max_lifetime,
        max_inactivity=store.max_inactivity,
        is_distributed=await is_distributed(connection, found),
    )


async def _estimate(connection: Connection, *, settings: SessionSettings) -> tuple[int, bool]:
    found, wording = await _wording(connection, settings)
    parts = await read_parts(connection, found)
    return await count_living(connection, wording, parts, timeout=_BRIEFLY)
