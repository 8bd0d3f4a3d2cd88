"""docs/reference/telemetry.md names everything that is reported, and nothing else."""

from collections.abc import AsyncIterator
from typing import Final

import pytest
from opentelemetry.sdk.metrics.export import Gauge, Histogram, Metric, Sum
from opentelemetry.trace import StatusCode

from pgsession import __version__
from tests.applications import SECRET
from tests.hostile.overhearing import Ear
from tests.hostile.secret import VALUE
from tests.telemetry import documented
from tests.telemetry.life import USER, everything
from tests.telemetry.reported import Reported

#: What the conventions and our table call an observable instrument, the data do not.
_OBSERVABLE: Final = "observable "

#: The port of the database, which is left out if it is the usual one.
PORT: Final = "server.port"

#: The attributes of few values; `error.type` has those that occur.
_FEW: Final = (
    "pgsession.outcome",
    "pgsession.change",
    "pgsession.reason",
    "pgsession.answer",
    "pgsession.statement",
    "db.operation.name",
    "db.client.connection.state",
)


@pytest.fixture
async def keys(
    reported: Reported, database_url: str, migrated_schema: str, closed_port: int
) -> AsyncIterator[list[str]]:
    """The keys of sessions with which everything was done that is reported."""
    places = (database_url, migrated_schema, closed_port)
    with reported.tracer.start_as_current_span("request"):
        async with everything(reported.telemetry, *places) as keys:
            yield keys


@pytest.mark.usefixtures("keys")
async def test_everything(reported: Reported, closed_port: int) -> None:
    """Each documented metric, attribute and value is reported, and no other is."""
    told, wanted = reported.metrics(), documented.metrics()
    assert {
        name: (instrument_of(metric), metric.unit, attributes_of(reported, name) - {PORT})
        for name, metric in told.items()
    } == {
        name: (it.instrument.removeprefix(_OBSERVABLE), it.unit, it.attributes - {PORT})
        for name, it in wanted.items()
    }
    assert reported_values(reported, PORT) == {str(closed_port)}
    values = documented.values()
    for name in _FEW:
        assert reported_values(reported, name) == values[name], name


async def test_scope(reported: Reported, keys: list[str]) -> None:
    """All metrics and spans have the scope pgsession, with the version of the package."""
    assert keys
    data = reported.reader.get_metrics_data()
    assert data is not None
    scopes = [it.scope for each in data.resource_metrics for it in each.scope_metrics]
    spans = [it.instrumentation_scope for it in reported.spans() if it.name != "request"]

    named = {(it.name, it.version) for it in (*scopes, *spans) if it is not None}
    assert named == {("pgsession", __version__)}


async def test_secrets(reported: Reported, keys: list[str]) -> None:
    """No secret, key, user or value is in anything that is reported."""
    ear = Ear(SECRET, VALUE, USER, *(part for key in keys for part in key.split(".")))
    ear.note(*reported.text().splitlines())

    assert len(ear) > 100
    assert ear.leaks() == []


async def test_spans(reported: Reported, keys: list[str]) -> None:
    """Each span is a documented one with its attributes, and those with an error say so."""
    assert keys
    wanted, told = documented.spans(), [it for it in reported.spans() if it.name != "request"]
    statement = wanted.pop("SELECT session") | {"pgsession.statement", "db.operation.name"}
    wanted |= dict.fromkeys(
        (f"{it} session" for it in ("SELECT", "INSERT", "UPDATE", "DELETE")),
        statement | documented.STORE | {"error.type"},
    )
    assert {it.name for it in told} == wanted.keys()
    for span in told:
        attributes = dict(span.attributes or {})
        assert attributes.keys() <= wanted[span.name]
        assert (span.status.status_code is StatusCode.ERROR) == ("error.type" in attributes)
        assert span.status.description is None
        assert span.events == ()


def instrument_of(metric: Metric) -> str:
    match metric.data:
        case Gauge():
            return "gauge"
        case Sum(is_monotonic=True):
            return "counter"
        case Sum():
            return "up-down counter"
        case Histogram():
            return "histogram"
    return type(metric.data).__name__


def attributes_of(reported: Reported, name: str) -> frozenset[str]:
    return frozenset(key for attributes, _ in reported.points(name) for key in attributes)


def reported_values(reported: Reported, attribute: str) -> set[str]:
    return {
        str(attributes[attribute])
        for name in reported.metrics()
        for attributes, _ in reported.points(name)
        if attribute in attributes
    }
