"""Counters of what is rare begin at 0: a rate then sees the first event too."""

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from starlette.applications import Starlette

from pgsession import PostgresStore, SessionMiddleware, SessionSettings, Telemetry
from tests.applications import SECRET

RARE = [
    ("pgsession.cookies.rejected", ["proof_missing", "replaced", "signature"]),
    ("pgsession.requests.unavailable", [None]),
    ("pgsession.sessions.revoked", ["all", "max_sessions", "one"]),
    ("pgsession.sweep.rows", [None]),
    ("db.client.connection.timeouts", ["in_use", "not_made"]),
]


@pytest.mark.parametrize(("name", "reasons"), RARE, ids=[name for name, _ in RARE])
async def test_rare(
    database_url: str, migrated_schema: str, name: str, reasons: list[str | None]
) -> None:
    """Before anything has happened, each reason of what is rare was counted 0 times."""
    reader = InMemoryMetricReader()
    telemetry = Telemetry(meter_provider=MeterProvider([reader]))
    settings = SessionSettings(secret_key=SECRET, telemetry=telemetry)

    async with PostgresStore(database_url, schema=migrated_schema, telemetry=telemetry) as store:
        SessionMiddleware(Starlette(), store=store, settings=settings)
        points = list(points_of(reader, name))

    assert sorted(points, key=str) == [(reason, 0) for reason in reasons]


def points_of(reader: InMemoryMetricReader, name: str) -> Iterator[tuple[object, object]]:
    """Yield the reason and the value of each point of a metric."""
    data = reader.get_metrics_data()
    assert data is not None
    for resource in data.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points if metric.name == name else ():
                    reason = (point.attributes or {}).get("pgsession.reason")
                    yield reason, getattr(point, "value", None)
