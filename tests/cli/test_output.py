"""What the commands print of texts, times and numbers."""

from datetime import UTC, datetime, timedelta

import pytest

from pgsession.cli.output import lasting, relative, shown, size_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(None, "-", id="nothing"),
        pytest.param("Firefox auf Jürgens 💻", "Firefox auf Jürgens 💻", id="plain"),
        pytest.param("\x1b[31mred", r"\x1b[31mred", id="escape"),
        pytest.param("\x9b31m", r"\x9b31m", id="C1"),
        pytest.param("a\r\nb\tc\0", r"a\r\nb\tc\x00", id="control"),
        pytest.param("a\u202eb\u2066c", r"a\u202eb\u2066c", id="bidi"),
        pytest.param("a\u200bb\ufeff", r"a\u200bb\ufeff", id="invisible"),
        pytest.param("a\u2028b\x85c", r"a\u2028b\x85c", id="line ends"),
        pytest.param("\u3164\uffa0", r"\u3164\uffa0", id="filler"),
        pytest.param("a\u2800\u034f", r"a\u2800\u034f", id="blank"),
        pytest.param("a\ufe0f\U000e0100", r"a\ufe0f\U000e0100", id="variation"),
        pytest.param("\u17b4\u180b", r"\u17b4\u180b", id="ignorable"),
        pytest.param("\U000e0041", r"\U000e0041", id="tag"),
        pytest.param(r"\x1b", r"\\x1b", id="backslash"),
        pytest.param("\ud800", r"\ud800", id="surrogate"),
        pytest.param("[red]a[/red]", "[red]a[/red]", id="markup"),
    ],
)
def test_shown(text: str | None, expected: str) -> None:
    """A text is shown as it is, except for what a terminal might interpret or hide."""
    assert shown(text) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 s ago"),
        (119, "119 s ago"),
        (120, "2 min ago"),
        (7200, "2 h ago"),
        (172_800, "2 days ago"),
        (-86_400 * 7, "in 7 days"),
        (-60, "in 60 s"),
    ],
)
def test_relative(seconds: float, expected: str) -> None:
    """A time is shown as how long ago it was, or in how long it is."""
    now = datetime.now(UTC)
    assert relative(now - timedelta(seconds=seconds), now) == expected


def test_sizes() -> None:
    """Sizes and lengths are rounded."""
    assert [size_of(2**power) for power in (0, 10, 20, 30, 40)] == [
        "1 bytes",
        "1 kB",
        "1 MB",
        "1 GB",
        "1.0 TB",
    ]
    assert lasting(10**7) == "116 days"
