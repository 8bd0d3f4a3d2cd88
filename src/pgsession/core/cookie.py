"""The cookie: its name and attributes, and how it is found, verified, signed and written.

This module reads the bytes of the Cookie header itself. It uses no cookie
parser and does no unquoting, so the time for a hostile header is bounded by
its length.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import math
import re
from binascii import b2a_base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Literal, TypeAlias

from itsdangerous import Signer

from pgsession.core.hidden import Hidden, HiddenBytes
from pgsession.errors import SettingsError

_LOGGER = logging.getLogger("pgsession")

SameSite: TypeAlias = Literal["lax", "strict", "none"]

#: A cookie's lifetime: a `timedelta`, None (until the browser closes), or the store's default.
MaxAge: TypeAlias = timedelta | Literal["default"] | None

#: The length of the shortest secret that is accepted, in bytes.
MIN_SECRET_BYTES: Final = 32

#: Browsers keep no cookie longer than this (RFC 6265bis, section 5.5).
MAX_AGE: Final = timedelta(days=400)

# A key, a signature and the end of the pair. The key may use either base64 alphabet, because keys
# of older applications do. The possessive quantifier prevents backtracking.
_SIGNED: Final = rb"([A-Za-z0-9+/_-]{40})\.([A-Za-z0-9_-]{43})[ \t]*+(?![^;])"
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PATH: Final = re.compile(r"/[\x20-\x3a\x3c-\x7e]*")
_DOMAIN: Final = re.compile(r"\.?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")

_NAME: Final = b"cookie"
_NAME_SIZE: Final = len(_NAME)
_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")

# At most this many cookies of our name and shape are verified per request.
_MAX_CANDIDATES: Final = 32

_MAX_SECONDS: Final = int(MAX_AGE.total_seconds())


@dataclass(frozen=True, slots=True, kw_only=True)
class Cookie:
    """The session cookie of a middleware. The repr shows no secret.

    Raises `SettingsError` for attributes with which browsers reject a cookie,
    and for a secret that is missing or too short.
    """

    #: The secrets, newest first, of at least 32 bytes each. The first signs, all verify.
    secret_keys: Sequence[str | bytes] = field(repr=False)
    #: The name. If empty: `__Host-session` if the rules of that prefix are met, else `session`.
    name: str = ""
    path: str = "/"
    domain: str | None = None
    secure: bool = True
    same_site: SameSite = "lax"
    partitioned: bool = False
    _signers: tuple[_Signer, ...] = field(init=False, repr=False, compare=False)
    _shape: re.Pattern[bytes] = field(init=False, repr=False, compare=False)
    _attributes: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        name = self.name or self._default_name()
        object.__setattr__(self, "name", name)
        _check_secrets(self.secret_keys)
        self._check_attributes()
        object.__setattr__(self, "_signers", _signers(self.secret_keys, name))
        prefix = re.escape(name.encode("ascii") + b"=")
        object.__setattr__(self, "_shape", re.compile(prefix + _SIGNED))
        object.__setattr__(self, "_attributes", self._format_attributes())

    def find(self, headers: Iterable[tuple[bytes, bytes]]) -> Hidden | None:
        """Return the key of the first session cookie with a valid signature, or None.

        `headers` are the headers of an ASGI scope. Several cookies may have the
        name, in one header or in several. A value that is quoted, encoded or of
        another length is skipped.
        """
        left = _MAX_CANDIDATES
        for header, text in headers:
            if len(header) != _NAME_SIZE or header.lower() != _NAME:
                continue
            pair, seen = self._shape.search(text), 0
            while pair is not None and left:
                left -= 1
                between, seen = text[seen : pair.start()], pair.end()
                # Otherwise the match is the end of the name or the value of another cookie.
                if not between[between.rfind(b";") + 1 :].strip(b" \t"):
                    key, signature = pair.groups()
                    if self._verifies(key, signature):
                        return Hidden(key, "ascii")
                pair = self._shape.search(text, seen)
        if left < _MAX_CANDIDATES:
            _LOGGER.debug("A session cookie was ignored: none of the secrets verifies it.")
        return None

    def write(self, key: str, max_age: timedelta | None) -> bytes:
        """Return the Set-Cookie text for `key`.

        `max_age` is rounded up to seconds and limited to 400 days. With None,
        the browser keeps the cookie until it closes.
        """
        signature = self._signers[0].sign(key.encode("ascii")).decode("ascii")
        return self._set_cookie_text(
            f"{key}.{signature}", "" if max_age is None else f"Max-Age={_seconds(max_age)}; "
        )

    def delete(self) -> bytes:
        """Return the Set-Cookie text that deletes the cookie in the browser."""
        return self._set_cookie_text("null", "expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; ")

    def _verifies(self, key: bytes, signature: bytes) -> bool:
        """Return True if `signature` is exactly what one of the secrets gives for `key`."""
        for signer in self._signers:  # noqa: SIM110 - a generator is slower, for every request
            if hmac.compare_digest(signer.sign(key), signature):
                return True
        return False

    def _set_cookie_text(self, content: str, expiry: str) -> bytes:
        return f"{self.name}={content}; path={self.path}; {expiry}{self._attributes}".encode(
            "ascii"
        )

    def _format_attributes(self) -> str:
        attributes = ["httponly", f"samesite={self.same_site}"]
        if self.secure:
            attributes.append("secure")
        if self.domain is not None:
            attributes.append(f"domain={self.domain}")
        if self.partitioned:
            attributes.append("partitioned")
        return "; ".join(attributes)

    def _default_name(self) -> str:
        locked = self.secure and self.path == "/" and self.domain is None
        return "__Host-session" if locked else "session"

    def _check_attributes(self) -> None:
        """Raise `SettingsError` for attributes that RFC 6265bis and CHIPS do not allow."""
        for setting, given in (
            ("session_cookie", self.name),
            ("path", self.path),
            ("domain", self.domain or ""),
            ("same_site", self.same_site),
        ):
            if not isinstance(given, str):
                raise SettingsError(f"{setting} must be a str, not {type(given).__name__}.")
        for wrong, message in (
            (
                _TOKEN.fullmatch(self.name) is None,
                "session_cookie is not a cookie name: use letters, digits and !#$%&'*+-.^_`|~.",
            ),
            (
                _PATH.fullmatch(self.path) is None,
                "path must start with a slash and hold only printable ASCII without semicolons.",
            ),
            (
                self.domain is not None and _DOMAIN.fullmatch(self.domain) is None,
                "domain is not a domain name: write it without scheme and port.",
            ),
            (
                self.same_site not in {"lax", "strict", "none"},
                'same_site must be "lax", "strict" or "none".',
            ),
            (
                self.same_site == "none" and not self.secure,
                'same_site="none" needs https_only=True: browsers drop the cookie otherwise.',
            ),
            (
                self.partitioned and not self.secure,
                "partitioned=True needs https_only=True: browsers drop the cookie otherwise.",
            ),
            (
                (self._has_prefix("__secure-") or self._has_prefix("__http-")) and not self.secure,
                "session_cookie: the prefixes __Secure- and __Http- need https_only=True.",
            ),
            (
                self._has_prefix("__host-")
                and not (self.secure and self.path == "/" and self.domain is None),
                'session_cookie: the prefix __Host- needs https_only=True, path="/", no domain.',
            ),
        ):
            if wrong:
                raise SettingsError(message)

    def _has_prefix(self, prefix: str) -> bool:
        return self.name.lower().startswith(prefix)


def _check_secrets(secrets: Sequence[str | bytes]) -> None:
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


class _Signer:
    """Signs as itsdangerous does, with one secret, but derives the signing key only once.

    Each signature copies the keyed HMAC object (RFC 2104, section 4).
    """

    __slots__ = ("_keyed",)

    def __init__(self, secret: bytes, *, salt: str) -> None:
        signer = Signer(secret, salt=salt, key_derivation="hmac", digest_method=hashlib.sha256)
        self._keyed = hmac.new(signer.derive_key(), digestmod=hashlib.sha256)

    def sign(self, text: bytes) -> bytes:
        """Return the signature: HMAC-SHA-256 in base64url, without padding."""
        keyed = self._keyed.copy()
        keyed.update(text)
        return b2a_base64(keyed.digest(), newline=False).translate(_URL_SAFE, b"=")


def _signers(secrets: Sequence[str | bytes], name: str) -> tuple[_Signer, ...]:
    """Return the signers, newest first. The salt separates them from other cookies and packages."""
    salt = f"pgsession.cookie.{name}"
    return tuple(_Signer(_as_bytes(secret), salt=salt) for secret in secrets)


def _as_bytes(secret: str | bytes) -> HiddenBytes:
    if isinstance(secret, str):
        return HiddenBytes(secret.encode("utf-8", "surrogatepass"))
    return HiddenBytes(secret)


def _seconds(period: timedelta) -> int:
    """Return seconds, rounded up so that the cookie does not expire before the row."""
    return min(max(0, math.ceil(period.total_seconds())), _MAX_SECONDS)
