"""What the server signs for a device-bound session: identifiers, challenges, and the bound cookie.

All of them name a session by its handle, which opens nothing, and by its login number: a login
ends what was bound before. Times are the database's, in whole seconds since 1970.

- The session identifier, ``handle.login_number.signature``, is what the browser sends at a refresh.
- The challenge of a registration, ``handle.login_number.verifier.signature``, has the digest of
  the key's verifier too, so each sign-in has another one.
- The challenge of a refresh is ``seconds.signature``; the signature covers the identifier too.
- The bound cookie is ``seconds.signature`` as well, of the moment at which it ends.

The salt of each kind differs, so none can be used as another.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from pgsession.core.bound import Bound
from pgsession.core.keys import KeyDigest
from pgsession.core.secret_keys import CookieSigner, signers

_HANDLE: Final = r"[A-Za-z0-9_-]{40}"
_NUMBER: Final = r"0|[1-9][0-9]{0,9}"
_SIGNATURE: Final = r"[A-Za-z0-9_-]{43}"
_IDENTIFIER: Final = re.compile(rf"(({_HANDLE})\.({_NUMBER}))\.({_SIGNATURE})")
_OFFER: Final = re.compile(rf"(({_HANDLE})\.({_NUMBER})\.({_HANDLE})?)\.({_SIGNATURE})")
_TIMED: Final = re.compile(rf"([1-9][0-9]{{0,11}})\.({_SIGNATURE})")


class Offer(NamedTuple):
    """What the challenge of a registration names."""

    bound: Bound
    #: The digest of the key's verifier, or None if the key has none.
    verifier: str | None


class Tokens:
    """Signs and verifies with the secrets of a middleware; the newest signs, all verify.

    `name` is that of the session cookie. Verification costs no statement, and time that
    is bounded by the length of the patterns. The repr shows no secret.
    """

    def __init__(self, secret_keys: Sequence[str | bytes], name: str) -> None:
        def kind(word: str) -> tuple[CookieSigner, ...]:
            return signers(secret_keys, f"{name} {word}")

        self._identifiers = kind("identifier")
        self._offers = kind("registration")
        self._challenges = kind("challenge")
        self._cookies = kind("bound cookie")

    def identifier(self, bound: Bound) -> str:
        """Return the session identifier. It stays the same until the next login."""
        return _signed(self._identifiers, f"{bound.handle}.{bound.login_number}")

    def read_identifier(self, text: str) -> Bound | None:
        """Return what an identifier names, or None if it is not one of ours."""
        found = _IDENTIFIER.fullmatch(text)
        if found is None or not _verifies(self._identifiers, found[1], found[4]):
            return None
        return Bound(found[2], int(found[3]))

    def offer(self, key: KeyDigest, login_number: int) -> str:
        """Return the challenge of a registration, for the key that a sign-in has just made."""
        handle, verifier = key
        return _signed(self._offers, f"{handle}.{login_number}.{verifier or ''}")

    def read_offer(self, text: str) -> Offer | None:
        """Return what the challenge of a registration names, or None if it is not one of ours."""
        found = _OFFER.fullmatch(text)
        if found is None or not _verifies(self._offers, found[1], found[5]):
            return None
        return Offer(Bound(found[2], int(found[3])), found[4])

    def challenge(self, bound: Bound, now: int) -> str:
        """Return the challenge of a refresh, issued `now`."""
        return _timed(self._challenges, bound, now)

    def read_challenge(self, bound: Bound, text: str) -> int | None:
        """Return when a challenge of this session was issued, or None if it is none."""
        return _read_timed(self._challenges, bound, text)

    def cookie(self, bound: Bound, until: int) -> str:
        """Return the value of the bound cookie that ends at `until`."""
        return _timed(self._cookies, bound, until)

    def read_cookie(self, bound: Bound, text: str) -> int | None:
        """Return when a bound cookie of this session ends, or None if it is none."""
        return _read_timed(self._cookies, bound, text)


def _timed(signers: Sequence[CookieSigner], bound: Bound, seconds: int) -> str:
    signature = _signature(signers[0], _stamped(bound, str(seconds)))
    return f"{seconds}.{signature}"


def _read_timed(signers: Sequence[CookieSigner], bound: Bound, text: str) -> int | None:
    found = _TIMED.fullmatch(text)
    if found is None or not _verifies(signers, _stamped(bound, found[1]), found[2]):
        return None
    return int(found[1])


def _stamped(bound: Bound, seconds: str) -> str:
    return f"{bound.handle}.{bound.login_number}.{seconds}"


def _signed(signers: Sequence[CookieSigner], text: str) -> str:
    return f"{text}.{_signature(signers[0], text)}"


def _verifies(signers: Sequence[CookieSigner], text: str, signature: str) -> bool:
    return any(hmac.compare_digest(_signature(signer, text), signature) for signer in signers)


def _signature(signer: CookieSigner, text: str) -> str:
    return signer.sign(text.encode("ascii")).decode("ascii")
