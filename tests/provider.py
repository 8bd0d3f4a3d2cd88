"""An OpenID Connect provider that posts its answers. Its only user is Ann, and it keeps nothing.

AUTHORIZE_AT is the address of its page for browsers, if that is at another server.
"""

import base64
import hashlib
import os
from html import escape

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

METADATA = "/.well-known/openid-configuration"
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
        }
    )


async def authorize(request: Request) -> Response:
    """Show a form for each answer. The code is the PKCE challenge, so it need not be kept."""
    query = request.query_params
    assert query["response_mode"] == "form_post"
    common = {"state": query["state"], "iss": str(request.base_url)}
    answers = {
        "yes": {"code": query["code_challenge"], **common},
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
        code, verifier = str(form["code"]), str(form["code_verifier"])
    digest = hashlib.sha256(verifier.encode()).digest()
    if code != base64.urlsafe_b64encode(digest).rstrip(b"=").decode():
        return JSONResponse({"error": "invalid_grant"}, status_code=400)
    return JSONResponse({"access_token": "a token", "token_type": "bearer"})


async def tell_user(request: Request) -> Response:
    assert request.headers["authorization"] == "Bearer a token"
    return JSONResponse({"sub": "ann"})


app = Starlette(
    routes=[
        Route(METADATA, describe),
        Route("/authorize", authorize),
        Route("/token", give_token, methods=["POST"]),
        Route("/me", tell_user),
    ]
)
