"""`pgsession stats` names what keeps VACUUM from removing dead rows, and works on a standby."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.faults.servers import Server, new_server, new_standby
from tests.programs import pgsession

FEEDBACK = "SELECT count(*) = 1 FROM pg_replication_slots WHERE xmin IS NOT NULL"


def stats(server: Server) -> dict[str, Any]:
    """Return what `pgsession stats` says of a server."""
    done = pgsession("stats", "--json", SESSION_DATABASE_URL=server.conninfo())
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.fixture(scope="module")
def primary() -> Iterator[Server]:
    """A server that can prepare transactions, and has a slot."""
    with (
        tempfile.TemporaryDirectory(prefix="pgsession-") as folder,
        new_server(Path(folder, "primary")) as it,
    ):
        it.execute("ALTER SYSTEM SET max_prepared_transactions = 4")
        it.execute("SELECT pg_create_physical_replication_slot('slot')")
        it.stop("fast")
        it.start()
        yield it


def test_holders(primary: Server) -> None:
    """A prepared transaction, and the slot of a standby with a query, are among the holders."""
    with (
        tempfile.TemporaryDirectory(prefix="pgsession-") as folder,
        new_standby(primary, Path(folder, "standby")) as standby,
    ):
        for setting in (
            "hot_standby_feedback = on",
            "wal_receiver_status_interval = '1s'",
            "primary_slot_name = 'slot'",
        ):
            standby.execute(f"ALTER SYSTEM SET {setting}")
        standby.execute("SELECT pg_reload_conf()")
        with psycopg.connect(standby.conninfo()) as query:
            query.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            query.execute("SELECT FROM session")
            primary.wait_until(FEEDBACK)
            with psycopg.connect(primary.conninfo()) as connection:
                connection.execute("SELECT pg_current_xact_id()")
                connection.execute("PREPARE TRANSACTION 'left \x1b[31mopen'")

            there, here = stats(standby), stats(primary)

    found = {holder["kind"]: holder for holder in here["holders"]}
    assert found["prepared transaction"]["name"] == "left \x1b[31mopen"
    assert found["prepared transaction"]["age_seconds"] >= 0
    assert found["replication slot"]["name"] == "slot"
    assert found["replication slot"]["state"] == "active"
    assert there["counts"] == here["counts"]
    assert [holder["kind"] for holder in there["holders"]] == ["transaction"]
