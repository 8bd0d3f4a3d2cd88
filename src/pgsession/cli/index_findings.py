"""The findings about indexes: which of them do harm, and which are missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from pgsession.cli.findings import Finding, Verdict
from pgsession.cli.indexes import Index
from pgsession.cli.inspection import Relation
from pgsession.postgres.quoting import identifier

#: The columns that a renewal changes, or another write of the session without its value.
_RENEWED: Final = frozenset(
    {"expire_date", "seen_on", "verifier", "renewed_on", "key_number", "shown_on", "size_bound"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """An index that the migrations make."""

    #: The name of the finding if it is not there, and what that costs.
    name: str
    cost: str
    #: The end of its own name, which begins with that of the table.
    suffix: str
    method: str
    column: str
    #: Which rows it has: all, if it is empty.
    where: str = ""
    #: True if an index of all rows does as well.
    may_have_all: bool = False

    def is_served_by(self, index: Index) -> bool:
        """Return True if an index does what this one is for, or soon will."""
        wanted = f"({self.where})" if self.where else None
        has_rows = index.predicate == wanted or (self.may_have_all and index.predicate is None)
        is_alike = (index.method, index.first) == (self.method, self.column)
        return has_rows and is_alike and (index.is_valid or index.may_be_built)

    def creation(self, relation: Relation) -> str:
        """Return the statement that makes it, under the name that the migrations give it."""
        name = identifier(f"{relation.table}_{self.suffix}")
        where = f" WHERE {self.where}" if self.where else ""
        rest = f"{name} ON {relation.name} USING {self.method} ({self.column}){where};"
        if relation.has_pages:
            return f"CREATE INDEX CONCURRENTLY {rest}"
        return f"CREATE INDEX {rest} Writes wait until it is built."

    def finding(self, relation: Relation) -> Finding:
        """Return the finding that it is not there."""
        return Finding(
            "indexes", Verdict.WARNING, self.cost, self.creation(relation), name=self.name
        )


#: The indexes that the migrations make, but the primary key's.
NEEDED: Final = (
    Needed(
        name="users",
        cost="none on user_id: each list of a user's sessions reads the whole table",
        suffix="user_id_idx",
        method="btree",
        column="user_id",
        where="user_id IS NOT NULL",
        may_have_all=True,
    ),
    Needed(
        name="keys",
        cost="no hash index on session_key: in a large table each request reads more pages",
        suffix="key_hash_idx",
        method="hash",
        column="session_key",
    ),
    Needed(
        name="clients",
        cost="none on the rows with login_client: each sweep that erases addresses reads all rows",
        suffix="client_idx",
        method="btree",
        column="session_key",
        where="login_client IS NOT NULL",
    ),
)


def check_indexes(indexes: Sequence[Index], relation: Relation, *, version: int) -> list[Finding]:
    """Check that no index does harm, and that those of the migrations are there."""
    cold = [index for index in indexes if not index.is_hot(version)]
    harmful = [index for index in cold if _RENEWED.intersection(index.columns)]
    left = [index for index in indexes if index not in harmful]
    unique = [index for index in left if index.is_unique and "session_key" not in index.columns]
    left = [index for index in left if index not in unique]
    of_value = [index for index in left if index in cold and "session_data" in index.columns]
    invalid = [index for index in left if not index.is_valid]
    found = [
        finding(bad, relation)
        for bad, finding in (
            (harmful, _renewals),
            (unique, _unique),
            (of_value, _value),
            (invalid, _invalid),
        )
        if bad
    ]
    found += [
        needed.finding(relation) for needed in NEEDED if not any(map(needed.is_served_by, left))
    ]
    text = "those of the migrations, and none that prevents HOT updates"
    return found or [Finding("indexes", Verdict.OK, text)]


def _renewals(indexes: Sequence[Index], relation: Relation) -> Finding:
    return Finding(
        "indexes",
        Verdict.WRONG,
        f"{_named(indexes)} on a column that renewals change: such an update cannot be HOT",
        _drops(indexes, relation),
        name="renewals",
    )


def _unique(indexes: Sequence[Index], relation: Relation) -> Finding:
    return Finding(
        "indexes",
        Verdict.WRONG,
        f"{_named(indexes)} UNIQUE: a session with a value of another one is rejected, such as the "
        "second one of a user",
        _drops(indexes, relation),
        name="unique",
    )


def _value(indexes: Sequence[Index], relation: Relation) -> Finding:
    return Finding(
        "indexes",
        Verdict.WARNING,
        f"{_named(indexes)} on session_data: a change of a value cannot be HOT",
        f"{_drops(indexes, relation)} Keep it only if your queries need it.",
        name="value",
    )


def _invalid(indexes: Sequence[Index], relation: Relation) -> Finding:
    if any(index.may_be_built for index in indexes):
        return Finding(
            "indexes",
            Verdict.WARNING,
            f"{_named(indexes)} not valid yet, or not any more: the table is being worked on",
            "Check again when CREATE INDEX CONCURRENTLY or VACUUM has ended.",
            name="building",
        )
    return Finding(
        "indexes",
        Verdict.WARNING,
        f"{_named(indexes)} not valid: it serves no query",
        _drops(indexes, relation),
        name="invalid",
    )


def _drops(indexes: Iterable[Index], relation: Relation) -> str:
    return " ".join(index.drop(relation) for index in indexes)


def _named(indexes: Iterable[Index]) -> str:
    return ", ".join(index.sql for index in indexes)
