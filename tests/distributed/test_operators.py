"""The commands of operators on a distributed table."""

import asyncio

import psycopg
import pytest
from psycopg import Connection

from pgsession import PostgresStore
from tests.cli.conftest import Operate, SignIn, operate, sign_in, surroundings
from tests.contract import test_everyone
from tests.postgres.sweeping.test_sweeping import Fill, count, fill

__all__ = ["fill", "operate", "sign_in", "surroundings", "test_everyone"]


def test_commands(operate: Operate, sign_in: SignIn, table: Connection) -> None:
    """Sessions are listed, counted and ended on all shards."""
    for number in range(20):
        sign_in(f"a{number}")
        sign_in(f"v{number}", None)
    sign_in("e1", seconds=-60)

    stats = operate("stats", "--json").document

    assert (stats["is_distributed"], stats["activity"]) == (True, None)
    counts = stats["counts"]
    assert (counts["living"], counts["users"], counts["expired"]) == (40, 1, 1)
    assert [(it["user_id"], it["sessions"]) for it in stats["top"]] == [("ann", 20)]
    sizes = stats["sizes"]
    assert sizes["total_bytes"] >= sizes["rows_bytes"] >= 8 * 8192
    assert len(operate("devices", "ann", "--json").document["sessions"]) == 20
    assert operate("revoke", "ann", "a19", "--yes", "--json").document["ended"] == 1
    assert operate("revoke", "--everyone", "--yes", "--json").document["ended"] == 39
    assert count(table) == 0


@pytest.mark.parametrize("place", [3, 17])
async def test_held(
    database_url: str, migrated_schema: str, table: Connection, fill: Fill, place: int
) -> None:
    """A row that a transaction holds delays no other, and ends once it is free."""
    fill(30, seconds=60)
    options = f"-csearch_path={migrated_schema}"
    async with PostgresStore(database_url, schema=migrated_schema) as store:
        with psycopg.connect(database_url, options=options) as holder:
            holder.execute(
                "SELECT FROM session WHERE session_key = %s FOR UPDATE", (f"expired {place}",)
            )
            gone = asyncio.Event()
            ending = asyncio.create_task(store.revoke_everyone(progress=lambda _: gone.set()))
            await gone.wait()
            assert count(table) == 1

        assert await ending == 30
    assert count(table) == 0
