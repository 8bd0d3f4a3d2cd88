"""The text of a statement as it is sent."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from psycopg._queries import _query2pg_nocache
from psycopg.adapt import PyFormat


class Statement(bytes):
    """A statement in bytes, whose text a library may ask for as for one of `psycopg.sql`.

    OpenTelemetry's sqlcommenter would send the repr of plain bytes.
    """

    @cached_property
    def numbered(self) -> tuple[bytes, Sequence[PyFormat], Sequence[str]]:
        """What psycopg makes of it, with `$1` for the first parameter.

        The text, the formats of the parameters, and their names in the order of
        their numbers. psycopg parses a long text anew each time.
        """
        text, formats, names, _ = _query2pg_nocache(self, "utf-8")
        return text, formats, names or ()

    def as_string(self, context: object = None) -> str:
        """Return the text. `context` is psycopg's, and makes no difference."""
        del context
        return self.decode()
