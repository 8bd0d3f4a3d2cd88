"""The text of a statement as it is sent."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Final

#: A parameter, by its place or by its name, and an escaped percent sign.
_PLACEHOLDER: Final = re.compile(rb"%(?:%|s|\((\w+)\)s)")


class Statement(bytes):
    """A statement in bytes, whose text a library may ask for as for one of `psycopg.sql`.

    OpenTelemetry's sqlcommenter would send the repr of plain bytes.
    """

    @cached_property
    def numbered(self) -> tuple[bytes, Sequence[str]]:
        """The text as psycopg sends it, with `$1` for the first parameter.

        And the names of the parameters in the order of their numbers, if they
        have names. psycopg itself parses a long text anew each time.
        """
        names: list[str] = []

        def number(match: re.Match[bytes]) -> bytes:
            if match[0] == b"%%":
                return b"%"
            name = (match[1] or b"").decode()
            if not name or name not in names:
                names.append(name)
                return b"$%d" % len(names)
            return b"$%d" % (names.index(name) + 1)

        text = _PLACEHOLDER.sub(number, self)
        return text, names if any(names) else ()

    def as_string(self, context: object = None) -> str:
        """Return the text. `context` is psycopg's, and makes no difference."""
        del context
        return self.decode()
