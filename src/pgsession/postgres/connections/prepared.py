"""Prepared statements whose names are made of their texts.

psycopg numbers the prepared statements of each connection. If a pooler moves clients
between server connections unnoticed, such a name means another client's statement: a read
might run a DELETE. A name made of the text means this text or nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from psycopg._preparing import Key, Prepare, PrepareManager
from psycopg._queries import PostgresQuery
from psycopg.pq.abc import PGresult


class NamedByText(PrepareManager):
    """psycopg's record of what is prepared on a connection, with other names."""

    def get(
        self,
        query: PostgresQuery,
        prepare: bool | None = None,  # noqa: FBT001 - as psycopg calls it
    ) -> tuple[Prepare, bytes]:
        """Tell whether the query is to be prepared, or is prepared already, and its name."""
        verdict, name = super().get(query, prepare)
        if verdict is Prepare.SHOULD:
            text = b"%b %b" % (repr(query.types).encode(), query.query)
            name = b"pgsession_" + sha256(text).hexdigest()[:40].encode()
        return verdict, name

    def name_of(self, query: bytes, types: tuple[int, ...]) -> bytes | None:
        """Return the name of a statement that is prepared, and count that as its latest use.

        None if it is not, or if statements are not to be prepared any more.
        """
        name = None if self.prepare_threshold is None else self._names.get((query, types))
        if name is not None:
            self._names.move_to_end((query, types))
        return name

    def validate(self, key: Key, prep: Prepare, name: bytes, results: Sequence[PGresult]) -> None:
        """Keep the name of a statement that was prepared, even if its first execution failed.

        psycopg would forget it, which is fine only for a name that is used once.
        """
        if prep is not Prepare.SHOULD:
            super().validate(key, prep, name, results)
        elif not self._should_discard(prep, results):
            self._rotate()
