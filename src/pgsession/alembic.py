"""Beside Alembic: its autogenerate leaves our tables alone, and a revision makes them.

It imports neither Alembic nor SQLAlchemy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pgsession.core.logs import log_migration
from pgsession.postgres.attempts import LOCK_TIMEOUT, Attempts
from pgsession.postgres.connections.startup import Report
from pgsession.postgres.table_name import DEFAULT_TABLE, TableName
from pgsession.postgres.within import Bind, migrate_within

__all__ = ["Bind", "ParentName", "SessionTables"]

#: The keys of `parent_names`, as Alembic types them.
ParentName: TypeAlias = Literal["schema_name", "table_name", "schema_qualified_table_name"]


@dataclass(frozen=True, slots=True)
class SessionTables:
    """The session table and the record of its migrations.

    Raises `SettingsError` for a name that cannot work.
    """

    #: The schema as Alembic names it: None for the default one of its connection, which is the
    #: first of the search_path.
    schema: str | None = None
    #: The setting of the same name.
    table: str = DEFAULT_TABLE

    def __post_init__(self) -> None:
        TableName(self.schema, self.table)

    def include_name(
        self, name: str | None, type_: str, parent_names: Mapping[ParentName, str | None]
    ) -> bool:
        """Return False for our tables in the database: the `include_name` of ``context.configure``.

        Autogenerate then does not read them. If your metadata has the session table too, use
        `include_object`, or Alembic would create it.
        """
        return type_ != "table" or not self._has(name, parent_names.get("schema_name"))

    def include_object(
        self,
        object: object,  # noqa: A002 - the names are Alembic's
        name: str | None,
        type_: str,
        reflected: bool,  # noqa: FBT001 - as above
        compare_to: object | None,
    ) -> bool:
        """Return False for our tables, in the database and in your metadata.

        It is the `include_object` of ``context.configure``.
        """
        del reflected, compare_to
        return type_ != "table" or not self._has(name, getattr(object, "schema", None))

    def upgrade(
        self, bind: Bind, *, lock_timeout: float = LOCK_TIMEOUT, report: Report = log_migration
    ) -> list[str]:
        """Apply the migrations that the database lacks, as a part of the transaction of `bind`.

        `bind` is a `Connection` of SQLAlchemy, with any driver: in a revision, ``op.get_bind()``.
        Returns the names of the migrations. They are committed with the transaction, or not at
        all. ``pgsession migrate`` finds them applied then. `schema` is created if it is missing.

        While a migration waits for a lock, all statements on the table wait behind it: so it waits
        for `lock_timeout` seconds at most, and without a limit only for another migration. It holds
        its locks until the transaction ends. `report` gets a line if the database is newer.

        Raises `SettingsError` for a number, a connection or a transaction that cannot work (offline
        mode, autocommit, REPEATABLE READ or SERIALIZABLE), `StoreBusyError` if the table was in
        use, and `SchemaError` if the table belongs to something else or is too new, or a migration
        fails. After an error, roll the transaction back.
        """
        Attempts(lock_timeout, 1, report)  # checks the number
        table = TableName(self.schema, self.table)
        return migrate_within(bind, table, lock_timeout=lock_timeout, report=report)

    def _has(self, name: str | None, schema: str | None) -> bool:
        table = TableName(self.schema, self.table)
        return schema == self.schema and name in {table.name, table.record}
