"""The badge that tells a page that is open when its session has ended."""

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.websockets import WebSocket

from pgsession import get_session

from .accounts import accounts_of
from .pages import HEADERS

#: The close code with which the middleware ends a WebSocket whose session has ended.
ENDED = 4401


async def wait(websocket: WebSocket) -> None:
    """Keep a WebSocket open. The middleware closes it once the session has ended."""
    await websocket.accept()
    if await accounts_of(websocket).of(get_session(websocket)) is None:
        await websocket.close(ENDED)
        return
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass  # a frame says nothing here, whether it is text or binary


async def answer(request: Request) -> JSONResponse:
    """Say who is signed in. The badge asks before it says that the session has ended.

    The socket also ends when somebody signs in again in this browser: then the page is out
    of date, but nobody was signed out.
    """
    session = get_session(request)
    account = await accounts_of(request).of(session)
    user = None if account is None else account.id
    # Without the proof of a device nobody knows who is signed in. The badge asks again.
    status = 401 if session.proof_missing else 200
    return JSONResponse({"user": user}, status, headers=HEADERS)
