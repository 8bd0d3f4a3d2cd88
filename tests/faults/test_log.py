"""The log of an outage: few lines, which say why, and none of psycopg's pool."""

import asyncio
import logging
import time
from collections import Counter

import pytest

from pgsession.core.logs import INTERVAL
from tests.faults.conftest import Report
from tests.faults.servers import Server
from tests.faults.site import opened_site


async def test_logged(server: Server, report: Report, caplog: pytest.LogCaptureFixture) -> None:
    """While a server is down, each kind of line comes once in ten seconds and says why, and our
    logger has them all.
    """
    caplog.set_level(logging.WARNING)
    async with opened_site(server.conninfo(), report.seen) as site:
        key = await site.store.generate({})
        await site.storm(key)
        began = time.monotonic()
        await asyncio.to_thread(server.stop, "fast")
        for _ in range(3):
            await site.storm(key)
        most = 1 + (time.monotonic() - began) // INTERVAL
        await asyncio.to_thread(server.start)
        report.healed = await site.heal(key)

    events = Counter(vars(record).get("pgsession_event") for record in caplog.records)
    assert {record.name for record in caplog.records} == {"pgsession"}
    assert events.keys() == {"store_unavailable", "connection_failed"}
    assert max(events.values()) <= most
    assert all("refused" in record.message for record in caplog.records)
