"""The figures in the guides are those of the code."""

import pytest

from pgsession import SessionSettings
from pgsession.core.flash import MOST_MESSAGES
from pgsession.core.large import LARGE_VALUE
from pgsession.core.login import MAX_AGENT, MAX_TEXT
from pgsession.core.period import DEFAULT_PERIOD
from pgsession.core.value import DEFAULT_VALUE_LIMIT
from pgsession.settings import DEFAULT_WATCH_EVERY
from tests.project.documents import Document

SETTINGS = SessionSettings(secret_key="a secret of more than thirty-two bytes")


@pytest.mark.parametrize(
    ("page", "sentence"),
    [
        pytest.param("flash", f"A session keeps {MOST_MESSAGES} messages.", id="messages"),
        pytest.param("users", f"a `str` of 1 to {MAX_TEXT} characters", id="user_id"),
        pytest.param("users", f"`str` of at most {MAX_TEXT} characters", id="label"),
        pytest.param("devices-of-a-user", f"at most {MAX_AGENT} printable", id="agent"),
        pytest.param(
            "devices-of-a-user",
            f"{DEFAULT_PERIOD.total_seconds() / 36_000:.0f} hours of {DEFAULT_PERIOD.days} days",
            id="touch_after",
        ),
        pytest.param("sessions", f"more than {LARGE_VALUE // 1024} kB", id="large"),
        pytest.param(
            "streams",
            f"`watch_every` ({DEFAULT_WATCH_EVERY.total_seconds()} seconds)",
            id="watch_every",
        ),
        pytest.param("sqlalchemy", f"store ({SETTINGS.pool_size}, and", id="pool"),
    ],
)
def test_figure(page: str, sentence: str) -> None:
    """The page names the figure of the code."""
    assert sentence in " ".join(Document(f"docs/how-to/{page}.md").text.split())


def test_megabyte() -> None:
    """A session may have a megabyte, as the page about sessions says."""
    assert DEFAULT_VALUE_LIMIT == SETTINGS.value_limit == 1_000_000
