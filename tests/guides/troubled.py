"""Small sites that show a symptom of docs/troubleshooting.md, and what the page quotes."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.testclient import TestClient

from pgsession import MemoryStore, Session, SessionMiddleware, Store, get_session
from tests.applications import SECRET
from tests.project.documents import Document

PAGE = Document("docs/troubleshooting.md")

HTTPS = "https://testserver"

#: The name of the cookie, if it is not set.
NAME = "__Host-session"

Action = Callable[[Session], object]
Handler = Callable[[Request], Awaitable[Response]]

_PROSE = re.sub(r"^```.*?^```$", "", PAGE.text, flags=re.DOTALL | re.MULTILINE)

#: What the page quotes, as patterns: an ellipsis stands for any text.
_QUOTES = [
    ".*".join(map(re.escape, re.sub(r"^\w+Error: ", "", " ".join(text.split())).split("…")))
    for _, text in re.findall(r"(`+)(.+?)\1", _PROSE, re.DOTALL)
    if len(text) > len("request.session.get")
]


def is_quoted(message: str) -> bool:
    """Tell whether the page quotes this message of the log or of an error, or its beginning."""
    return any(re.match(quote, message) for quote in _QUOTES)


async def count(request: Request) -> Response:
    """Count the visits."""
    request.session["visits"] = request.session.get("visits", 0) + 1
    return PlainTextResponse(str(request.session["visits"]))


async def read(request: Request) -> Response:
    """Show the content."""
    return PlainTextResponse(repr(dict(request.session)))


def page(path: str, action: Action) -> Route:
    """Return a page that calls `action` with the session and shows what that returns."""

    async def show(request: Request) -> Response:
        return PlainTextResponse(repr(action(get_session(request))))

    return Route(path, show)


def site(
    *routes: BaseRoute,
    store: Store | None = None,
    outside: tuple[Middleware, ...] = (),
    handlers: dict[Any, Any] | None = None,
    **keywords: Any,
) -> Starlette:
    """Return an application that counts visits at `/`, with the keywords of the middleware."""
    if "settings" not in keywords:
        keywords.setdefault("secret_key", SECRET)
    own = Middleware(SessionMiddleware, store=store or MemoryStore(), **keywords)
    return Starlette(
        routes=[Route("/", count, methods=["GET", "POST"]), Route("/read", read), *routes],
        middleware=[*outside, own],
        exception_handlers=handlers,
    )


def browser(app: Starlette, *, base_url: str = HTTPS, raises: bool = True) -> TestClient:
    """Return a client that keeps cookies."""
    return TestClient(app, base_url=base_url, raise_server_exceptions=raises)


def visits(client: TestClient, *paths: str) -> list[str]:
    """Return the texts of these pages, one after the other; of `/` twice if none is given."""
    return [client.get(path).text for path in paths or ("/", "/")]
