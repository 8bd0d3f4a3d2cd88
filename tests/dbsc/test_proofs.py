"""Proofs: only a signature of the session's own key counts, and no proof costs much."""

import base64
import hmac
import json
from typing import Any

import pytest
from jwt import PyJWS

from pgsession.dbsc.proofs import Proof, ProofError, read_refresh, read_registration
from tests.dbsc.keys import Device

KINDS = pytest.mark.parametrize("kind", ["EC", "RSA"])


def encoded(part: object) -> str:
    text = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


@pytest.fixture(scope="module")
def device() -> Device:
    return Device()


@KINDS
def test_registration_and_refresh(kind: str) -> None:
    """The key that a registration brings verifies later proofs of the same browser."""
    device = Device(kind)

    first = read_registration(device.proof("one", registers=True))
    second = read_refresh(device.proof("two"), first.public_key)

    assert first.challenge == "one"
    assert json.loads(first.public_key) == device.public
    assert second == Proof("two", first.public_key)


def test_equal_keys(device: Device) -> None:
    """A key has one text, whatever other members come with it and in which order."""
    more = {**dict(reversed(device.public.items())), "kid": "1", "use": "sig", "alg": "ES256"}

    proofs = [device.proof("c", registers=True), device.proof("c", registers=True, jwk=more)]

    assert len({read_registration(proof).public_key for proof in proofs}) == 1


@KINDS
def test_other_key(kind: str) -> None:
    """A proof of another key is refused, also if it brings that key along."""
    key = read_registration(Device(kind).proof("c", registers=True)).public_key
    thief = Device(kind)

    for proof in (thief.proof("c"), thief.proof("c", registers=True)):
        with pytest.raises(ProofError):
            read_refresh(proof, key)


def test_key_of_another(device: Device) -> None:
    """A registration that is not signed with the key that it brings is refused."""
    with pytest.raises(ProofError):
        read_registration(Device().proof("c", registers=True, jwk=device.public))


ALGORITHMS = ["none", "HS256", "ES384", "PS256", "RS256", "", None, 1, ["ES256"]]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_algorithm(device: Device, algorithm: object) -> None:
    """No algorithm counts but that of the key's type, whatever a proof says."""
    _, payload, signature = device.proof("c").split(".")
    head = encoded({"alg": algorithm, "typ": "dbsc+jwt", "jwk": device.public})

    for end in (signature, ""):
        with pytest.raises(ProofError):
            read_registration(f"{head}.{payload}.{end}")


def test_public_key_as_secret(device: Device) -> None:
    """A proof that is signed with the text of the public key as an HMAC secret is refused."""
    key = read_registration(device.proof("c", registers=True)).public_key
    signed = f"{encoded({'alg': 'HS256', 'typ': 'dbsc+jwt'})}.{encoded({'jti': 'c'})}"
    signature = hmac.digest(key.encode(), signed.encode(), "sha256")

    with pytest.raises(ProofError):
        read_refresh(f"{signed}.{encoded(signature)}", key)


def test_altered(device: Device) -> None:
    """A changed payload is refused."""
    key = read_registration(device.proof("c", registers=True)).public_key
    head, _, signature = device.proof("c").split(".")

    with pytest.raises(ProofError):
        read_refresh(f"{head}.{encoded({'jti': 'd'})}.{signature}", key)


KEYS: dict[str, Any] = {
    "none": None,
    "no object": "key",
    "empty": {},
    "secret": {"kty": "oct", "k": "c2VjcmV0"},
    "other curve": {"kty": "EC", "crv": "P-384", "x": "A" * 64, "y": "A" * 64},
    "not on the curve": {"kty": "EC", "crv": "P-256", "x": "A" * 43, "y": "A" * 43},
    "number": {"kty": "EC", "crv": "P-256", "x": 1, "y": 2},
    "long": {"kty": "EC", "crv": "P-256", "x": "A" * 44, "y": "A" * 43},
    "short modulus": {"kty": "RSA", "e": "AQAB", "n": "A" * 171},
    "padded modulus": {"kty": "RSA", "e": "AQAB", "n": "A" * 171 + "v" * 171},
    "long modulus": {"kty": "RSA", "e": "AQAB", "n": "A" * 684},
    "large exponent": {"kty": "RSA", "e": "A" * 342, "n": "v" * 342},
    "exponent one": {"kty": "RSA", "e": "AQ", "n": "v" * 342},
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_key(device: Device, key: object) -> None:
    """A key that is none, too short, or dear to verify with is refused."""
    with pytest.raises(ProofError):
        read_registration(device.proof("c", registers=True, jwk=key))


TEXTS = [
    "",
    ".",
    "..",
    "a.b",
    "a.b.c.d",
    "e30.e30.e30",
    "é.e30.e30",
    "e30.e30.e30\n",
    f"{encoded(b'[' * 2000)}.e30.e30",
    "a" * 5000,
    f"{encoded({'alg': 'ES256', 'typ': 'JWT'})}.e30.e30",
    f"{encoded({'alg': 'ES256', 'typ': 'dbsc+jwt'})}.e30.e30",
]


@pytest.mark.parametrize("text", TEXTS)
def test_malformed(text: str) -> None:
    """A text that is no proof is refused, and the error says no part of it."""
    with pytest.raises(ProofError) as caught:
        read_registration(text)

    assert len(text) < 10 or text not in str(caught.value)


@pytest.mark.parametrize("claims", [b"", b"[]", b"1", b'{"jti":1}', b'{"jti":null}', b"{}"])
def test_claims(device: Device, claims: bytes) -> None:
    """A proof without a challenge is refused."""
    head = {"typ": "dbsc+jwt", "jwk": device.public}
    proof = PyJWS().encode(claims, device._key, algorithm="ES256", headers=head)  # noqa: SLF001 - signs what no browser would

    with pytest.raises(ProofError):
        read_registration(proof)


@pytest.mark.parametrize("header", [{"crit": ["exp"]}, {"b64": False, "crit": ["b64"]}])
def test_extensions(device: Device, header: dict[str, Any]) -> None:
    """A proof that asks for an extension is refused."""
    head = {"alg": "ES256", "typ": "dbsc+jwt", "jwk": device.public, **header}
    _, payload, signature = device.proof("c").split(".")

    with pytest.raises(ProofError):
        read_registration(f"{encoded(head)}.{payload}.{signature}")
