"""Providers of OpenTelemetry that keep what they are told."""

from collections.abc import Iterator

import pytest

from tests.telemetry.reported import Reported


@pytest.fixture
def reported() -> Iterator[Reported]:
    """Providers for one test, and what they were told."""
    reported = Reported()
    yield reported
    reported.end()
