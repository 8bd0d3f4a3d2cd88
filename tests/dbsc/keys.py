"""Keys of devices, and the proofs that browsers make with them."""

import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt import PyJWS
from jwt.algorithms import ECAlgorithm, RSAAlgorithm


class Device:
    """A browser's key pair."""

    def __init__(self, kind: str = "EC") -> None:
        self._key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
        if kind == "EC":
            self._key, self.algorithm = ec.generate_private_key(ec.SECP256R1()), "ES256"
            self.jwk: dict[str, Any] = ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        else:
            self._key, self.algorithm = rsa.generate_private_key(65537, 2048), "RS256"
            self.jwk = RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)

    def proof(self, challenge: object, *, registers: bool = False, **header: Any) -> str:
        """Return a proof as Chromium makes it; `header` replaces parts of its header."""
        fields = {"typ": "dbsc+jwt", **({"jwk": self.public} if registers else {}), **header}
        payload = json.dumps({"jti": challenge}).encode()
        return PyJWS().encode(payload, self._key, algorithm=self.algorithm, headers=fields)

    @property
    def public(self) -> dict[str, Any]:
        """The public key, with only the members that browsers send."""
        return {
            name: self.jwk[name] for name in ("crv", "kty", "x", "y", "e", "n") if name in self.jwk
        }
