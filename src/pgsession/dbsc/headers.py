"""The header fields of the protocol, as they are read and written.

They are structured fields (RFC 9651). Browsers are seen to send the proof and the identifier
without quotes, where the standard has them: both are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

#: Sent by the server: offers a registration, or asks for a proof.
REGISTRATION: Final = b"secure-session-registration"
CHALLENGE: Final = b"secure-session-challenge"

#: Sent by the browser: the proof, the identifier of the session, and why a proof is missing.
RESPONSE: Final = b"secure-session-response"
IDENTIFIER: Final = b"sec-secure-session-id"
SKIPPED: Final = b"secure-session-skipped"

#: Characters of a field that are read.
_LONGEST: Final = 4096

_QUOTED: Final = re.compile(r'"([^"\\]*)"')
_SKIPPED: Final = re.compile(r"(unreachable|server_error|quota_exceeded)(?![a-z_])")


def registration(path: str, challenge: str) -> tuple[bytes, bytes]:
    """Return the field that offers a registration at `path`, with either kind of key."""
    text = f'(ES256 RS256);path="{path}";challenge="{challenge}"'
    return REGISTRATION, text.encode("ascii")


def challenge(text: str, identifier: str) -> tuple[bytes, bytes]:
    """Return the field that asks the browser to sign `text` for the session."""
    return CHALLENGE, f'"{text}";id="{identifier}"'.encode("ascii")


def read(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str | None:
    """Return the content of a field, without quotes; None if it is missing, twice or too long."""
    found = [text for header, text in headers if header.lower() == name]
    if len(found) != 1 or len(found[0]) > _LONGEST or not found[0].isascii():
        return None
    text = found[0].decode("ascii").strip(" \t")
    quoted = _QUOTED.fullmatch(text)
    return text if quoted is None else quoted[1]


def read_skipped(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Return why the browser sends no proof, or None if it says nothing.

    The reasons are ``unreachable``, ``server_error`` and ``quota_exceeded``.
    """
    text = read(headers, SKIPPED)
    found = None if text is None else _SKIPPED.match(text)
    return None if found is None else found[1]
