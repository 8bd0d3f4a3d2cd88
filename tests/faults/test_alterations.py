"""The table is altered while a site is running, and no request fails."""

import asyncio

import psycopg
import pytest

from tests.faults.conftest import Report
from tests.faults.servers import Server
from tests.faults.site import Writers, opened_site

ALTERATIONS = {
    "add column": ["ALTER TABLE session ADD COLUMN extra text DEFAULT 'x'"],
    "type of another column": [
        "ALTER TABLE session ADD COLUMN more integer",
        "ALTER TABLE session ALTER COLUMN more TYPE text",
        "ALTER TABLE session DROP COLUMN more",
    ],
    "vacuum full": ["VACUUM FULL session"],
    "index": ["CREATE INDEX CONCURRENTLY extra ON session (created_on)", "DROP INDEX extra"],
    "type of ours": [
        "ALTER TABLE session ALTER COLUMN period TYPE interval(3)",
        "ALTER TABLE session ALTER COLUMN period TYPE interval",
    ],
    "made anew": [
        """
        BEGIN;
        LOCK TABLE session IN ACCESS EXCLUSIVE MODE;
        CREATE TABLE session_new (LIKE session INCLUDING ALL);
        INSERT INTO session_new SELECT * FROM session;
        DROP TABLE session;
        ALTER TABLE session_new RENAME TO session;
        COMMIT;
        """
    ],
}


@pytest.mark.parametrize("statements", ALTERATIONS.values(), ids=ALTERATIONS.keys())
async def test_altered(server: Server, report: Report, statements: list[str]) -> None:
    """While the table is altered, no request fails and no change is lost."""
    async with opened_site(server.conninfo(), report.seen, timeout=5) as site:
        keys = [await site.store.generate({}) for _ in range(8)]
        async with Writers(site, keys) as writers:
            await writers.progress(100)
            for statement in statements:
                await asyncio.to_thread(alter, server, statement)
                await writers.progress(100)

        found = await writers.found()
    report.remark = f"{writers.count} acknowledged, {found} found"
    assert found == writers.count
    assert report.seen.refused == 0


def alter(server: Server, statement: str) -> None:
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        connection.execute(statement.encode())
