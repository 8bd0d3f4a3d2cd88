"""The plans of the statements that read sessions."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import pytest
from psycopg import Connection

from pgsession.postgres.connections.own_pool import _CONFIGURE
from pgsession.postgres.statements.reading import Reading
from pgsession.postgres.statements.removing import Removing
from pgsession.postgres.statements.text import Wording
from pgsession.postgres.table_name import TableName

ROWS: Final = 20_000

FILL: Final = """
INSERT INTO session (session_key, session_data, expire_date)
SELECT lpad(n::text, 40, '0'), '{}', now() + interval '7 d'
FROM generate_series(1, %s) AS n
"""

HASH: Final = "session_key_hash_idx"


@pytest.fixture
def full(table: Connection) -> Connection:
    """A connection to the table, which is full and has no statistics yet."""
    table.execute("ALTER TABLE session SET (autovacuum_enabled = false)")
    table.execute(FILL, (ROWS,))
    return table


def lookups(connection: Connection, statement: bytes, keys: Sequence[str]) -> list[dict[str, Any]]:
    """Execute a prepared statement; return the nodes of its plan that read the table."""
    connection.execute(b"PREPARE asked AS " + statement.replace(b"%s", b"$1"))
    [(explained,)] = connection.execute(
        f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) EXECUTE asked ('{','.join(keys)}')".encode()
    ).fetchall()
    connection.execute("DEALLOCATE asked")
    return [node for node in _nodes(explained[0]["Plan"]) if "Relation Name" in node]


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for below in node.get("Plans", ()):
        yield from _nodes(below)


@pytest.mark.parametrize("count", [1, 2, 32, 256])
@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
@pytest.mark.parametrize("is_own", [True, False], ids=["own pool", "pool of the caller"])
@pytest.mark.parametrize("is_analyzed", [True, False], ids=["analyzed", "not analyzed"])
def test_lookups(  # noqa: PLR0917 - what a plan depends on
    full: Connection, migrated_schema: str, count: int, mode: str, is_own: bool, is_analyzed: bool
) -> None:
    """Each key is looked up once in the hash index, and nothing else of the table is read."""
    if is_analyzed:
        full.execute("VACUUM ANALYZE session")
    reading = Reading(Wording(TableName(migrated_schema)))
    statement = reading._select if count > 1 else reading._select_one  # noqa: SLF001 - what `fetch` executes
    keys = [str(37 * n).zfill(40) for n in range(1, count + 1)]

    with full.transaction(force_rollback=True):
        if is_own:
            full.execute(_CONFIGURE)
        full.execute(f"SET LOCAL plan_cache_mode TO {mode}".encode())
        [node] = lookups(full, statement, keys)

    assert (node["Node Type"], node["Index Name"]) == ("Index Scan", HASH)
    assert (node["Actual Loops"], node["Actual Rows"]) == (count, 1)


def test_removals_in_order(full: Connection, migrated_schema: str) -> None:
    """Several sessions are locked in the order of their keys, also where a bitmap may be used."""
    removing = Removing(Wording(TableName(migrated_schema)))
    statement = removing._delete_unrenewed.replace(b"%(selectors)s", b"$1")  # noqa: SLF001 - what `delete` executes
    full.execute(b"PREPARE removal AS " + statement)
    keys = ",".join(f"{number:040}" for number in range(1, 33))
    plan = full.execute(f"EXPLAIN EXECUTE removal ('{keys}')".encode()).fetchall()
    lines = [line.strip(" ->").split(" ")[0] for (line,) in plan]

    locking = lines.index("LockRows")
    assert "Sort" in lines[locking:] or any("session_pkey" in line for (line,) in plan[locking:])
