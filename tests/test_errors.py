"""The errors form the tree that the docstring of their module shows."""

import builtins
import copy
import inspect
import re

import pytest

import pgsession
from pgsession import errors
from pgsession.errors import SessionError

#: The depth of each error in the drawn tree, its name, and its builtin base.
DRAWN = [
    (len(indent) // 4, name, builtin)
    for indent, name, builtin in re.findall(
        r"^((?:[│├└ ][ ─]{3})+)(\w+Error) +(\w+Error)", inspect.getdoc(errors) or "", re.MULTILINE
    )
]

DEFINED = [
    error
    for _, error in inspect.getmembers(errors, inspect.isclass)
    if error.__module__ == errors.__name__
]


def drawn_parents() -> dict[str, str]:
    """Return the parent of each error in the drawing."""
    line = ["SessionError"]
    parents = {}
    shallowest = min(depth for depth, _, _ in DRAWN)
    for depth, name, _ in DRAWN:
        del line[depth - shallowest + 1 :]
        parents[name] = line[-1]
        line.append(name)
    return parents


def test_drawing() -> None:
    """The drawing shows every error once, below its base class."""
    parents = {error.__name__: error.__bases__[0].__name__ for error in DEFINED}
    del parents["SessionError"]

    assert drawn_parents() == parents


@pytest.mark.parametrize(("name", "builtin"), [drawn[1:] for drawn in DRAWN])
def test_builtin(name: str, builtin: str) -> None:
    """Each error is also a subclass of the builtin in the drawing, so code can catch that."""
    assert issubclass(getattr(errors, name), getattr(builtins, builtin))


@pytest.mark.parametrize("error", DEFINED, ids=lambda error: error.__name__)
def test_error(error: type[Exception]) -> None:
    """Each error is a public `SessionError` whose name ends in Error and which has a docstring."""
    assert issubclass(error, SessionError)
    assert error.__name__.endswith("Error")
    assert inspect.getdoc(error)
    assert getattr(pgsession, error.__name__) is error
    assert error.__name__ in pgsession.__all__


@pytest.mark.parametrize("error", DEFINED, ids=lambda error: error.__name__)
def test_printable(error: type[Exception]) -> None:
    """What a terminal or a log would interpret is escaped in every message, also in a copy."""
    raised = error("FATAL: \x1b[2J\r\nforged \x9b31m \u202e 'C:\\é'")

    for each in (raised, copy.copy(raised)):
        assert str(each) == r"FATAL: \x1b[2J\r\nforged \x9b31m \u202e 'C:\é'"


@pytest.mark.parametrize("error", DEFINED, ids=lambda error: error.__name__)
def test_message(error: type[Exception]) -> None:
    """Each error accepts a message and shows it."""
    assert str(error("what happened")) == "what happened"


@pytest.mark.parametrize(
    "error",
    [errors.SessionNotFoundError, errors.ResponseStartedError],
    ids=lambda error: error.__name__,
)
def test_default_message(error: type[Exception]) -> None:
    """The default message of an error says what happened and what to do."""
    assert str(error()).count(".") == 2


def test_public_names() -> None:
    """Every exported name exists, and the list is sorted without duplicates."""
    assert pgsession.__all__ == sorted(set(pgsession.__all__))
    assert all(hasattr(pgsession, name) for name in pgsession.__all__)
