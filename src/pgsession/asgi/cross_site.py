"""Requests from other sites, with which the browser sends no cookie (RFC 6265bis, section 5.6.7.1).

The browser says where a request comes from in ``Sec-Fetch-Site`` (W3C, Fetch Metadata).
"""

from __future__ import annotations

from typing import Final

from starlette.types import Scope

from pgsession.core.cookie_attributes import SameSite

_PREFIX: Final = b"sec-fetch-"
_SITE: Final = b"sec-fetch-site"
_CROSS_SITE: Final = b"cross-site"


def comes_without_cookie(scope: Scope, same_site: SameSite) -> bool:
    """Return True if the browser may have the cookie, and does not send it with this request.

    That is a request from another site that is no navigation of the whole page
    with GET or HEAD, if the cookie is SameSite Lax or Strict. Without
    ``Sec-Fetch-Site`` nothing is known, and the result is False.
    """
    if same_site == "none":
        return False
    said = _said(scope)
    if said.get(_SITE) != _CROSS_SITE:
        return False
    # A service worker that passes a navigation on has an empty destination.
    is_whole_page = said.get(b"sec-fetch-mode") == b"navigate" and said.get(
        b"sec-fetch-dest", b""
    ) in {b"document", b"empty", b""}
    return not (is_whole_page and scope.get("method") in {"GET", "HEAD"})


def is_cross_site(scope: Scope) -> bool:
    """Return True if the browser says that a request is of another site, in whatever way."""
    return _said(scope).get(_SITE) == _CROSS_SITE


def _said(scope: Scope) -> dict[bytes, bytes]:
    """Return what the browser says about where a request comes from."""
    return {
        lowered: value
        for name, value in scope["headers"]
        if (lowered := name.lower()).startswith(_PREFIX)
    }
