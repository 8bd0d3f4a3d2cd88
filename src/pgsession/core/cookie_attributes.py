"""The attributes of a cookie that browsers accept (RFC 6265bis, and CHIPS for Partitioned)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Literal, TypeAlias

from pgsession.errors import SettingsError

SameSite: TypeAlias = Literal["lax", "strict", "none"]

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# The characters of a path in a request (RFC 3986, section 3.3), without the semicolon.
_PATH: Final = re.compile(r"/[A-Za-z0-9\-._~%!$&'()*+,=:@/]*")
_DOTS: Final = re.compile(r"(?:^|/)\.\.?(?:/|$)")
_DOMAIN: Final = r"\.?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*"
_TOP_DOMAIN_OR_ADDRESS: Final = r"\.?[A-Za-z0-9-]+|[0-9.]+"

#: The longest name of a host (RFC 1035, section 2.3.4), with a port.
_MAX_HOST: Final = 253 + 6

#: So many names of a host are told apart when the cookies of the domains above are deleted.
_MAX_LABELS: Final = 6

#: Browsers drop a cookie whose name and value, or one of whose attributes, is longer (RFC 6265bis,
#: section 5.6).
_MAX_PAIR: Final = 4096
_MAX_ATTRIBUTE: Final = 1024

#: The longest value: key, verifier, number, time, signature and the dots between them.
_MAX_VALUE: Final = 40 + 32 + 10 + 12 + 43 + 4


def check_attributes(
    *,
    name: str,
    path: str,
    domain: str | None,
    secure: bool,
    same_site: str,
    partitioned: bool,
) -> None:
    """Raise `SettingsError` for attributes with which browsers drop the cookie."""
    for setting, given in (
        ("session_cookie", name),
        ("path", path),
        ("domain", domain or ""),
        ("same_site", same_site),
    ):
        if not isinstance(given, str):
            raise SettingsError(f"{setting} must be a str, not {type(given).__name__}.")
    for wrong, message in (
        (
            _TOKEN.fullmatch(name) is None,
            "session_cookie is not a cookie name: use letters, digits and !#$%&'*+-.^_`|~.",
        ),
        (
            _PATH.fullmatch(path) is None,
            "path: write it as in a request, such as /app or /a%20b: no blank, query or pattern.",
        ),
        (
            _DOTS.search(path) is not None,
            "path: leave the names . and .. out, as browsers do in a request.",
        ),
        (
            domain is not None and re.fullmatch(_DOMAIN, domain) is None,
            "domain is not a domain name: write it without scheme and port.",
        ),
        (
            domain is not None and re.fullmatch(_TOP_DOMAIN_OR_ADDRESS, domain) is not None,
            (
                "domain must be a name such as example.org: browsers set no cookie for a top-level "
                "domain, localhost or an address. Leave it out for this host alone."
            ),
        ),
        (
            len(name) > _MAX_PAIR - _MAX_VALUE,
            f"session_cookie is too long: browsers drop it with over {_MAX_PAIR} bytes.",
        ),
        (
            len(path) > _MAX_ATTRIBUTE or len(domain or "") > _MAX_ATTRIBUTE,
            f"path and domain: browsers ignore one with over {_MAX_ATTRIBUTE} bytes.",
        ),
        (
            same_site not in {"lax", "strict", "none"},
            'same_site must be "lax", "strict" or "none".',
        ),
        (
            same_site == "none" and not secure,
            'same_site="none" needs https_only=True: browsers drop the cookie otherwise.',
        ),
        (
            partitioned and not secure,
            "partitioned=True needs https_only=True: browsers drop the cookie otherwise.",
        ),
        (
            (has_prefix(name, "__secure-") or has_prefix(name, "__http-")) and not secure,
            "session_cookie: the prefixes __Secure- and __Http- need https_only=True.",
        ),
        (
            has_prefix(name, "__host-") and not (secure and path == "/" and domain is None),
            'session_cookie: the prefix __Host- needs https_only=True, path="/", no domain.',
        ),
    ):
        if wrong:
            raise SettingsError(message)


def has_prefix(name: str, prefix: str) -> bool:
    """Return True if the name of a cookie begins with a prefix, in any case."""
    return name.lower().startswith(prefix)


def domains_of(host: str) -> Iterator[str]:
    """Yield a host, if it is a name with dots, and the domains above it that may have cookies."""
    if len(host) > _MAX_HOST:
        return
    labels = host.partition(":")[0].lower().split(".")
    if re.fullmatch(_DOMAIN, ".".join(labels)) and not labels[-1].isdigit():
        longest = max(0, len(labels) - _MAX_LABELS)
        yield from (".".join(labels[first:]) for first in range(longest, len(labels) - 1))
