"""docs/reference/errors.md has every error, and the response that each becomes."""

import inspect
import re
from typing import Any, Final

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from pgsession import MemoryStore, SessionMiddleware, SessionSettings, errors
from tests.project.documents import Document

PAGE: Final = Document("docs/reference/errors.md").text

#: The section of each error: its name, and the response that it becomes.
SECTIONS: Final = re.findall(
    r"^## (\w+Error)\n(?:(?!#).*\n)+?- \*\*Raised by\*\* .+\n- \*\*What to do:\*\* .+\n"
    r"- \*\*Response:\*\* (.+)\.$",
    PAGE,
    re.MULTILINE,
)

DEFINED: Final[dict[str, Any]] = {
    name: each
    for name, each in vars(errors).items()
    if inspect.isclass(each) and each.__module__ == errors.__name__
}


def test_sections() -> None:
    """Each error has a section, in the order of the module."""
    assert [name for name, _ in SECTIONS] == [*DEFINED]


def test_tree() -> None:
    """The tree is that of the module, whose test compares it with the classes."""
    drawn = re.compile(r"^ *([│├└ ─]*)(\w+Error)(?: +(\w+Error))?", re.MULTILINE)
    of_module = drawn.findall(inspect.getdoc(errors) or "")
    [tree] = re.findall(r"```\n(SessionError\n.*?)```", PAGE, re.DOTALL)

    assert [(name, builtin) for _, name, builtin in drawn.findall(tree)] == [
        (name, builtin) for _, name, builtin in of_module
    ]
    depths = [len(indent.lstrip()) for indent, _, _ in drawn.findall(tree)]
    assert depths == [len(indent.lstrip()) for indent, _, _ in of_module]


@pytest.mark.parametrize(("name", "response"), SECTIONS)
def test_response(name: str, response: str) -> None:
    """An error that a handler lets pass becomes the response of its section."""

    async def fail(request: Request) -> Response:
        request.session["visits"] = 1
        raise DEFINED[name]("…")

    settings = SessionSettings(secret_key="a secret of more than thirty-two bytes")
    app = Starlette(routes=[Route("/", fail)])
    app.add_middleware(SessionMiddleware, store=MemoryStore(), settings=settings)
    client = TestClient(app, base_url="https://testserver", raise_server_exceptions=False)
    answer = client.get("/")

    expected = 503 if "503" in response else 500
    assert answer.status_code == expected
    assert "set-cookie" not in answer.headers
    assert answer.headers.get("retry-after") == ("5" if expected == 503 else None)
