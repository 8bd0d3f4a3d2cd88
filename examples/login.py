"""Log in, "remember me", log out. Any name works; the password is "sesame".

export SESSION_DATABASE_URL=postgresql://localhost/app
export SESSION_SECRET_KEY="$(pgsession secret)"
pgsession migrate
uvicorn --app-dir examples login:app
"""

import re
import secrets
from datetime import timedelta
from html import escape

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse
from starlette.routing import Route

from pgsession import Session, SessionMiddleware, SessionSettings, get_session

PAGE = '<!doctype html><title>Login</title><form method="post" action="/{}">{}</form>'
TOKEN = '<input type="hidden" name="token" value="{}">'
LOGOUT = '<p id="user">{}</p><button>Log out</button>'
LOGIN = """<p><input name="user" placeholder="Name" maxlength="255" required>
<p><input name="password" type="password" placeholder="Password">
<p><label><input name="remember" type="checkbox"> Remember me for 30 days</label>
<p><button>Log in</button>"""


async def home(request: Request) -> HTMLResponse:
    """Show the name of the user, or the login form."""
    token = "" if is_machine(request) else make_token(request)
    if user := get_session(request).user_id:
        return HTMLResponse(PAGE.format("logout", token + LOGOUT.format(escape(user))))
    return HTMLResponse(PAGE.format("login", token + LOGIN))


async def login(request: Request) -> RedirectResponse:
    """Log in under a new key: a key that an attacker planted in this browser is then invalid."""
    session, form = await accept_form(request)
    if not secrets.compare_digest(form.get("password", "").encode(), b"sesame"):
        raise HTTPException(401, "Wrong password.")
    period = timedelta(days=30) if "remember" in form else None
    try:
        # The attacker may know the token of the old key too, so no member stays.
        session.login(form.get("user", ""), period=period, keep=())
    except ValueError as error:
        raise HTTPException(422, str(error)) from error
    return RedirectResponse("/", status_code=303)


async def logout(request: Request) -> RedirectResponse:
    """End the session. The row is deleted before the response is sent."""
    session, _ = await accept_form(request)
    session.logout()
    return RedirectResponse("/", status_code=303)


def make_token(request: Request) -> str:
    """Return the field with the session's token. The first one begins a session."""
    return TOKEN.format(request.session.setdefault("token", secrets.token_urlsafe()))


def is_machine(request: Request) -> bool:
    """Return True for a HEAD request or a crawler, which posts no form: it needs no session."""
    agent = request.headers.get("user-agent", "").lower()
    return request.method == "HEAD" or re.search(r"bot\b|crawl|spider|slurp", agent) is not None


async def accept_form(request: Request) -> tuple[Session, dict[str, str]]:
    """Return the session and the form. The form must contain the session's CSRF token."""
    form = {name: text for name, text in (await request.form()).items() if isinstance(text, str)}
    session = get_session(request)
    # With SameSite=lax, forms of other sites are posted without the cookie. But such a form could
    # log the browser in as another user, and a sibling host is the same site: check the token.
    token = session.get("token")
    if not token or not secrets.compare_digest(form.get("token", "").encode(), token.encode()):
        raise HTTPException(403, "Reload the page and try again.")
    return session, form


app = Starlette(
    routes=[
        Route("/", home),
        Route("/login", login, methods=["POST"]),
        Route("/logout", logout, methods=["POST"]),
    ],
    middleware=[Middleware(SessionMiddleware, settings=SessionSettings.from_env())],
)
