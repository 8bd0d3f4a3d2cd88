"""Where a setting of the server comes from, and how to change it there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, LiteralString

from psycopg.rows import class_row

from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.quoting import identifier, literal
from pgsession.postgres.table_name import catalog_cursor

# What a role has set applies at the login, so to session_user.
_PLACES: Final[LiteralString] = """
SELECT name, source, session_user::text AS role, current_database()::text AS database
FROM pg_settings
WHERE name = ANY (%s::text[])
"""

#: The sources that are set again for each connection.
_OF_CONNECTION: Final = frozenset({"client", "session", "environment variable", "interactive"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where one setting of the server comes from, for this connection."""

    name: str
    #: As pg_settings calls it, such as ``database user``.
    source: str
    role: str
    database: str

    def set(self, wanted: str) -> str:
        """Return what gives it another value: a statement, unless the connection itself sets it.

        A setting of the role counts more than one of the database or of the server, and one of
        the role in this database counts most.
        """
        if self.source in _OF_CONNECTION:
            return (
                f"Correct {self.name} where the connection gets it: in options of the database "
                "URL, in PGOPTIONS, or in the pooler."
            )
        within = f" IN DATABASE {identifier(self.database)}"
        where = within if self.source == "database user" else ""
        role = identifier(self.role)
        return f"ALTER ROLE {role}{where} SET {self.name} = {literal(wanted)};"


async def read_places(connection: Connection, *, names: Sequence[str]) -> dict[str, Place]:
    """Return where the settings of these names come from."""
    async with catalog_cursor(connection, class_row(Place)) as cursor:
        await cursor.execute(_PLACES, (list(names),))
        return {place.name: place for place in await cursor.fetchall()}
