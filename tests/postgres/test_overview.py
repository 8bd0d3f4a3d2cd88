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


@pytest.mark.parametrize(
    "date", ["infinity", "-infinity", "4000-01-01 BC", "20000-01-01", "294276-12-31"]
)
@pytest.mark.parametrize("has_login", [True, False], ids=["login", "no login"])
async def test_odd_dates(
    postgres: PostgresStore, table: Connection, date: str, has_login: bool
) -> None:
    """Dates that Python does not have are told as the nearest that can be: 1970, or now."""
    key = await postgres.login(None, Login("ann"), Changes())
    table.execute(
        """
        UPDATE session
        SET login_on = CASE WHEN %(has_login)s THEN %(date)s::timestamptz END,
            created_on = %(date)s, seen_on = %(date)s, shown_on = %(date)s,
            expire_date = 'infinity'
        """,
        {"date": date, "has_login": has_login},
    )

    (user,) = await postgres.signed_in()
    (device,) = await postgres.devices("ann")
    entry = await postgres.get(key)

    assert entry is not None
    assert entry.signed_in is not None
    is_late = not date.startswith("-") and not date.endswith("BC")
    nearest = datetime.now(UTC) if is_late else datetime(1970, 1, 1, tzinfo=UTC)
    for moment in (
        user.last_seen_at,
        user.authenticated_at,
        device.last_seen_at,
        device.authenticated_at,
        entry.signed_in.authenticated_at,
    ):
        assert moment == pytest.approx(nearest, abs=timedelta(seconds=20))


async def test_late_dates(database_url: str, migrated_schema: str, table: Connection) -> None:
    """The limits of a store hold for the latest dates too."""
    limit = timedelta(days=30000)
    async with PostgresStore(
        database_url, schema=migrated_schema, max_lifetime=limit, max_inactivity=limit
    ) as store:
        key = await store.login(None, Login("ann"), Changes())
        table.execute("UPDATE session SET created_on = '294276-12-31', seen_on = 'infinity'")

        (device,) = await store.devices("ann")

        assert device.expires_at > datetime.now(UTC)
        assert await store.get(key) is not None
