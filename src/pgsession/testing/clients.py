"""A test client as the session middleware sees it: cookies, an address and an application."""

from __future__ import annotations

from collections.abc import Iterable
from email.message import Message
from http.cookiejar import CookieJar
from io import BytesIO
from typing import TYPE_CHECKING, Protocol, TypeAlias
from urllib.parse import SplitResult, urlsplit
from urllib.request import Request
from urllib.response import addinfourl

from starlette.types import Scope

from pgsession.core.cookie import Cookie
from pgsession.errors import SettingsError

if TYPE_CHECKING:  # it needs httpx2, or warns that it found httpx
    from starlette.testclient import TestClient


class Headers(Protocol):
    """The headers of a request of httpx or httpx2."""

    @property
    def raw(self) -> list[tuple[bytes, bytes]]:
        """Names and values."""
        ...


class BuiltRequest(Protocol):
    """A request of httpx or httpx2."""

    @property
    def headers(self) -> Headers:
        """With the cookies for its URL."""
        ...


class Cookies(Protocol):
    """The cookies of a client of httpx or httpx2."""

    @property
    def jar(self) -> CookieJar:
        """Where they are kept."""
        ...


class AsyncClient(Protocol):
    """`httpx.AsyncClient` or `httpx2.AsyncClient`, with ``transport=ASGITransport(app)``."""

    @property
    def base_url(self) -> object:
        """Its str is a URL."""
        ...

    @property
    def cookies(self) -> Cookies:
        """The cookies that came with responses."""
        ...

    def build_request(self, method: str, url: str) -> BuiltRequest:
        """Return a request with the cookies and headers of the client."""
        ...

    async def aclose(self) -> None:
        """Close the client."""
        ...


#: The clients that the helpers take.
Client: TypeAlias = "TestClient | AsyncClient"


def as_test_client(client: Client) -> TestClient | None:
    """Return a `TestClient`, or None for an `AsyncClient`. Raises `TypeError` otherwise."""
    if hasattr(client, "aclose"):
        return None
    from starlette.testclient import TestClient  # noqa: PLC0415 - see above

    if not isinstance(client, TestClient):
        raise TypeError(
            f"A test client is a TestClient of Starlette or an AsyncClient of httpx or httpx2, not "
            f"{type(client).__name__}."
        )
    return client


class Browser:
    """A client: its application, the requests that it makes, and its cookies."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._transport: object = getattr(client, "_transport", None)

    @property
    def app(self) -> object:
        """The application. Raises `SettingsError` if the client has none."""
        app: object = getattr(self._transport, "app", None)
        if app is None:
            raise SettingsError(
                "The client calls no application in this process. Use Starlette's "
                "TestClient(app), or AsyncClient(transport=ASGITransport(app))."
            )
        return app

    def scope(self, cookie: Cookie) -> Scope:
        """Return the scope of a request that brings the client's session cookie.

        Raises `SettingsError` if the client would not send a Secure cookie.
        """
        url = self._url(cookie)
        if cookie.secure and url.scheme != "https":
            raise SettingsError(
                "The session cookie is Secure, and the client's base_url begins with http://, so "
                'the client would not send it. Make the client with base_url="https://testserver".'
            )
        headers = self._client.build_request("GET", url.geturl()).headers.raw
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": url.scheme,
            "path": url.path,
            "raw_path": url.path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [(name.lower(), value) for name, value in headers],
            "client": getattr(self._transport, "client", None),
            "server": (url.hostname, url.port),
            "state": {},
        }

    def keep(self, texts: Iterable[bytes], cookie: Cookie) -> None:
        """Put cookies of Set-Cookie texts into the client's jar.

        Raises `SettingsError` if it does not take the session's, or would not send it.
        """
        message, url = Message(), self._url(cookie)
        for text in texts:
            message["Set-Cookie"] = text.decode("latin-1")
        response = addinfourl(BytesIO(), message, url.geturl())
        # The jar only calls `info`.
        self._client.cookies.jar.extract_cookies(response, Request(url.geturl()))  # type: ignore[arg-type]  # noqa: S310
        is_set = any("max-age=0;" not in text.lower() for text in message.get_all("Set-Cookie", ()))
        if is_set and not cookie.find(self.scope(cookie)["headers"]):
            raise SettingsError(
                f"The client does not keep the session cookie, whose domain is {cookie.domain!r}, "
                f"for its base_url, whose host is {url.hostname!r}. Make the client with the "
                "base_url of a site that may set that cookie."
            )

    def _url(self, cookie: Cookie) -> SplitResult:
        """Return a URL of the client's site for which the cookie is meant."""
        return urlsplit(str(self._client.base_url))._replace(path=cookie.path, query="")
