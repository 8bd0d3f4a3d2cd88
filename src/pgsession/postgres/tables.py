"""The statements of one store: written for what its database turns out to be."""

from __future__ import annotations

from msgspec.structs import replace
from psycopg import AsyncRawCursor

from pgsession.core.logs import event, own_logger
from pgsession.errors import SettingsError
from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.connections.pooler import is_pooled, keeps_statements_apart
from pgsession.postgres.distribution import is_distributed
from pgsession.postgres.statements.table import Table
from pgsession.postgres.statements.text import Wording
from pgsession.postgres.table_name import TableName, find
from pgsession.postgres.validation import validate

_LOGGER = own_logger()


class Tables:
    """The statements on the table of a store, for each place where they run.

    They are prepared unless `prepared` is False, or None while a pooler stands in
    between. `timeout` is how many seconds a statement in a block waits at most.
    """

    def __init__(self, wording: Wording, *, prepared: bool | None, timeout: float) -> None:
        self._wording = wording
        self._prepared = prepared
        #: For batches, on the connections of the pool.
        self.batched: Table = Table(replace(wording, is_patient=True))
        #: For the transaction of an `exclusive` block.
        self.held: Table = Table(
            replace(
                wording, clock="statement_timestamp", longest_wait=timeout + wording.longest_wait
            )
        )
        #: For a transaction of the application's: they name the schema of the table. None until
        #: `check` has found it.
        self.located: Table | None = None

    async def check(self, connection: Connection) -> None:
        """Check the database, on the first connection of all, and whether to prepare statements.

        Raises what `validate` raises, and `SettingsError` if `prepared` cannot work.
        """
        if issubclass(connection.cursor_factory, AsyncRawCursor):
            raise SettingsError(
                "The pool's connections have the cursor_factory AsyncRawCursor, which takes other "
                "placeholders: give the store a pool without it."
            )
        name = self._wording.name
        await validate(connection, name)
        prepared = self._prepared is not False
        if prepared and await is_pooled(connection):
            prepared = self._prepared is True
            if not prepared:
                _LOGGER.info(
                    "A pooler stands between this process and PostgreSQL: statements are not "
                    "prepared.",
                    extra=event("pooler_found"),
                )
            elif not await keeps_statements_apart(connection):
                raise SettingsError(
                    "prepared=True cannot work: the pooler in between mixes up the prepared "
                    "statements of its clients. Leave prepared out, or set "
                    "max_prepared_statements in PgBouncer 1.21 or later."
                )
        self.batched.prepared = self.held.prepared = prepared
        found = await find(connection, name)
        distributed = found is not None and await is_distributed(connection, found)
        schema = name.schema if found is None else found.schema
        self.located = Table(
            replace(
                self._wording,
                name=TableName(schema, name.name),
                clock="statement_timestamp",
                is_distributed=distributed,
            )
        )
        self.located.prepared = prepared
        self.batched.is_distributed = self.held.is_distributed = distributed

    async def inspect(self, connection: Connection) -> None:
        """Find out whether to prepare statements on a new connection of the caller's pool.

        Its server may be another one than at first: the next host, or a pooler
        that has taken over the address.
        """
        if (
            self.batched.prepared
            and await is_pooled(connection)
            and not (self._prepared and await keeps_statements_apart(connection))
        ):
            self.stop_preparing("A pooler now stands between this process and PostgreSQL")

    def stop_preparing(
        self, reason: str = "A prepared statement went astray, probably in a pooler"
    ) -> None:
        """Prepare no statements from now on."""
        if self.batched.prepared:
            _LOGGER.warning(
                "%s: statements are not prepared any more.",
                reason,
                extra=event("preparing_stopped"),
            )
            self.batched.prepared = self.held.prepared = False
            if self.located is not None:
                self.located.prepared = False
