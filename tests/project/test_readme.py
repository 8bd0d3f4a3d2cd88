"""README.md is short, and its programs run as written."""

from datetime import timedelta

import pytest

from pgsession import SessionSettings
from tests.programs import Visitor, served
from tests.project.conftest import Program
from tests.project.documents import README, Document

STARLETTE, FASTAPI = README.programs


def test_length() -> None:
    """It has fewer than 200 lines, so it can be read in a few minutes."""
    assert len(README.text.splitlines()) < 200


@pytest.mark.parametrize("text", [STARLETTE, FASTAPI], ids=["starlette", "fastapi"])
def test_short(text: str) -> None:
    """A program has at most twenty lines."""
    assert len(text.splitlines()) <= 20


def test_starlette(program: Program, variables: dict[str, str]) -> None:
    """The program for Starlette counts when it is served unchanged."""
    with served(program(STARLETTE), **variables) as address:
        visitor = Visitor(address)
        assert [visitor.get().text for _ in range(2)] == ["Visit number 1\n", "Visit number 2\n"]


def test_fastapi(program: Program, variables: dict[str, str]) -> None:
    """The program for FastAPI counts when it is served unchanged."""
    with served(program(FASTAPI), **variables) as address:
        visitor = Visitor(address)
        assert [visitor.get().json() for _ in range(2)] == [{"visits": 1}, {"visits": 2}]


def test_device_binding(program: Program, variables: dict[str, str]) -> None:
    """The program is served with the setting that binds sessions to devices."""
    [line] = [line for line in README.commands if "SESSION_DEVICE_BINDING" in line]
    name, _, value = line.removeprefix("export ").partition("=")
    more = {**variables, name: value}
    with served(program(STARLETTE), **more) as address:
        assert Visitor(address).get().text == "Visit number 1\n"
    assert SessionSettings.from_env(more).device_binding == timedelta(minutes=10)


def test_settings() -> None:
    """It lists five settings, with the variables and defaults of docs/reference/settings.md."""
    assert len(README.settings) == 5
    assert set(README.settings) <= set(Document("docs/reference/settings.md").settings)
