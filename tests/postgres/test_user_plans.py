"""The plans of the statements about one user, in a table of a million sessions."""

import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
from psycopg import Connection

from pgsession import Changes, PostgresStore
from pgsession.core.keys import key_digest
from pgsession.core.login import Login
from pgsession.postgres.statements.overview import _AMONG
from pgsession.postgres.statements.table import Table
from pgsession.postgres.statements.text import Wording
from pgsession.postgres.table_name import TableName

#: Half are visitors'. Each user has twenty.
ROWS: Final = 1_000_000

FILL: Final = """
INSERT INTO session (session_key, session_data, expire_date, user_id, login_number, login_on)
SELECT
    lpad(n::text, 40, '0'),
    '{}',
    now() + interval '7 d',
    CASE WHEN n %% 2 = 0 THEN 'user ' || n %% 50000 END,
    1,
    now() - n * interval '1 s'
FROM generate_series(1, %s) AS n
"""

PARAMETERS: Final = {
    "user_id": "user 7000",
    "handle": "0" * 36 + "7000",
    "most": 3,
    "apart": "",
    "among": "{user 7000}",
    "skip": 0,
}


@pytest.fixture
def full(table: Connection) -> Iterator[Connection]:
    """A connection to the table, which is full, in a transaction that is rolled back."""
    table.execute(FILL, (ROWS,))
    table.execute("VACUUM ANALYZE session")
    with table.transaction(force_rollback=True):
        yield table


def plan(connection: Connection, statement: bytes) -> tuple[set[str], set[str], int]:
    """Execute a statement by a generic plan; return its scans, their indexes and the rows read."""
    text = statement.decode()
    names = dict.fromkeys(re.findall(r"%\((\w+)\)s", text))
    for number, name in enumerate(names, 1):
        text = text.replace(f"%({name})s", f"${number}")
    connection.execute("SET LOCAL plan_cache_mode TO force_generic_plan")
    connection.execute(f"PREPARE asked AS {text.replace('%%', '%')}")
    arguments = ", ".join(f"'{PARAMETERS[name]}'" for name in names)
    found = connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE asked ({arguments})")
    ((explained,),) = found.fetchall()
    connection.execute("DEALLOCATE asked")
    nodes = list(_nodes(explained[0]["Plan"]))
    scans = {node["Node Type"] for node in nodes if "Relation Name" in node}
    indexes = {node["Index Name"] for node in nodes if "Index Name" in node}
    read = max(node["Actual Rows"] * node["Actual Loops"] for node in nodes)
    return scans - {"ModifyTable"}, indexes, int(read)


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for below in node.get("Plans", ()):
        yield from _nodes(below)


def test_plans(full: Connection, migrated_schema: str) -> None:
    """Each statement finds a user's sessions by the partial index, and reads no others."""
    written = Table(Wording(TableName(migrated_schema), is_patient=True))
    revoking = written.revoking
    by_user = {"session_user_id_idx"}
    statements = {
        "devices": written.listing._devices,  # noqa: SLF001 - what the store executes
        "signed_in": written.overview._statements["sessions", _AMONG],  # noqa: SLF001 - as above
        "revoke": revoking._of_one.delete,  # noqa: SLF001 - as above
        "revoke_all": revoking._of_all.delete,  # noqa: SLF001 - as above
        "but one": revoking._of_all_but_one.delete,  # noqa: SLF001 - as above
        "end_surplus": revoking._of_surplus.delete,  # noqa: SLF001 - as above
        "skipping": revoking._of_all.delete_free,  # noqa: SLF001 - as above
        "surplus left": revoking._of_surplus.left,  # noqa: SLF001 - as above
    }

    for name, statement in statements.items():
        with full.transaction(force_rollback=True):
            scans, indexes, read = plan(full, statement)

        assert "Seq Scan" not in scans, name
        assert indexes <= by_user | {"session_pkey", "session_key_hash_idx"}, name
        assert name == "revoke" or indexes >= by_user, name
        assert read <= 20, name


async def test_visitors_are_not_indexed(postgres: PostgresStore, table: Connection) -> None:
    """The index holds only the sessions with a user."""
    for number in range(5):
        key = await postgres.generate()
        if number > 2:
            await postgres.login(key, Login("ann"), Changes())

    table.execute("VACUUM FULL session")

    query = "SELECT reltuples FROM pg_class WHERE oid = 'session_user_id_idx'::regclass"
    assert table.execute(query).fetchone() == (2,)


async def test_hot(postgres: PostgresStore, table: Connection) -> None:
    """What requests and renewals of a signed-in user change is in no index."""
    key = await postgres.login(None, Login("ann"), Changes({"a": 1}))
    query = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'session'"
    query += " AND schemaname = current_schema()"

    for number in range(5):
        await postgres.merge(key, Changes({"a": number}), period=60)
        await postgres.touch(key)
        key = await postgres.renew(key, Changes({"b": number}))
        key = await postgres.confirm(key)
        key = await postgres.login(key, Login("ann", stamp=str(number)), Changes())

    selector, _ = key_digest(key)
    statement = "SELECT session_key FROM session WHERE user_id = 'ann'"
    assert table.execute(statement).fetchall() == [(selector,)]
    await postgres.close()  # the server counts what a connection has done when it ends
    counts = table.execute(query).fetchone()
    while counts is None or counts[0] < 25:
        table.execute("SELECT pg_stat_clear_snapshot()")
        counts = table.execute(query).fetchone()
    assert counts == (25, 25)
