"""What a process of the version before does to the table of this one, if it was not stopped."""

from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import Connection

from pgsession import PostgresStore
from pgsession.core.keys import digest
from tests.postgres import version_before as before

EDIT: dict[str, Any] = {
    "heir": None,
    "changed": '{"eve": 1}',
    "removed": [],
    "replaced": False,
    "seconds": 60.0,
    "granted": False,
    "own": None,
}
DRAFT: dict[str, Any] = {
    "session_data": "{}",
    "seconds": 60.0,
    "granted": False,
    "lifetime": None,
}


async def renewed(store: PostgresStore, value: dict[str, Any]) -> tuple[str, str]:
    """Return the digest that the version before knows of a session, and the session's new key."""
    key = await store.generate(value)
    return digest(key), await store.renew(key)


@pytest.mark.parametrize(
    ("statement", "names"),
    [
        pytest.param(before.SELECT, [], id="get"),
        pytest.param(before.NEWEST, [], id="newest"),
        pytest.param(before.INSERT, DRAFT, id="generate"),
        pytest.param(before.UPDATE, EDIT, id="set, merge and touch"),
        pytest.param(before.RENEW, EDIT | {"heir": "h"}, id="renew"),
    ],
)
async def test_fails(
    postgres: PostgresStore, table: Connection, statement: LiteralString, names: Any
) -> None:
    """It can neither open a session with the key from before a login, nor make one."""
    selector, key = await renewed(postgres, {"user": "ann"})
    arguments = (selector,) if names == [] else names | {"session_key": selector}

    with pytest.raises(psycopg.errors.UndefinedColumn, match="final_date"):
        table.execute(statement, arguments)

    entry = await postgres.get(key)
    assert entry is not None
    assert entry.value == {"user": "ann"}


async def test_take(postgres: PostgresStore, table: Connection) -> None:
    """It can take a member, though with the key from before a renewal: so it must be stopped."""
    selector, key = await renewed(postgres, {"code": 1, "user": "ann"})

    taken = table.execute(before.TAKE, {"key": selector, "name": "code"}).fetchall()

    assert taken == [("1",)]
    entry = await postgres.get(key)
    assert entry is not None
    assert entry.value == {"user": "ann"}


@pytest.mark.parametrize(
    ("statement", "value"),
    [
        pytest.param(before.DELETE, {"user": "ann"}, id="clear"),
        pytest.param(before.DELETE_EMPTY, {}, id="clear if empty"),
    ],
)
async def test_clear(
    postgres: PostgresStore, table: Connection, statement: LiteralString, value: dict[str, Any]
) -> None:
    """It can end a session with the key from before a renewal, which is a logout at worst."""
    selector, key = await renewed(postgres, value)

    table.execute(statement, (selector,))

    assert await postgres.get(key) is None
