"""Names and texts as SQL for people: in statements that are printed to be pasted.

What a terminal might interpret (see `shown`) is written as ``U&"…" UESCAPE '!'``: so the statement
is plainly visible, and still names what it is meant for.
"""

from __future__ import annotations

import re
from typing import Final

from psycopg import sql

from pgsession.core.shown import shown

#: A name that needs no quotes, unless it is a keyword.
_PLAIN: Final = r"[a-z_][a-z0-9_]*"

#: The keywords that PostgreSQL 18 accepts as no table's name, unless they are quoted.
RESERVED: Final = frozenset(
    """
    all analyse analyze and any array as asc asymmetric authorization binary both case cast check
    collate collation column concurrently constraint create cross current_catalog current_date
    current_role current_schema current_time current_timestamp current_user default deferrable desc
    distinct do else end except false fetch for foreign freeze from full grant group having ilike in
    initially inner intersect into is isnull join lateral leading left like limit localtime
    localtimestamp natural not notnull null offset on only or order outer overlaps placing primary
    references returning right select session_user similar some symmetric system_user table
    tablesample then to trailing true union unique user using variadic verbose when where window
    with
    """.split()  # noqa: SIM905 - the list takes a line for each of the 101 words
)


def identifier(*names: str) -> str:
    """Return a name as SQL; of several, the last one is qualified by the others."""
    return ".".join(map(_identifier, names))


def literal(text: str) -> str:
    """Return a text as SQL."""
    return sql.Literal(text).as_string() if shown(text) == text else _escaped(text, "'")


def regclass(schema: str, name: str) -> str:
    """Return a table as SQL, for a parameter of the type ``regclass``."""
    return literal(sql.Identifier(schema, name).as_string())


def _identifier(name: str) -> str:
    if re.fullmatch(_PLAIN, name) and name not in RESERVED:
        return name
    if shown(name) == name:
        return sql.Identifier(name).as_string()
    return _escaped(name, '"')


def _escaped(text: str, quote: str) -> str:
    inner = "".join(map(_character, text)).replace(quote, quote * 2)
    return f"U&{quote}{inner}{quote} UESCAPE '!'"


def _character(character: str) -> str:
    if character == "!":
        return "!!"
    return character if shown(character) == character else f"!+{ord(character):06x}"
