"""Who is signed in, in a table that others work on."""

from datetime import UTC, datetime, timedelta

import pytest
from psycopg import Connection

from pgsession import Changes, PostgresStore
from pgsession.core.login import Login


async def test_locked(postgres: PostgresStore, table: Connection) -> None:
    """A user counts whose session another transaction has locked and changed."""
    await postgres.login(None, Login("ann"), Changes())
    with table.transaction():
        table.execute("UPDATE session SET user_id = 'bob'")

        (user,) = await postgres.signed_in()

    assert user.user_id == "ann"


@pytest.mark.parametrize("date", ["infinity", "-infinity", "4000-01-01 BC"])
async def test_odd_dates(postgres: PostgresStore, table: Connection, date: str) -> None:
    """Dates that Python does not have are told as the nearest that can be: 1970, or now."""
    await postgres.login(None, Login("ann"), Changes())
    table.execute("UPDATE session SET login_on = %s, seen_on = %s", (date, date))

    (user,) = await postgres.signed_in()

    nearest = datetime.now(UTC) if date == "infinity" else datetime(1970, 1, 1, tzinfo=UTC)
    for moment in (user.last_seen_at, user.authenticated_at):
        assert moment == pytest.approx(nearest, abs=timedelta(seconds=20))
