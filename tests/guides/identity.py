"""A provider of identities, for OAuth and OpenID Connect. Its only user is Ann.

It answers at any host, redirects at once, and keeps only what it has to check.
"""

import base64
import hashlib
import time
from typing import Any, Final

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from starlette.applications import Starlette
from starlette.datastructures import URL, ImmutableMultiDict
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

ISSUER: Final = "https://provider.example"
METADATA: Final = f"{ISSUER}/.well-known/openid-configuration"


class Provider:
    """The provider: an ASGI application, and its key."""

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "1"}, auto_kid=False)
        self.claims: dict[str, Any] = {"sub": "ann", "sid": "s1", "name": "Ann"}
        self.has_logout = True
        self.is_there = True
        self._asked: ImmutableMultiDict[str, str] = ImmutableMultiDict()
        self.app = Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._describe),
                Route("/keys", self._tell_keys),
                Route("/authorize", self._authorize),
                Route("/login/oauth/authorize", self._authorize),
                Route("/token", self._give_token, methods=["POST"]),
                Route("/login/oauth/access_token", self._give_token, methods=["POST"]),
                Route("/user", self._tell_user),
            ]
        )

    def sign(self, claims: dict[str, Any]) -> str:
        """Return a token with these claims."""
        return jwt.encode({"alg": "RS256", "kid": "1"}, claims, self.key)

    async def _describe(self, _: Request) -> Response:
        if not self.is_there:
            return Response(status_code=503)
        found = {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/authorize",
            "token_endpoint": f"{ISSUER}/token",
            "jwks_uri": f"{ISSUER}/keys",
        }
        if self.has_logout:
            found["end_session_endpoint"] = f"{ISSUER}/logout"
        return JSONResponse(found)

    async def _tell_keys(self, _: Request) -> Response:
        return JSONResponse(KeySet([self.key]).as_dict(private=False))

    async def _authorize(self, request: Request) -> Response:
        self._asked = query = request.query_params
        back = URL(query["redirect_uri"])
        return RedirectResponse(
            back.include_query_params(code=query["code_challenge"], state=query["state"])
        )

    async def _give_token(self, request: Request) -> Response:
        async with request.form() as form:
            code, verifier = str(form["code"]), str(form["code_verifier"])
        digest = hashlib.sha256(verifier.encode()).digest()
        if code != base64.urlsafe_b64encode(digest).rstrip(b"=").decode():
            return JSONResponse({"error": "invalid_grant"}, status_code=400)
        token = {"access_token": "a token", "token_type": "bearer"}
        if "nonce" in self._asked:
            now = int(time.time())
            token["id_token"] = self.sign(
                {
                    "iss": ISSUER,
                    "aud": self._asked["client_id"],
                    "nonce": self._asked["nonce"],
                    "iat": now,
                    "exp": now + 300,
                    **self.claims,
                }
            )
        return JSONResponse(token)

    async def _tell_user(self, request: Request) -> Response:
        assert request.headers["authorization"] == "Bearer a token"
        return JSONResponse({"id": 7, "login": "ann"})
