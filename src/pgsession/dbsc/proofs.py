"""Proofs: signed texts with which a browser shows that it holds the key of a session.

A proof is a JWS in compact form (RFC 7515) of type ``dbsc+jwt``. PyJWT verifies the signature.
Claims other than the challenge are not looked at: the challenge says for whom and for how long a
proof is good.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

import msgspec

#: The algorithm of each type of key (RFC 7518). No other is accepted, whatever a proof says.
_ALGORITHMS: Final = {"EC": "ES256", "RSA": "RS256"}

#: Characters of a proof at most. One with an RSA key of 4096 bits has about 2,200.
_MAX_PROOF: Final = 4096

_JWS: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")

#: A coordinate of P-256, and a modulus of 2048 to 4096 bits, in base64url. Its first bit is set.
_COORDINATE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_MODULUS: Final = re.compile(r"[g-z0-9_-][A-Za-z0-9_-]{341,682}")

_TYPE: Final = "dbsc+jwt"


class ProofError(ValueError):
    """A proof is malformed, or its signature is not that of the key. Says no part of it."""


class Proof(NamedTuple):
    """A proof whose signature is that of `public_key`."""

    #: What the browser has signed.
    challenge: str
    #: The key as a JSON Web Key, in the form of RFC 7638: equal keys are equal texts.
    public_key: str


class _Header(msgspec.Struct, frozen=True, gc=False):
    alg: str
    typ: str
    jwk: dict[str, Any] | None = None


class _Payload(msgspec.Struct, frozen=True, gc=False):
    jti: str


def check_library() -> None:
    """Raise `ImportError` unless the library that verifies signatures is installed."""
    import cryptography  # noqa: F401, PLC0415 - of the extra "dbsc"
    import jwt  # noqa: F401, PLC0415 - as above


def read_registration(text: str) -> Proof:
    """Return the proof of a registration, which brings the key. Raises `ProofError`."""
    header = _header(text)
    if header.jwk is None:
        raise ProofError("The proof has no key.")
    return _verified(text, header, public_key=_canonical(header.jwk))


def read_refresh(text: str, public_key: str) -> Proof:
    """Return the proof of a refresh, verified with the key of the session. Raises `ProofError`.

    A key that the proof itself brings is not looked at.
    """
    return _verified(text, _header(text), public_key=public_key)


def _header(text: str) -> _Header:
    if len(text) > _MAX_PROOF or not _JWS.fullmatch(text):
        raise ProofError("The proof is not a signed text in compact form.")
    head, _, _ = text.partition(".")
    try:
        header = msgspec.json.decode(_decoded(head), type=_Header)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise ProofError("The header of the proof cannot be read.") from None
    if header.typ != _TYPE:
        raise ProofError(f"The proof is not of the type {_TYPE}.")
    return header


def _verified(text: str, header: _Header, *, public_key: str) -> Proof:
    from jwt import PyJWK, PyJWS, PyJWTError  # noqa: PLC0415 - of the extra "dbsc"

    try:
        jwk = msgspec.json.decode(public_key, type=dict[str, str])
        algorithm = _ALGORITHMS[jwk["kty"]]
    except (msgspec.MsgspecError, KeyError):  # written by somebody else
        raise ProofError("The key of the session cannot be read.") from None
    if header.alg != algorithm:
        raise ProofError("The algorithm of the proof is not that of the key.")
    try:
        key = PyJWK(jwk, algorithm)
        decoded = PyJWS().decode_complete(text, key, algorithms=[algorithm])
        payload = msgspec.json.decode(decoded["payload"], type=_Payload)
    except (PyJWTError, msgspec.MsgspecError, ValueError, RecursionError):
        raise ProofError("The proof cannot be verified.") from None
    return Proof(payload.jti, public_key)


def _canonical(jwk: dict[str, Any]) -> str:
    """Return a public key with nothing but its required members, in order (RFC 7638)."""
    match jwk:
        case {"kty": "EC", "crv": "P-256", "x": str(x), "y": str(y)} if all(
            map(_COORDINATE.fullmatch, (x, y))
        ):
            names: tuple[str, ...] = ("crv", "kty", "x", "y")
        # The exponent is 65537: the time of a verification grows with it.
        case {"kty": "RSA", "e": "AQAB", "n": str(n)} if _MODULUS.fullmatch(n):
            names = ("e", "kty", "n")
        case _:
            raise ProofError("The key is neither one of P-256 nor one of RSA with 2048 bits.")
    return msgspec.json.encode({name: jwk[name] for name in names}).decode("ascii")


def _decoded(part: str) -> bytes:
    from jwt.utils import base64url_decode  # noqa: PLC0415 - of the extra "dbsc"

    return base64url_decode(part)
