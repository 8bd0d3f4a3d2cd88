"""Texts of others, as they are shown on a terminal."""

from __future__ import annotations

from pgsession.printable import printable

#: What stands where there is nothing, so that columns can be counted.
NOTHING = "-"


def shown(text: str | None) -> str:
    r"""Return a text with all that is not plainly visible escaped, as ``\x1b`` or ``\u202e``.

    So are line ends, marks that change the direction of text, and the backslash.
    """
    return NOTHING if text is None else printable(text.replace("\\", r"\\"))
