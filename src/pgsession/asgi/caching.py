"""Shared caches: which responses they may keep, and how a response is kept out of them.

The rules are those of RFC 9111; RFC 9213 adds headers for one kind of cache, such as
``CDN-Cache-Control``, which override ``Cache-Control`` there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, TypeAlias

#: The headers of an ASGI message: names and values.
Headers: TypeAlias = list[tuple[bytes, bytes]]

_RULE: Final = b"cache-control"

_QUOTED: Final = re.compile(rb'"[^"]*"')

#: Headers with a rule for some caches only, beside those that end with ``-cache-control``.
_TARGETED: Final = frozenset({b"surrogate-control", b"edge-control", b"x-accel-expires"})

#: Headers with which a cache may keep a response that has no rule.
_HINTS: Final = frozenset({b"expires", b"etag", b"last-modified"})

#: A cache may keep these without a rule, and a 304 updates the response that it has.
_KEPT_STATUSES: Final = frozenset({301, 304, 308})

#: The rule that forbids to keep a response, for shared caches and for the browser's own.
_PRIVATE: Final = (_RULE, b"private, no-store")


def may_be_shared(status: int, headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return True if a shared cache may keep the response, and give it to other visitors."""
    named = [(name.lower(), value.lower()) for name, value in headers]
    if any(not _forbids_sharing(value) for name, value in named if _is_targeted(name)):
        return True
    rules = [value for name, value in named if name == _RULE]
    if rules:
        return not _forbids_sharing(b",".join(rules))
    return status in _KEPT_STATUSES or any(name in _HINTS for name, _ in named)


def varies(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return True if the response says that it depends on the Cookie header."""
    named = {value.strip().lower() for name, value in headers if name.lower() == b"vary"}
    return any(each.strip() in {b"cookie", b"*"} for value in named for each in value.split(b","))


def without_sharing(headers: Headers) -> Headers:
    """Return `headers` with ``Cache-Control: private, no-store`` in place of every other rule."""
    kept = [
        (name, value)
        for name, value in headers
        if (lowered := name.lower()) not in {_RULE, b"expires"} and not _is_targeted(lowered)
    ]
    return [*kept, _PRIVATE]


def _is_targeted(name: bytes) -> bool:
    return name in _TARGETED or name.endswith(b"-" + _RULE)


def _forbids_sharing(rule: bytes) -> bool:
    """Return True for ``private`` or ``no-store``.

    ``private="name"`` protects one header only. With ``must-understand`` a cache
    may ignore ``no-store``.
    """
    plain = _QUOTED.sub(b'""', rule).replace(b";", b",")
    directives = {directive.strip() for directive in plain.split(b",")}
    return b"private" in directives or (
        b"no-store" in directives and b"must-understand" not in directives
    )
