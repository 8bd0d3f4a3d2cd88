"""README.md is short, and its programs run as written."""

import pytest

from tests.programs import Visitor, served
from tests.project.conftest import Program
from tests.project.documents import README, Document

STARLETTE, FASTAPI = README.programs


def test_length() -> None:
    """It can be read in a few minutes: it has fewer than 200 lines."""
    assert len(README.text.splitlines()) < 200


@pytest.mark.parametrize("text", [STARLETTE, FASTAPI], ids=["starlette", "fastapi"])
def test_short(text: str) -> None:
    """A program has twenty lines at most."""
    assert len(text.splitlines()) <= 20


def test_starlette(program: Program, variables: dict[str, str]) -> None:
    """The program for Starlette counts when served as it stands."""
    with served(program(STARLETTE), **variables) as address:
        visitor = Visitor(address)
        assert [visitor.get().text for _ in range(2)] == ["Visit number 1\n", "Visit number 2\n"]


def test_fastapi(program: Program, variables: dict[str, str]) -> None:
    """The program for FastAPI counts when served as it stands."""
    with served(program(FASTAPI), **variables) as address:
        visitor = Visitor(address)
        assert [visitor.get().json() for _ in range(2)] == [{"visits": 1}, {"visits": 2}]


def test_settings() -> None:
    """It lists five settings, with the variables and defaults of the page that has them all."""
    assert len(README.settings) == 5
    assert set(README.settings) <= set(Document("docs/settings.md").settings)
