"""docs/reference/table.md describes the table that the migrations make."""

import re
from typing import Final

from psycopg import Connection

from pgsession.postgres.schema import migrations
from pgsession.postgres.validation import COLUMNS
from tests.project.documents import Document

PAGE: Final = Document("docs/reference/table.md")

_COLUMN: Final = re.compile(
    r"^\| \[?`(\w+)`(?:\]\(#\1\))? \| `(\w+)` \| (no|yes) \| (\S+) \| (.+?) \|$", re.MULTILINE
)

_COLUMNS: Final = """
SELECT
    a.attname::text,
    t.typname::text,
    CASE WHEN a.attnotnull THEN 'no' ELSE 'yes' END,
    coalesce('`' || pg_get_expr(d.adbin, d.adrelid) || '`', '\u2013')
FROM pg_attribute AS a
JOIN pg_type AS t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""


def test_columns(table: Connection) -> None:
    """The page has each column of the two tables, with its type, its default and whether it may
    be null.
    """
    described = [row[:4] for row in _COLUMN.findall(PAGE.text)]
    found = [
        *sorted(table.execute(_COLUMNS, ("session",)).fetchall()),
        *table.execute(_COLUMNS, ("session_migration",)).fetchall(),
    ]
    of_sessions = len(COLUMNS)
    assert sorted(described[:of_sessions]) + described[of_sessions:] == found


def test_sections() -> None:
    """Each column has a section, in the order of the table."""
    names = [row[0] for row in _COLUMN.findall(PAGE.text)][: len(COLUMNS)]
    assert re.findall(r"^### (\w+)$", PAGE.text, re.MULTILINE) == names
    assert {*names} == {*COLUMNS}


def test_migrations() -> None:
    """The migration that the page names for a column is the first whose file has it."""
    texts = {each.name[:4]: each.sql for each in migrations()}
    for name, _, _, _, brought in _COLUMN.findall(PAGE.text)[: len(COLUMNS)]:
        added = re.compile(rf"(?:^    |ADD COLUMN |NOT EXISTS ){name} +\w", re.MULTILINE)
        first = min(number for number, text in texts.items() if added.search(text))
        assert (name, brought) == (name, first)


def test_indexes(table: Connection) -> None:
    """The page has each index and constraint of the table."""
    indexes = table.execute(
        "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = 'session'::regclass"
    ).fetchall()
    checks = table.execute(
        "SELECT conname::text FROM pg_constraint WHERE conrelid = 'session'::regclass"
        " AND contype = 'c'"
    ).fetchall()
    described = re.findall(r"^\| `(session_\w+)` \| (?!`)", PAGE.text, re.MULTILINE)
    assert {*described} == {name.rpartition(".")[2] for (name,) in [*indexes, *checks]}


def test_parameters(table: Connection) -> None:
    """The page has each storage parameter, with its value, and says which needs a server."""
    [(own, toast)] = table.execute(
        "SELECT c.reloptions, t.reloptions FROM pg_class AS c"
        " JOIN pg_class AS t ON t.oid = c.reltoastrelid WHERE c.oid = 'session'::regclass"
    ).fetchall()
    found = {*own, *(f"toast.{each}" for each in toast)}
    described = re.findall(r"^\| `([\w.]+)` \| ([\d.]+|false) \|", PAGE.text, re.MULTILINE)
    [(lz4,)] = table.execute(
        "SELECT 'lz4' = ANY (enumvals) FROM pg_settings WHERE name = 'default_toast_compression'"
    ).fetchall()
    if lz4:
        found.add("toast_tuple_target=2712")
    assert {f"{name}={value}" for name, value in described} == found
