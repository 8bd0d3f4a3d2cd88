"""The cookie: how it is found, verified, signed and written, and when it is due again.

This module reads the bytes of the Cookie header itself. It uses no cookie
parser and does no unquoting, so the time for a hostile header is bounded by
its length.

The text of a cookie is ``selector.verifier.number.until.signature``:

- the selector, 40 characters, is the key of the session as it was generated;
- the verifier, 32 characters, is empty until the session is renewed. After that
  the key is both, with the dot between them;
- the number counts the rotations of the key. Zero is left out;
- `until` is when the browser drops the cookie, in Unix seconds, or empty if
  that is when the browser closes. It only says when to send the cookie again:
  the database alone decides whether a session has expired;
- the signature covers all that stands before it.

The older text ``selector.signature`` stays valid.
"""

from __future__ import annotations

import hmac
import math
import re
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from pgsession.core.cookie_attributes import (
    SameSite,
    check_attributes,
    domains_of,
    has_prefix,
)
from pgsession.core.hidden import Hidden, HiddenBytes
from pgsession.core.keys import Key
from pgsession.core.logs import event, own_logger
from pgsession.core.secret_keys import check_secrets, signers

_LOGGER = own_logger()

#: A cookie's lifetime: a `timedelta`, None (until the browser closes), or the store's default.
MaxAge: TypeAlias = timedelta | Literal["default"] | None

#: Browsers keep no cookie longer than this (RFC 6265bis, section 5.5).
MAX_AGE: Final = timedelta(days=400)

# The text, the signature and the end of the pair. The selector may use either base64 alphabet,
# because keys of older applications do. The possessive quantifiers prevent backtracking.
_SIGNED: Final = (
    rb"(([A-Za-z0-9+/_-]{40})"
    rb"(?:\.([A-Za-z0-9_-]{32})?+\.([1-9][0-9]{0,8}+)?+\.([0-9]{0,12}+))?+)"
    rb"\.([A-Za-z0-9_-]{43})[ \t]*+(?![^;])"
)
#: The length of a key with a verifier.
_RENEWED: Final = 73
#: What Starlette's own middleware writes: JSON in base64, a time and a signature.
_STARLETTE: Final = rb"[A-Za-z0-9+/=]{1,4096}+\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27}"

_NAME: Final = b"cookie"
_NAME_SIZE: Final = len(_NAME)

#: So many bytes of the Cookie headers are read. Servers accept no more by default.
_MAX_HEADER: Final = 65_536

#: The end of a session and the expiry of its cookie are compared in whole seconds.
ROUNDING: Final = 2.0

_MAX_SECONDS: Final = int(MAX_AGE.total_seconds())


class FoundCookie(Struct, frozen=True, gc=False):
    """A session cookie that came with a request, with a valid signature."""

    key: Hidden
    #: When the browser drops it, in Unix seconds; None: when the browser closes, or unknown.
    until: int | None
    #: False if `Cookie.write` would write it otherwise: another secret has signed it, or its text
    #: is the older one.
    is_current: bool
    #: How often the key was rotated, as far as this cookie knows.
    number: int = 0


class Cookie:
    """The session cookie of a middleware. The repr shows no secret.

    - `secret_keys`: the secrets, newest first, of at least 32 bytes each. The first signs, all
      verify.
    - `name`: if empty, `__Host-session` if the rules of that prefix are met, else `session`,
      followed by `-partitioned` if the cookie is partitioned.
    - `on_rejected`: called when a request came with cookies of this name, and none of the secrets
      verifies one.

    Raises `SettingsError` for attributes with which browsers reject a cookie,
    and for a secret that is missing or too short.
    """

    __slots__ = (
        "_attributes",
        "_has_own_name",
        "_shape",
        "_signers",
        "_starlette",
        "domain",
        "name",
        "on_rejected",
        "partitioned",
        "path",
        "same_site",
        "secret_keys",
        "secure",
    )

    def __init__(
        self,
        *,
        secret_keys: Sequence[str | bytes],
        name: str = "",
        path: str = "/",
        domain: str | None = None,
        secure: bool = True,
        same_site: SameSite = "lax",
        partitioned: bool = False,
        on_rejected: Callable[[], object] | None = None,
    ) -> None:
        self.secret_keys: Sequence[str | bytes] = secret_keys
        self.path: str = path
        self.domain: str | None = domain
        self.secure: bool = secure
        self.same_site: SameSite = same_site
        self.partitioned: bool = partitioned
        self.on_rejected: Callable[[], object] | None = on_rejected
        self._has_own_name = bool(name)
        self.name: str = name or self._default_name()
        check_secrets(secret_keys)
        check_attributes(
            name=self.name,
            path=path,
            domain=domain,
            secure=secure,
            same_site=same_site,
            partitioned=partitioned,
        )
        self._signers = signers(secret_keys, self.name)
        prefix = re.escape(self.name.encode("ascii") + b"=")
        self._shape = re.compile(prefix + _SIGNED)
        self._starlette = prefix + _STARLETTE  # compiled at its first use
        self._attributes = self._format_attributes(domain, partitioned=partitioned)

    def __repr__(self) -> str:
        return f"<Cookie {self.name} path={self.path} domain={self.domain}>"

    def find(self, headers: Iterable[tuple[bytes, bytes]]) -> Sequence[FoundCookie]:
        """Return the session cookies with a valid signature, in the order of the header.

        `headers` are the headers of an ASGI scope. Nearly always there is one
        cookie or none. Several come if the browser has cookies of this name that
        differ in Domain, Path or Partitioned. A value that is quoted, encoded or
        of another length is skipped. So is what comes after the first 64 kB.
        """
        found: list[FoundCookie] = []
        is_ignored, left = False, _MAX_HEADER
        for header, text in headers:
            if len(header) != _NAME_SIZE or header.lower() != _NAME:
                continue
            if len(text) > left:  # only whole pairs are read
                text = text[: max(0, text.rfind(b";", 0, left + 1))]  # noqa: PLW2901
                left = len(text)
            left -= len(text)
            pair, seen = self._shape.search(text), 0
            while pair is not None:
                begin = pair.start()
                # Otherwise the match is the end of the name or the value of another cookie.
                if begin == seen == 0 or _begins_a_pair(text[seen:begin]):
                    cookie = self._verify(pair)
                    if cookie is None:
                        is_ignored = True
                    else:
                        found.append(cookie)
                seen = pair.end()
                pair = self._shape.search(text, seen) if seen < len(text) else None
        if is_ignored and not found:
            _LOGGER.debug(
                "A session cookie was ignored: none of the secrets verifies it.",
                extra=event("cookie_unverified"),
            )
            if self.on_rejected is not None:
                self.on_rejected()
        return found

    def count(self, headers: Iterable[tuple[bytes, bytes]]) -> int:
        """Return how many cookies of this name came, whatever their values are."""
        whole = b";".join(text for header, text in headers if header.lower() == _NAME)
        name = self.name.encode("ascii") + b"="
        return sum(pair.lstrip(b" \t").startswith(name) for pair in whole.split(b";"))

    def is_of_starlette(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Return True if a cookie of this name came that Starlette's own middleware has written."""
        return any(
            re.fullmatch(self._starlette, pair.strip(b" \t"))
            for header, text in headers
            if header.lower() == _NAME
            for pair in text[:_MAX_HEADER].split(b";")
        )

    def write(self, key: str, max_age: timedelta | None, *, number: int = 0) -> bytes:
        """Return the Set-Cookie text for `key`, which was rotated `number` times.

        `max_age` is rounded up to seconds and limited to 400 days. With None,
        the browser keeps the cookie until it closes.
        """
        if max_age is None:
            until = expiry = ""
        else:
            seconds = _seconds(max_age)
            until, expiry = str(math.ceil(time.time()) + seconds), f"Max-Age={seconds}; "
        verifier = "" if "." in key else "."  # a key that was renewed has its verifier
        signed = f"{key}{verifier}.{number or ''}.{until}"
        signature = self._signers[0].sign(signed.encode("ascii")).decode("ascii")
        return _set_cookie_text(
            self.name, f"{signed}.{signature}", self.path, expiry + self._attributes
        )

    def delete(self) -> bytes:
        """Return the Set-Cookie text that deletes the cookie in the browser."""
        return self._deletion(self.path, self._attributes)

    def delete_twins(self, host: str, *, several: bool) -> list[bytes]:
        """Return Set-Cookie texts that delete cookies of this name with other attributes.

        These are the cookie of this host alone and the one of `domain`, each
        partitioned and not: they remain where a setting was changed. If `several`
        came, also those of the path ``/``, of `host` and of the domains above it.
        """
        domains, paths = {None, self.domain}, {self.path}
        if has_prefix(self.name, "__host-"):
            domains = {None}
        elif several:
            domains.update(domains_of(host))
            paths.add("/")
        # The default name of a partitioned cookie is another one.
        is_ambiguous = self.secure and self._has_own_name
        forms = {
            (path, domain, partitioned)
            for path in paths
            for domain in domains
            for partitioned in ((False, True) if is_ambiguous else (self.partitioned,))
        } - {(self.path, self.domain, self.partitioned)}
        return [
            self._deletion(path, self._format_attributes(domain, partitioned=partitioned))
            for path, domain, partitioned in sorted(forms, key=str)
        ]

    def _verify(self, pair: re.Match[bytes]) -> FoundCookie | None:
        """Return the cookie if one of the secrets gives exactly this signature for its text."""
        signed, key, verifier, number, until, signature = pair.groups()
        if verifier:
            key = signed[:_RENEWED]
        is_current = until is not None
        for signer in self._signers:
            if hmac.compare_digest(signer.sign(signed), signature):
                ends = int(until) if until else None
                count = int(number) if number else 0
                return FoundCookie(Key(key), ends, is_current, count)
            is_current = False
        return None

    def _deletion(self, path: str, attributes: str) -> bytes:
        expiry = "expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; "
        return _set_cookie_text(self.name, "null", path, expiry + attributes)

    def _format_attributes(self, domain: str | None, *, partitioned: bool) -> str:
        attributes = ["httponly", f"samesite={self.same_site}"]
        if self.secure:
            attributes.append("secure")
        if domain is not None:
            attributes.append(f"domain={domain}")
        if partitioned:
            attributes.append("partitioned")
        return "; ".join(attributes)

    def _default_name(self) -> str:
        locked = self.secure and self.path == "/" and self.domain is None
        name = "__Host-session" if locked else "session"
        # A browser would send the cookie from before `partitioned` was set beside the new one.
        return f"{name}-partitioned" if self.partitioned else name


def cookie_due(
    *,
    until: int | None,
    now: float,
    remaining: timedelta,
    period: timedelta,
    touch_after: timedelta | None,
) -> bool:
    """Return True if the browser must learn of another expiry than the one it knows.

    `until` is when the browser drops the cookie, in Unix seconds like `now`;
    None means unknown. It must be told if that differs from the end of the
    session by `touch_after`, at most a tenth of the period. So a response that
    was lost is made good by the next one, and a clock that is wrong costs a
    cookie but no session. Browsers keep no cookie for more than 400 days, so a
    longer session counts as one of 400 days.
    """
    if until is None:
        return True
    tenth = min(period, MAX_AGE).total_seconds() / 10
    tolerance = tenth if touch_after is None else min(tenth, touch_after.total_seconds())
    end = now + min(remaining, MAX_AGE).total_seconds()
    return abs(end - until) >= max(tolerance, ROUNDING)


def _begins_a_pair(before: bytes) -> bool:
    """Return True if a pair may begin behind `before`, which follows another or begins a header."""
    return not before[before.rfind(b";") + 1 :].strip(b" \t")


def _set_cookie_text(name: str, content: str, path: str, rest: str) -> HiddenBytes:
    return HiddenBytes(f"{name}={content}; path={path}; {rest}".encode("ascii"))


def _seconds(period: timedelta) -> int:
    """Return seconds, rounded up so that the cookie does not expire before the row."""
    return min(max(0, math.ceil(period.total_seconds())), _MAX_SECONDS)
