"""The secrets that sign cookies: which ones are accepted, and how they sign."""

from __future__ import annotations

import hashlib
import hmac
import re
from binascii import b2a_base64
from collections.abc import Sequence
from typing import Final, Protocol

from pgsession.core.hidden import HiddenBytes, hidden
from pgsession.errors import SettingsError

#: The length of the shortest secret that is accepted, in bytes.
MIN_SECRET_BYTES: Final = 32

#: A variable that nothing has replaced by its value: ${NAME} anywhere in a text; or a text that
#: is $NAME, ${NAME, $(command), {{ name }}, %(name)s, %NAME% or <name> as a whole.
_PLACEHOLDER: Final = (
    r".*\$\{[A-Za-z_][^{}]*\}.*"
    r"|\s*(?:\$\w+|\$\{[^}]*|\$\(.*\)|\{\{.*\}\}|%\(.*\)s|%\w+%|<[^<>]*>)\s*"
)

#: Each of them has one of these, and a secret that `pgsession secret` has made none.
_SIGNS: Final = frozenset("${%<")

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")

#: A random secret of 32 characters has more different ones than this.
_MIN_LETTERS: Final = 8

_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")

# HMAC pads its key to a block of the hash, and makes two keys of it.
_BLOCK: Final = hashlib.sha256().block_size
_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))


class SecretValue(Protocol):
    """A secret in an object of a library, such as `SecretStr` of pydantic."""

    def get_secret_value(self) -> str | bytes: ...


def check_secrets(secrets: Sequence[str | bytes]) -> None:
    """Raise `SettingsError` for a secret that is missing, too short or not one."""
    if not secrets:
        raise SettingsError("secret_key is missing: make one with `pgsession secret`.")
    for secret in secrets:
        if not isinstance(secret, str | bytes):
            raise SettingsError(f"secret_key must be str or bytes, not {type(secret).__name__}.")
        size = len(_as_bytes(secret))
        if size < MIN_SECRET_BYTES:
            raise SettingsError(
                f"secret_key is {size} bytes long; it needs at least {MIN_SECRET_BYTES}. "
                "Make one with `pgsession secret`."
            )
        text = hidden(_as_text(secret))
        if is_placeholder(text):
            raise SettingsError(
                "secret_key holds a placeholder such as ${NAME}, which nothing has replaced by its "
                "value. Set the variable where the application starts."
            )
        if _CONTROL.search(text):
            raise SettingsError(
                "secret_key has a line break or another control character. Make one with "
                "`pgsession secret`, and store it in one line."
            )


def _as_text(secret: str | bytes) -> str:
    """Return a secret as text, or an empty text for bytes that are none."""
    if isinstance(secret, str):
        return secret
    return secret.decode("ascii") if secret.isascii() else ""


def is_placeholder(text: str) -> bool:
    """Return True if `text` holds a variable that nothing has replaced by its value."""
    return not _SIGNS.isdisjoint(text) and (re.fullmatch(_PLACEHOLDER, text, re.DOTALL) is not None)


def is_guessable(secret: str | bytes) -> bool:
    """Return True if `secret` repeats a few characters, so that it cannot be random."""
    return len(set(secret)) < _MIN_LETTERS


class CookieSigner:
    """Signs as itsdangerous does, with one secret, but derives the signing key only once.

    It keeps the two keyed hashes of HMAC (RFC 2104, section 4) and copies them for each
    signature. A copy of an object of `hmac` costs nearly twice as much.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, secret: bytes, *, salt: str) -> None:
        # As itsdangerous does for key_derivation="hmac", but an import of it takes longer than
        # any module here. It is a digest, so it is never longer than a block.
        derived = HiddenBytes(hmac.digest(secret, salt.encode("utf-8"), "sha256"))
        key = HiddenBytes(derived.ljust(_BLOCK, b"\0"))
        self._inner = hashlib.sha256(key.translate(_INNER))
        self._outer = hashlib.sha256(key.translate(_OUTER))

    def sign(self, text: bytes) -> bytes:
        """Return the signature: HMAC-SHA-256 in base64url, without padding."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(text)
        outer.update(inner.digest())
        return b2a_base64(outer.digest(), newline=False).translate(_URL_SAFE, b"=")


def signers(secrets: Sequence[str | bytes], name: str) -> tuple[CookieSigner, ...]:
    """Return the signers, newest first. The salt separates them from other cookies and packages."""
    return signers_with(secrets, salt=f"pgsession.cookie.{name}")


def signers_with(secrets: Sequence[str | bytes], *, salt: str) -> tuple[CookieSigner, ...]:
    """Return the signers for a purpose that the salt names, newest first."""
    return tuple(CookieSigner(_as_bytes(secret), salt=salt) for secret in secrets)


def _as_bytes(secret: str | bytes) -> HiddenBytes:
    if isinstance(secret, str):
        return HiddenBytes(secret.encode("utf-8", "surrogatepass"))
    return HiddenBytes(secret)
