"""The text of a statement as it is sent."""

from __future__ import annotations


class Statement(bytes):
    """A statement in bytes, whose text a library may ask for as for one of `psycopg.sql`.

    OpenTelemetry's sqlcommenter would send the repr of plain bytes.
    """

    __slots__ = ()

    def as_string(self, context: object = None) -> str:
        """Return the text. `context` is psycopg's, and makes no difference."""
        del context
        return self.decode()
