"""docs/operations/dashboards.md describes the dashboard and the alerts as they are."""

import re
from typing import Final

from tests.monitoring.dashboard import DASHBOARD, ROWS
from tests.monitoring.scene import EXAMPLE
from tests.project.documents import ROOT, Document

PAGE: Final = Document("docs/operations/dashboards.md")
ALERTS: Final = re.findall(
    r"- alert: (\w+)\n(?:.*\n)+?\s+severity: (\w+)",
    (EXAMPLE / "alerts.yml").read_text(encoding="utf-8"),
)
NUMBERS: Final = {5: "five", 7: "seven"}


def test_panels() -> None:
    """The page explains each panel, row by row, in the order of the dashboard."""
    explained = re.findall(r"^### (.+)$|^\| ([^-`\[].*?) \|", PAGE.text, re.MULTILINE)
    names = ["".join(pair) for pair in explained if pair[1] not in {"File", "Panel", "Alert"}]

    assert names == [panel["title"] for panel in DASHBOARD["panels"]]
    assert f"It has {NUMBERS[len(ROWS)]} rows" in PAGE.text


def test_alerts() -> None:
    """The page says of each alert what to do; it names those that are critical."""
    explained = re.findall(r"^\| `(\w+)` \|", PAGE.text, re.MULTILINE)
    critical = [f"`{name}`" for name, severity in ALERTS if severity == "critical"]

    assert explained == [name for name, _ in ALERTS]
    assert f"{NUMBERS[len(ALERTS)]} alerts" in PAGE.text
    assert f"now, {' and '.join(critical)}, and" in PAGE.text.replace("\n", " ")


def test_pictures() -> None:
    """There is a picture of each row, with each panel's title."""
    for row in ROWS:
        picture = (
            ROOT / "docs" / "operations" / "dashboards" / f"{row.lower().replace(' ', '-')}.svg"
        )
        assert f'aria-label="{row}"' in picture.read_text(encoding="utf-8")
