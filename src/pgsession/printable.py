"""Texts of servers and clients, made fit for a line of a log or of a terminal."""


def printable(text: str) -> str:
    r"""Return a text with all that is not plainly visible escaped, as ``\x1b`` or ``\u202e``.

    So are line ends and marks that change the direction of text.
    """
    return text if text.isprintable() else "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")
