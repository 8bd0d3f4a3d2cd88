"""Keys: a selector, which finds the row, and once the session was renewed a verifier.

The row is found by the selector's digest for life. A renewal replaces the
verifier, and only the key with the row's verifier opens the session.
"""

from __future__ import annotations

import secrets
from binascii import b2a_base64
from hashlib import sha256
from typing import Final, Self, TypeAlias

from pgsession.core.hidden import Hidden, hidden

#: Characters of a selector: 240 random bits.
SELECTOR_LENGTH: Final = 40

#: Characters of a verifier: 192 random bits.
VERIFIER_LENGTH: Final = 32

_SELECTOR_BYTES: Final = 30
_VERIFIER_BYTES: Final = 24
_DIGEST_BYTES: Final = 30
_FULL_LENGTH: Final = SELECTOR_LENGTH + 1 + VERIFIER_LENGTH
_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")


#: What a store keeps in place of a key: the digests of its selector, which is the row's
#: ``session_key``, and of its verifier, or None for a key without one.
KeyDigest: TypeAlias = tuple[str, str | None]


class Key(Hidden):
    """A key of a cookie, with its digests: a request that writes needs them twice."""

    __slots__ = ("digests",)

    digests: KeyDigest

    def __new__(cls, text: bytes) -> Self:
        """Make the key that an ASCII text is."""
        key = super().__new__(cls, text, "ascii")
        key.digests = _digests(key)
        return key

    def __reduce__(self) -> tuple[type[Hidden], tuple[str]]:
        return Hidden, (str(self),)


def new_key() -> Hidden:
    """Return a new key without a verifier: 40 url-safe characters from the system's random source.

    As no other key has its selector, it finds a row of its own.
    """
    return Hidden(secrets.token_urlsafe(_SELECTOR_BYTES))


def renewed_key(key: str) -> Hidden:
    """Return another key of the same session: the selector of `key`, a dot and a new verifier."""
    selector, _ = _split(hidden(key))
    return Hidden(f"{selector}.{secrets.token_urlsafe(_VERIFIER_BYTES)}")


def digest(key: str) -> str:
    """Return the digest of the selector of `key`: 40 characters that do not reveal it.

    Every string has a digest, so a garbage key is simply not found.
    """
    return _digest(_split(key)[0])


def key_digest(key: str) -> KeyDigest:
    """Return the digests of the selector and of the verifier of `key`."""
    return key.digests if type(key) is Key else _digests(key)


def _digests(key: str) -> KeyDigest:
    if len(key) != _FULL_LENGTH:  # nearly always
        return _digest(key), None
    selector, verifier = _split(key)
    return _digest(selector), None if verifier is None else _digest(verifier)


def _split(key: str) -> tuple[str, str | None]:
    """Split a key into selector and verifier. A text of another form is a selector as a whole."""
    if len(key) == _FULL_LENGTH and key[SELECTOR_LENGTH] == ".":
        return Hidden(key[:SELECTOR_LENGTH]), Hidden(key[SELECTOR_LENGTH + 1 :])
    return key, None


def _digest(text: str) -> str:
    hashed = sha256(text.encode("utf-8", "surrogatepass")).digest()
    return b2a_base64(hashed[:_DIGEST_BYTES], newline=False).translate(_URL_SAFE).decode("ascii")
