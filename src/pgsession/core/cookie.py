"""The cookie: its name and attributes, signing and verifying, finding and writing it.

Only bytes go in and out; neither Starlette's parser nor any unquoting is
involved, so what a hostile header costs is bounded by its length.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
from binascii import b2a_base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Literal, TypeAlias

from itsdangerous import Signer

from pgsession.errors import SettingsError

SameSite: TypeAlias = Literal["lax", "strict", "none"]

#: A cookie's lifetime: a `timedelta`, None (it dies with the browser), or the store's period.
MaxAge: TypeAlias = timedelta | Literal["default"] | None

#: The shortest secret that is accepted, in bytes.
MIN_SECRET_BYTES: Final = 32

#: No browser keeps a cookie longer (RFC 6265bis, section 5.5).
MAX_AGE: Final = timedelta(days=400)

# A key in either base64 alphabet, for those that an older application issued, and a signature;
# then the end of the pair. What may be of any length is taken once, never given back.
_SIGNED: Final = rb"([A-Za-z0-9+/_-]{40})\.([A-Za-z0-9_-]{43})[ \t]*+(?![^;])"
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PATH: Final = re.compile(r"/[\x20-\x3a\x3c-\x7e]*")
_DOMAIN: Final = re.compile(r"\.?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")

_NAME: Final = b"cookie"
_NAME_SIZE: Final = len(_NAME)
_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")

# So many well-shaped cookies of our name are looked at in one request, no more.
_MAX_CANDIDATES: Final = 32

_MOST_SECONDS: Final = int(MAX_AGE.total_seconds())


@dataclass(frozen=True, slots=True, kw_only=True)
class Cookie:
    """The one cookie of a middleware. Raises `SettingsError` for what no browser would take.

    The repr shows no secret.
    """

    #: The secrets, newest first: the first signs, all verify. At least 32 bytes each.
    secret_keys: Sequence[str | bytes] = field(repr=False)
    #: The cookie's name; empty: `__Host-session` where that prefix's rules hold, else `session`.
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
        object.__setattr__(self, "_attributes", self._written_attributes())

    def find(self, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
        """Return the key of the first cookie of ours that verifies, or None.

        `headers` are those of an ASGI scope. The name may come several times, in
        one header or in many. A quoted, encoded, over-long or otherwise
        misshapen value is never ours.
        """
        left = _MAX_CANDIDATES
        for header, text in headers:
            if len(header) != _NAME_SIZE or header.lower() != _NAME:
                continue
            pair, seen = self._shape.search(text), 0
            while pair is not None and left:
                left -= 1
                between, seen = text[seen : pair.start()], pair.end()
                # Else it is the end of the name or of the value of another cookie.
                if not between[between.rfind(b";") + 1 :].strip(b" \t"):
                    key, signature = pair.groups()
                    if self._verifies(key, signature):
                        return key.decode("ascii")
                pair = self._shape.search(text, seen)
        return None

    def write(self, key: str, max_age: timedelta | None) -> bytes:
        """Return the Set-Cookie text for `key`.

        `max_age` is rounded up to seconds and cut at 400 days; None makes a
        cookie that dies with the browser.
        """
        signature = self._signers[0].sign(key.encode("ascii")).decode("ascii")
        return self._written(
            f"{key}.{signature}", "" if max_age is None else f"Max-Age={_seconds(max_age)}; "
        )

    def delete(self) -> bytes:
        """Return the Set-Cookie text that makes a browser drop the cookie."""
        return self._written("null", "expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; ")

    def _verifies(self, key: bytes, signature: bytes) -> bool:
        """Tell whether `signature` is the one way in which one of the secrets signs `key`."""
        for signer in self._signers:  # noqa: SIM110 - a generator costs every request
            if hmac.compare_digest(signer.sign(key), signature):
                return True
        return False

    def _written(self, content: str, expiry: str) -> bytes:
        return f"{self.name}={content}; path={self.path}; {expiry}{self._attributes}".encode(
            "ascii"
        )

    def _written_attributes(self) -> str:
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
        """Refuse what RFC 6265bis and CHIPS let no browser accept."""
        for setting, given in (
            ("session_cookie", self.name),
            ("path", self.path),
            ("domain", self.domain or ""),
            ("same_site", self.same_site),
        ):
            if not isinstance(given, str):
                raise SettingsError(f"{setting} is a str, not {type(given).__name__}.")
        for wrong, message in (
            (
                _TOKEN.fullmatch(self.name) is None,
                "session_cookie is not a cookie name: letters, digits and !#$%&'*+-.^_`|~ only.",
            ),
            (
                _PATH.fullmatch(self.path) is None,
                "path starts with a slash and has neither semicolons nor control characters.",
            ),
            (
                self.domain is not None and _DOMAIN.fullmatch(self.domain) is None,
                "domain is no domain name.",
            ),
            (
                self.same_site not in {"lax", "strict", "none"},
                'same_site is "lax", "strict" or "none".',
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
            raise SettingsError(f"secret_key is str or bytes, not {type(secret).__name__}.")
        size = len(_as_bytes(secret))
        if size < MIN_SECRET_BYTES:
            raise SettingsError(
                f"secret_key is {size} bytes long; it needs at least {MIN_SECRET_BYTES}. "
                "Make one with `pgsession secret`."
            )


class _Signer:
    """Signs with one secret, as itsdangerous does, but derives the key only once.

    The keyed object is copied for each text, as RFC 2104, section 4, suggests.
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
    """Return signers, newest first, whose signatures no other cookie or package shares."""
    salt = f"pgsession.cookie.{name}"
    return tuple(_Signer(_as_bytes(secret), salt=salt) for secret in secrets)


def _as_bytes(secret: str | bytes) -> bytes:
    return secret.encode("utf-8", "surrogatepass") if isinstance(secret, str) else secret


def _seconds(period: timedelta) -> int:
    """Round up, so that a cookie never dies before its row."""
    return min(max(0, math.ceil(period.total_seconds())), _MOST_SECONDS)
