"""The server cannot reach a node that has some of the rows."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest
from psycopg import Connection, sql

from pgsession import Changes, PostgresStore, StoreUnavailableError
from pgsession.core.keys import digest

Operation: TypeAlias = Callable[[PostgresStore, str], Awaitable[object]]

#: What Citus says of a row whose worker is down.
LOSING = """
CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = '08006';
END
$$;
CREATE TRIGGER lose BEFORE UPDATE OR DELETE ON session
FOR EACH ROW WHEN (old.session_key = {digest}) EXECUTE FUNCTION lose();
"""


@pytest.mark.parametrize(
    "operation",
    [
        pytest.param(lambda store, key: store.merge(key, Changes(set={"a": 1})), id="merge"),
        pytest.param(lambda store, key: store.touch(key), id="touch"),
        pytest.param(lambda store, key: store.renew(key), id="renew"),
        pytest.param(lambda store, key: store.clear(key), id="clear"),
    ],
)
async def test_others_go_on(
    postgres: PostgresStore, table: Connection, operation: Operation
) -> None:
    """Of the sessions in one statement, only those on the lost node are unavailable."""
    keys = [await postgres.generate({"n": number}) for number in range(20)]
    table.execute(sql.SQL(LOSING).format(digest=sql.Literal(digest(keys[10]))))

    outcomes = await asyncio.gather(
        *(operation(postgres, key) for key in keys), return_exceptions=True
    )

    failed = [place for place, each in enumerate(outcomes) if isinstance(each, Exception)]
    assert failed == [10]
    assert isinstance(outcomes[10], StoreUnavailableError)
