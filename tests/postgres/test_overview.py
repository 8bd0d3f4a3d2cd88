"""Who is signed in, in a table that others work on."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from psycopg import Connection

from pgsession import Changes, PostgresStore
from pgsession.core.login import Login

#: The statement that counts sessions waits, and that of a request, which does not count.
BOTH = {True, False}


async def test_locked(postgres: PostgresStore, table: Connection) -> None:
    """A user counts whose session another transaction has locked and changed."""
    await postgres.login(None, Login("ann"), Changes())
    with table.transaction():
        table.execute("UPDATE session SET user_id = 'bob'")

        (user,) = await postgres.signed_in()

    assert user.user_id == "ann"


async def test_one_at_a_time(postgres: PostgresStore, table: Connection) -> None:
    """Of several calls one is under way: a request has the other connection."""
    key = await postgres.login(None, Login("ann"), Changes())
    with table.transaction():
        table.execute("LOCK TABLE session")
        calls = [asyncio.ensure_future(postgres.signed_in()) for _ in range(4)]
        read = asyncio.ensure_future(postgres.get(key))
        while len(waiting(table)) < len(BOTH):
            assert not read.done()
            await asyncio.sleep(0.01)
        assert set(waiting(table)) == BOTH

    assert [len(users) for users in await asyncio.gather(*calls)] == [1] * 4
    assert await read is not None


def waiting(table: Connection) -> list[bool]:
    """Tell of each statement that waits for the table whether it counts sessions."""
    query = """
        SELECT query LIKE '%GROUP BY%' FROM pg_stat_activity
        WHERE pid IN (
            SELECT pid FROM pg_locks WHERE relation = 'session'::regclass AND NOT granted
        )
    """
    table.execute("SELECT pg_stat_clear_snapshot()")  # a transaction looks only once otherwise
    return [counts for (counts,) in table.execute(query).fetchall()]


@pytest.mark.parametrize("column", ["login_on", "created_on"])
@pytest.mark.parametrize(
    "date", ["infinity", "-infinity", "4000-01-01 BC", "20000-01-01", "294276-12-31"]
)
async def test_odd_dates(
    database_url: str, postgres: PostgresStore, table: Connection, date: str, column: str
) -> None:
    """Dates that Python does not have are told as the nearest that can be: 1970, or now."""
    key = await postgres.login(None, Login("ann"), Changes())
    table.execute(
        f"UPDATE session SET login_on = NULL, shown_on = '{date}', seen_on = '{date}', "
        f"{column} = '{date}', expire_date = 'infinity'".encode()
    )

    (user,) = await postgres.signed_in()
    (device,) = await postgres.devices("ann")
    entry = await postgres.get(key)

    assert entry is not None
    assert entry.user is not None
    is_late = not date.startswith("-") and not date.endswith("BC")
    nearest = datetime.now(UTC) if is_late else datetime(1970, 1, 1, tzinfo=UTC)
    for moment in (
        user.last_seen_at,
        user.authenticated_at,
        device.last_seen_at,
        device.authenticated_at,
        entry.user.authenticated_at,
    ):
        assert moment == pytest.approx(nearest, abs=timedelta(seconds=20))
