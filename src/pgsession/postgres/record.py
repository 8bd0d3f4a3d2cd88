"""The record: which migrations a database has, and what they say to older code.

An older version cannot know what a newer migration changes. So each migration from
0003 on records in the column older_code whether versions that do not know it may run
on the table: ``may run``, or ``must not run: `` and the reason.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from psycopg import sql

#: What a migration records if versions that do not know it may run on the table.
_MAY_RUN: Final = "may run"

# Without a cast: that of another role's type could run its code.
_READ: Final = sql.SQL("SELECT name, {older_code} FROM {record}")


def read_query(record: sql.Identifier, *, has_older_code: bool) -> sql.Composed:
    """Return the query for the items of `Record.older_code`. Migration 0003 adds the column."""
    older_code = sql.SQL("older_code" if has_older_code else "NULL")
    return _READ.format(record=record, older_code=older_code)


@dataclass(frozen=True, slots=True)
class Record:
    """The names of the recorded migrations, each with its column older_code."""

    older_code: Mapping[str, str | None]

    def lacking(self, known: Collection[str]) -> list[str]:
        """Return the `known` migrations that are not recorded, in order."""
        return [name for name in known if name not in self.older_code]

    def newest_unknown(self, known: Collection[str]) -> str | None:
        """Return the last migration that is not in `known`; None if all are."""
        return max(self.older_code.keys() - set(known), default=None)

    def objection(self, known: Collection[str]) -> str | None:
        """Return why code that knows only these migrations must not run; None if it may.

        A migration that records nothing about older code excludes it.
        """
        for name in sorted(self.older_code.keys() - set(known)):
            text = self.older_code[name] or "must not run: the migration does not allow it"
            if text != _MAY_RUN:
                return f"has the migration {name}, and older versions {text.rstrip('.')}"
        return None
