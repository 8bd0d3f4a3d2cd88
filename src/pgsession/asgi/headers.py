"""The response headers of a session: Vary, Cache-Control and Set-Cookie."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from starlette.datastructures import MutableHeaders

from pgsession.asgi.caching import Headers, without_sharing
from pgsession.core.session import Session

_VARY: Final = (b"vary", b"Cookie")


def session_headers(headers: Headers, *, session: Session, cookies: Sequence[bytes]) -> Headers:
    """Return `headers` with those of the session. The list that is given stays as it is.

    Vary is added if the response depends on the session. A response that sets a
    cookie, or that of an unavailable session, must not be kept by any cache,
    whatever the application says: it gets ``Cache-Control: private, no-store``.
    """
    is_unavailable = session.is_unavailable or session.proof_missing
    if not (cookies or session.accessed or is_unavailable):
        return headers
    headers = with_vary(headers)
    if cookies or is_unavailable:
        headers = without_sharing(headers)
        headers += [(b"set-cookie", cookie) for cookie in cookies]
    return headers


def with_vary(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Return a copy of `headers` with ``Vary: Cookie``."""
    varying = list(headers)
    for name, _ in varying:
        if name.lower() == b"vary":
            MutableHeaders(raw=varying).add_vary_header("Cookie")
            break
    else:
        varying.append(_VARY)
    return varying
