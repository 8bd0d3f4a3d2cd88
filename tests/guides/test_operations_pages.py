"""The configurations with which pages for operators begin, and their figures."""

from datetime import timedelta

import pytest

from pgsession import SessionSettings
from tests.applications import SECRET
from tests.project.documents import Document


def test_connections() -> None:
    """A process opens as many connections as the page says, with the default `pool_size`."""
    number = SessionSettings(secret_key=SECRET).pool_size + 1

    text = Document("docs/operations/connections.md").text
    assert f"A process opens {number} connections to PostgreSQL at most" in text


@pytest.mark.parametrize("number", [0, 1], ids=["period", "level"])
def test_timeouts(number: int) -> None:
    """Each of the variables is accepted; without them a session ends a week after its last use."""
    line = Document("docs/operations/timeouts.md").commands[number]
    name, _, text = line.removeprefix("export ").partition("=")
    settings = SessionSettings.from_env({"SESSION_SECRET_KEY": SECRET, name: text.strip()})
    plain = SessionSettings(secret_key=SECRET, database_url="postgresql://localhost/app")

    assert settings != SessionSettings.from_env({"SESSION_SECRET_KEY": SECRET})
    assert plain.make_store().default_period == timedelta(days=7)
