"""The page about forged requests: its program takes its own forms, and no others."""

from typing import Final

import pytest

from tests.guides.conftest import Browse
from tests.project.conftest import Names
from tests.project.documents import Document

PAGE: Final = Document("docs/how-to/csrf.md")
PROGRAM, SETTINGS = PAGE.programs

OWN: Final = {"sec-fetch-site": "same-origin"}
TESTED: Final = [
    pytest.param({"sec-fetch-site": "cross-site"}, 403, id="cross-site"),
    pytest.param({"sec-fetch-site": "same-site"}, 403, id="sibling"),
    pytest.param({"origin": "null"}, 403, id="null"),
    pytest.param({"origin": "https://testserver"}, 303, id="own-origin"),
    pytest.param({}, 303, id="program"),
]


def test_own(names: Names, browse: Browse) -> None:
    """The form and the script of the page work without a token."""
    visitor = browse(names(PROGRAM))

    visitor.post("/notes", data={"text": "<milk>"}, headers=OWN)
    visitor.post("/notes", data={"text": "tea"}, headers=OWN)
    assert "<li>&lt;milk&gt;</li><li>tea</li>" in visitor.get("/").text
    visitor.delete("/notes", headers=OWN)
    assert "<li>" not in visitor.get("/").text


@pytest.mark.parametrize(("headers", "status"), TESTED)
def test_other(names: Names, browse: Browse, headers: dict[str, str], status: int) -> None:
    """A form of another origin is rejected with a text that says why."""
    visitor = browse(names(PROGRAM))

    response = visitor.post("/notes", data={"text": "spam"}, headers=headers)

    assert response.status_code == status
    assert ("<li>spam" in visitor.get("/").text) == (status == 303)
    assert status == 303 or "origin" in response.text


def test_settings(names: Names, browse: Browse) -> None:
    """A trusted origin may post; so may any page to an exempt path."""
    line = next(line for line in PROGRAM.splitlines() if line.startswith("settings = "))
    visitor = browse(
        names(PROGRAM.replace(line, SETTINGS).replace('"/notes"', '"/payments/callback"'))
    )

    foreign = {"sec-fetch-site": "cross-site"}
    trusted = {**foreign, "origin": "https://app.example.org"}
    assert visitor.post("/payments/callback", data={"text": "1"}, headers=foreign).is_redirect
    assert visitor.delete("/payments/callback/x", headers=trusted).status_code == 404
    assert visitor.delete("/elsewhere", headers=foreign).status_code == 403
    assert visitor.delete("/elsewhere", headers=trusted).status_code == 404
