"""A shop, with one page for each use of the session that another site may cause.

The SESSION_* variables say which cookie it sets.
"""

import secrets
from html import escape

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from pgsession import Session, SessionMiddleware, SessionSettings

# With an empty icon, the browser requests none.
HEAD = '<!doctype html><title>Shop</title><link rel="icon" href="data:,">'
PAGE = """
<p id="user">{user}</p><p id="cart">{cart}</p><p id="token">{token}</p>
<p id="fetch">{fetch}</p>
<form method="post" action="/login"><input name="user"><button id="login">Log in</button></form>
<form method="post" action="/logout"><button id="logout">Log out</button></form>
<a href="/">Home</a>
"""
REFRESH = '<meta http-equiv="refresh" content="0">'
PUBLIC = {"Cache-Control": "public, max-age=3600", "ETag": '"1"'}


async def home(request: Request) -> HTMLResponse:
    """Show the content of the session, and how the browser describes its request."""
    session = request.session
    shown = {name: escape(str(session.get(name, ""))) for name in ("user", "cart", "token")}
    fetch = [request.headers.get(f"sec-fetch-{name}", "") for name in ("site", "mode", "dest")]
    return HTMLResponse(HEAD + PAGE.format(**shown, fetch=escape(" ".join(fetch))))


async def cart(request: Request) -> HTMLResponse:
    """Put something into the cart."""
    request.session["cart"] = [1]
    return await home(request)


async def form(request: Request) -> HTMLResponse:
    """Store a form token."""
    request.session.setdefault("token", secrets.token_urlsafe())
    return await home(request)


async def strict_form(request: Request) -> HTMLResponse:
    """Do as `form`, but request the page again if the visitor comes from another site.

    The first request comes without a Strict cookie. The second one is the shop's own.
    """
    if request.headers.get("sec-fetch-site") == "cross-site":
        return HTMLResponse(HEAD + REFRESH)
    return await form(request)


async def paid(request: Request) -> RedirectResponse:
    """Record the payment that the visitor made at another site."""
    request.session["paid"] = True
    return RedirectResponse("/", status_code=303)


async def login(request: Request) -> RedirectResponse:
    """Log the visitor in, without a token: the form may come from an identity provider."""
    session = request.session
    assert isinstance(session, Session)
    session.renew()
    session["user"] = (await request.form())["user"]
    return RedirectResponse("/", status_code=303)


async def logout(request: Request) -> RedirectResponse:
    """End the session."""
    request.session.clear()
    return RedirectResponse("/", status_code=303)


async def talk(websocket: WebSocket) -> None:
    """Tell whose session a WebSocket has."""
    await websocket.accept()
    await websocket.send_text(f"hello {websocket.session.get('user', '')}")
    await websocket.close()


async def prices(request: Request) -> Response:
    """Return a page for shared caches, which never uses the session."""
    if request.headers.get("if-none-match") == PUBLIC["ETag"]:
        return Response(status_code=304, headers=PUBLIC)
    return HTMLResponse(HEAD, headers=PUBLIC)


app = Starlette(
    routes=[
        Route("/", home),
        Route("/cart", cart, methods=["GET", "POST"]),
        Route("/form", form),
        Route("/strict-form", strict_form),
        Route("/paid", paid, methods=["POST"]),
        Route("/login", login, methods=["POST"]),
        Route("/logout", logout, methods=["POST"]),
        Route("/prices", prices),
        WebSocketRoute("/talk", talk),
    ],
    middleware=[Middleware(SessionMiddleware, settings=SessionSettings.from_env())],
)
