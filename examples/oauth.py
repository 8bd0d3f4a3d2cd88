"""Sign in at an OpenID Connect provider that posts its answer (response_mode=form_post).

pip install authlib httpx2 joserfc python-multipart uvicorn
export SESSION_DATABASE_URL=postgresql://localhost/app
export SESSION_SECRET_KEY="$(pgsession secret)"
export OAUTH_METADATA_URL=https://provider.example/.well-known/openid-configuration
export OAUTH_CLIENT_ID=… OAUTH_CLIENT_SECRET=…
pgsession migrate
uvicorn --app-dir examples oauth:app
"""

import os
from dataclasses import replace
from html import escape

from authlib.integrations.starlette_client import OAuth, OAuthError
from joserfc.errors import JoseError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from pgsession import Session, SessionMiddleware, SessionSettings, repost

oauth = OAuth()
oauth.register(
    "provider",
    client_id=os.environ["OAUTH_CLIENT_ID"],
    client_secret=os.environ["OAUTH_CLIENT_SECRET"],
    server_metadata_url=os.environ["OAUTH_METADATA_URL"],
    client_kwargs={"scope": "openid", "code_challenge_method": "S256"},
)


async def home(request: Request) -> HTMLResponse:
    """Show the user, or the way to the provider."""
    assert isinstance(request.session, Session)
    user = escape(request.session.user_id or "")
    return HTMLResponse(f'<!doctype html><p id="user">{user}</p><a href="/login">Sign in</a>')


async def login(request: Request) -> Response:
    """Lead to the provider. Authlib keeps the state of the login in the session."""
    response: Response = await oauth.provider.authorize_redirect(
        request, request.url_for("callback"), response_mode="form_post"
    )
    return response


async def callback(request: Request) -> Response:
    """Sign in with what the provider has posted, once the session's cookie has come too."""
    if (page := await repost(request)) is not None:
        return page
    if "error" in await request.form():
        return RedirectResponse("/", status_code=303)
    try:
        token = await oauth.provider.authorize_access_token(request)
    except (OAuthError, JoseError) as error:
        raise HTTPException(400, "Sign in again.") from error
    assert isinstance(request.session, Session)
    request.session.login(token["userinfo"]["sub"])  # what the id_token says, which was checked
    return RedirectResponse("/", status_code=303)


settings = replace(
    SessionSettings.from_env(), csrf_protection=True, csrf_exempt=["/callback"]
)  # Only the callback takes forms of another site: its state is checked.
app = Starlette(
    routes=[
        Route("/", home),
        Route("/login", login),
        Route("/callback", callback, methods=["POST"]),
    ],
    middleware=[Middleware(SessionMiddleware, settings=settings)],
)
