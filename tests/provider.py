"""An OpenID Connect provider that posts its answers. Its only user is Ann, and it keeps nothing.

AUTHORIZE_AT is the address of its page for browsers, if that is at another server.
"""

import base64
import hashlib
import os
import time
from html import escape

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

METADATA = "/.well-known/openid-configuration"
KEY = ECKey.generate_key("P-256", {"kid": "1"}, auto_kid=False)
FORM = '<form id="{}" method="post" action="{}">{}<button>{}</button></form>'
FIELD = '<input type="hidden" name="{}" value="{}">'


async def describe(request: Request) -> Response:
    base = str(request.base_url)
    return JSONResponse(
        {
            "issuer": base,
            "authorization_endpoint": os.environ.get("AUTHORIZE_AT", f"{base}authorize"),
            "token_endpoint": f"{base}token",
            "userinfo_endpoint": f"{base}me",
            "jwks_uri": f"{base}keys",
            "id_token_signing_alg_values_supported": ["ES256"],
        }
    )


async def authorize(request: Request) -> Response:
    """Show a form for each answer. The code is what must be known later, so nothing is kept."""
    query = request.query_params
    assert query["response_mode"] == "form_post"
    common = {"state": query["state"], "iss": str(request.base_url)}
    answers = {
        "yes": {"code": f"{query['code_challenge']}.{query.get('nonce', '')}", **common},
        "no": {"error": "access_denied", **common},
    }
    return HTMLResponse(
        "<!doctype html><title>Provider</title>"
        + "".join(
            FORM.format(
                answer,
                escape(query["redirect_uri"]),
                "".join(FIELD.format(name, escape(text)) for name, text in fields.items()),
                answer,
            )
            for answer, fields in answers.items()
        )
    )


async def give_token(request: Request) -> Response:
    async with request.form() as form:
        code, _, nonce = str(form["code"]).partition(".")
        verifier = str(form["code_verifier"])
    digest = hashlib.sha256(verifier.encode()).digest()
    if code != base64.urlsafe_b64encode(digest).rstrip(b"=").decode():
        return JSONResponse({"error": "invalid_grant"}, status_code=400)
    token = {"access_token": "a token", "token_type": "bearer"}
    if nonce:
        now = int(time.time())
        names = {"iss": str(request.base_url), "aud": "the client", "sub": "ann", "nonce": nonce}
        claims = {**names, "iat": now, "exp": now + 300}
        token["id_token"] = jwt.encode({"alg": "ES256", "kid": "1"}, claims, KEY)
    return JSONResponse(token)


async def tell_keys(_: Request) -> Response:
    return JSONResponse(KeySet([KEY]).as_dict(private=False))


async def tell_user(request: Request) -> Response:
    assert request.headers["authorization"] == "Bearer a token"
    return JSONResponse({"sub": "ann"})


app = Starlette(
    routes=[
        Route(METADATA, describe),
        Route("/authorize", authorize),
        Route("/token", give_token, methods=["POST"]),
        Route("/me", tell_user),
        Route("/keys", tell_keys),
    ]
)
