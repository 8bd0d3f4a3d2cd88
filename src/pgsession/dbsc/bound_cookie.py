"""The bound cookie: the short-lived cookie that a browser gets for each proof."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from pgsession.core.cookie_attributes import SameSite
from pgsession.core.hidden import HiddenBytes

#: So many bytes of the Cookie headers are read, as of the session's own cookie.
_MAX_HEADER: Final = 65_536

#: A browser drops the cookie so long before the proof ends, at most: else a request may go out with
#: a cookie that has just ended, and is not held back.
_MARGIN: Final = timedelta(seconds=30)

_VALUE: Final = rb"=([0-9]{1,12}\.[A-Za-z0-9_-]{43})[ \t]*+(?![^;])"


@dataclass(frozen=True, slots=True)
class BoundCookie:
    """The bound cookie of a middleware: its name and its attributes."""

    name: str
    path: str
    same_site: SameSite
    #: How long a proof is good.
    period: timedelta
    #: Finds the values of this name in a Cookie header.
    _pattern: re.Pattern[bytes] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        name = re.escape(self.name.encode("ascii"))
        object.__setattr__(self, "_pattern", re.compile(rb"(?:^|;)[ \t]*+" + name + _VALUE))

    @property
    def attributes(self) -> str:
        """The attributes as the instructions name them: all but Max-Age."""
        return f"Path={self.path}; Secure; HttpOnly; SameSite={self.same_site.title()}"

    def find(self, headers: Iterable[tuple[bytes, bytes]]) -> Sequence[str]:
        """Return the values that came under this name, of the form that we write."""
        return [
            match[1].decode("ascii")
            for text in _cookie_headers(headers)
            for match in self._pattern.finditer(text)
        ]

    def write(self, value: str) -> bytes:
        """Return the Set-Cookie text for a proof of now."""
        seconds = int((self.period - min(_MARGIN, self.period / 10)).total_seconds())
        return HiddenBytes(
            f"{self.name}={value}; Max-Age={seconds}; {self.attributes}".encode("ascii")
        )

    def delete(self) -> bytes:
        """Return the Set-Cookie text that deletes the cookie in the browser."""
        return f"{self.name}=null; Max-Age=0; {self.attributes}".encode("ascii")


def _cookie_headers(headers: Iterable[tuple[bytes, bytes]]) -> Iterator[bytes]:
    left = _MAX_HEADER
    for name, text in headers:
        if name.lower() == b"cookie":
            yield text[:left]
            left -= len(text)
            if left <= 0:
                return
