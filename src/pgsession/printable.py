"""Texts of servers and clients, made fit for a line of a log or of a terminal."""

import re
from typing import Final

# A pattern that nearly no process needs, so it is compiled at its first use.
# Default_Ignorable_Code_Point of Unicode's DerivedCoreProperties.txt, and a blank that is none.
_BLANK: Final = (
    "[\u00ad\u034f\u061c\u115f-\u1160\u17b4-\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff\u2800]"
)


def printable(text: str) -> str:
    r"""Return a text with all that is not plainly visible escaped, as ``\x1b`` or ``\u202e``.

    So are line ends, marks that change the direction of text, and characters without an image.
    """
    if text.isprintable() and not re.search(_BLANK, text):
        return text
    return "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character.isprintable() and not re.match(_BLANK, character):
        return character
    return character.encode("unicode_escape").decode("ascii")
