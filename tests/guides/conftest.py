"""Fixtures for the tests of the how-to guides: a program of a page, run in this process."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.project.conftest import Names, accounts, names, program, variables

#: Fixtures that another module defines.
__all__ = ["accounts", "names", "program", "variables"]

Browse = Callable[[dict[str, Any]], TestClient]
RunTests = Callable[[str, str], list[str]]


@contextmanager
def client(names: dict[str, Any]) -> Iterator[TestClient]:
    """A browser that visits the `app` of a program over HTTPS, and follows redirects."""
    with TestClient(names["app"], base_url="https://testserver") as it:
        yield it


@pytest.fixture
def browse() -> Iterator[Browse]:
    """Starts the `app` of a program, and returns a browser that visits it over HTTPS."""
    with ExitStack() as stack:
        yield lambda names: stack.enter_context(
            TestClient(names["app"], base_url="https://testserver", follow_redirects=False)
        )


@pytest.fixture
def run_tests(names: Names, monkeypatch: pytest.MonkeyPatch) -> RunTests:
    """Runs the tests of a page, which import its program as `app`; returns their names."""

    def run(program: str, tests: str) -> list[str]:
        module = ModuleType("app")
        vars(module).update(names(program))
        monkeypatch.setitem(sys.modules, "app", module)
        found = {name: it for name, it in names(tests).items() if name.startswith("test_")}
        for test in found.values():
            test()
        return list(found)

    return run
