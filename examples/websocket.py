"""A page and a WebSocket that count messages in one session.

export SESSION_DATABASE_URL=postgresql://localhost/app
export SESSION_SECRET_KEY="$(pgsession secret)"
pgsession migrate
uvicorn --app-dir examples websocket:app
"""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from pgsession import SessionMiddleware, SessionSettings, get_session

PAGE = """<!doctype html>
<title>WebSocket</title>
<form><input autofocus> <button>Send</button></form>
<p>Messages in this session: <output>MESSAGES</output>
<p>“save” saves them at once; else they are saved when you leave the page.
<script>
  const socket = new WebSocket(location.href.replace(/^http/, "ws") + "socket")
  const input = document.querySelector("input")
  socket.onmessage = event => document.querySelector("output").textContent = event.data
  document.querySelector("form").onsubmit = event => {
    event.preventDefault()
    socket.send(input.value)
    input.value = ""
  }
</script>
"""


async def page(request: Request) -> HTMLResponse:
    """Begin the session. This page sets its cookie, and the WebSocket sends it back."""
    messages = request.session.setdefault("messages", 0)
    return HTMLResponse(PAGE.replace("MESSAGES", str(messages)))


async def socket(websocket: WebSocket) -> None:
    """Count messages until the socket closes. Unsaved changes are saved then."""
    session = get_session(websocket)
    if session.is_new:  # no cookie: the page was not loaded, or another site opened the socket
        await websocket.close()
        return
    await websocket.accept()
    async for message in websocket.iter_text():
        session["messages"] += 1
        if message == "save":
            await session.save()
        await websocket.send_text(str(session["messages"]))


app = Starlette(
    routes=[Route("/", page), WebSocketRoute("/socket", socket)],
    middleware=[Middleware(SessionMiddleware, settings=SessionSettings.from_env())],
)
