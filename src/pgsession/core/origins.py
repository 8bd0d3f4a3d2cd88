"""Requests of other origins: what a browser says of them, and which are rejected.

The rules are those of Go's ``http.CrossOriginProtection``. Browsers since 2023 say in
``Sec-Fetch-Site`` (W3C, Fetch Metadata) whether a page of the same origin sent a request. Older
ones, WebSockets in Chromium and requests over plain HTTP have only ``Origin`` (RFC 6454), which is
compared with ``Host``. A page can change none of the three.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import Enum
from ipaddress import IPv6Address
from typing import Final

from pgsession.errors import SettingsError

#: The methods that must change nothing (RFC 9110, section 9.2.1). OPTIONS is also a CORS preflight.
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

#: What `Sec-Fetch-Site` says of a page of the same origin, and of the visitor.
_OWN: Final = frozenset({b"same-origin", b"none"})

_SITE: Final = b"sec-fetch-site"
_ORIGIN: Final = b"origin"
_HOST: Final = b"host"

_FORM: Final = re.compile(
    r"(https?)://([a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?|\[[0-9a-f:.]+\])(?::([1-9][0-9]{0,4}))?"
)
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
_HIGHEST_PORT: Final = 65_535


class Rejection(Enum):
    """Why a request is rejected, in words for a developer."""

    OTHER_SITE = (
        "The browser says that a page of another origin sent this request (Sec-Fetch-Site). If "
        "that page may do so, its origin must be in trusted_origins."
    )
    OTHER_ORIGIN = (
        "The Origin of this request is not that of this host. If a proxy changes the Host header, "
        "the proxy must pass it on, or the site's own origin must be in trusted_origins."
    )


def judge(
    headers: Iterable[tuple[bytes, bytes]],
    *,
    method: str | None,
    is_secure: bool,
    trusted: frozenset[str],
) -> Rejection | None:
    """Return why a request is rejected, or None.

    `method` is None for the handshake of a WebSocket: it is a GET, but a page of
    any origin may open one. `is_secure` says that the request came over HTTPS;
    if a proxy hides that, it may be False. `trusted` are origins as
    `checked_origins` returns them.

    A request with neither ``Sec-Fetch-Site`` nor ``Origin`` is not rejected: it
    is not of a browser that would send another's cookie. Browsers send ``Origin``
    with each WebSocket (RFC 6455, section 4.1) and, since 2020, with each POST.
    """
    if method in SAFE_METHODS:
        return None
    said: dict[bytes, set[bytes]] = {_SITE: set(), _ORIGIN: set(), _HOST: set()}
    for name, text in headers:
        if (lowered := name.lower()) in said:
            said[lowered].add(text)
    sites, origins, hosts = said.values()
    if sites and sites <= _OWN:
        return None
    origin = _only(origins)
    if origin is not None and origin in trusted:
        return None
    if sites:
        return Rejection.OTHER_SITE
    if not origins or (origin is not None and _is_own(origin, hosts, is_secure=is_secure)):
        return None
    return Rejection.OTHER_ORIGIN


def checked_origins(given: object) -> frozenset[str]:
    """Return the origins in the setting `trusted_origins`, in the form that browsers send.

    Raises `SettingsError` if one is no origin.
    """
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise SettingsError("trusted_origins must be a list of origins.")
    return frozenset(map(_checked, given))


def _checked(given: object) -> str:
    normal = _normal(given) if isinstance(given, str) else None
    if normal is None:
        raise SettingsError(
            "trusted_origins: write each as https://host or https://host:port, with no path, not "
            "even a slash at the end, no wildcard and no user; a host with other letters than "
            "ASCII as browsers send it (xn--…)."
        )
    return normal


def _only(origins: set[bytes]) -> str | None:
    """Return the one origin, or None if none came, several did, or it is ``null``."""
    return _normal(next(iter(origins)).decode("latin-1")) if len(origins) == 1 else None


def _is_own(origin: str, hosts: set[bytes], *, is_secure: bool) -> bool:
    """Tell whether an origin is that of the request's host.

    Behind a proxy the request may look like plain HTTP: then both schemes are
    taken for its own, as Go does.
    """
    scheme, _, _ = origin.partition("://")
    if len(hosts) != 1 or (is_secure and scheme != "https"):
        return False
    return _normal(f"{scheme}://{next(iter(hosts)).decode('latin-1')}") == origin


def _normal(text: str) -> str | None:
    """Return an origin as browsers write it: in lower case, without the scheme's own port."""
    match = _FORM.fullmatch(text.lower())
    if match is None:
        return None
    scheme, host, port = match.groups()
    if port is not None and int(port) > _HIGHEST_PORT:
        return None
    if host.startswith("["):
        try:
            host = f"[{IPv6Address(host[1:-1]).compressed}]"
        except ValueError:
            return None
    ending = "" if port in {None, _DEFAULT_PORTS[scheme]} else f":{port}"
    return f"{scheme}://{host}{ending}"
