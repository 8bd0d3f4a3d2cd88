"""Inserts many rows with one statement."""

from collections.abc import Iterable

from psycopg import AsyncConnection

from pgsession.core.keys import digest

BY_NUMBER = """
INSERT INTO session (session_key, session_data, expire_date)
SELECT
    translate(
        encode(substring(sha256(convert_to('key' || n, 'UTF8')) FROM 1 FOR 30), 'base64'),
        '+/', '-_'
    ),
    %s::jsonb,
    now() + interval '7 days'
FROM generate_series(%s::int8, %s::int8) AS n
"""

BY_DIGEST = """
INSERT INTO session (session_key, session_data, expire_date)
SELECT key, %s::jsonb, now() + interval '7 days'
FROM unnest(%s::text[]) AS key
"""

#: Rows in one statement.
STEP = 250_000


def key(number: int) -> str:
    """Return the key of the row with this number."""
    return f"key{number}"


async def fill(conninfo: str, keys: Iterable[str], text: str) -> list[str]:
    """Insert a row for each key; return the digests."""
    digests = [digest(key) for key in keys]
    async with await AsyncConnection.connect(conninfo, autocommit=True) as connection:
        await connection.execute(BY_DIGEST, (text, digests))
    return digests


async def grow(conninfo: str, rows: int, text: str) -> None:
    """Insert rows numbered from 0, then run VACUUM ANALYZE."""
    async with await AsyncConnection.connect(conninfo, autocommit=True) as connection:
        for first in range(0, rows, STEP):
            await connection.execute(BY_NUMBER, (text, first, min(first + STEP, rows) - 1))
        await connection.execute("VACUUM (ANALYZE) session")
