"""The limit for each user on a distributed table, where no trigger can log the logins."""

from psycopg import Connection

from tests.concurrency.test_parallel_logins import MOST, ROUNDS, sign_in_at_once


def test_most(database_url: str, migrated_schema: str, table: Connection) -> None:
    """Of fifty logins at once in four processes, `max_sessions` sessions stay."""
    assert sign_in_at_once(database_url, migrated_schema, table) == [200] * 50 * ROUNDS

    for user_id in map(str, range(ROUNDS)):
        living = table.execute("SELECT FROM session WHERE user_id = %s", (user_id,))
        assert living.rowcount == MOST
