"""Frameworks other than Starlette, which read `scope["session"]` and tell nobody."""

from collections.abc import Awaitable, Callable

import pytest
from starlette.types import Message, Receive, Scope, Send

from pgsession import MemoryStore, Session, SessionMiddleware

Converse = Callable[..., Awaitable[list[Message]]]


@pytest.mark.parametrize(
    ("use", "vary"),
    [
        pytest.param(lambda session: session.get("user"), [b"Cookie"], id="get"),
        pytest.param(lambda session: f"{session['user']}", [b"Cookie"], id="subscript"),
        pytest.param(lambda session: {**session}, [b"Cookie"], id="unpacked"),
        pytest.param(lambda session: not session, [b"Cookie"], id="truth"),
        pytest.param(lambda session: session.update(n=1), [b"Cookie"], id="change"),
        pytest.param(lambda _: None, [], id="nothing"),
    ],
)
async def test_vary(
    converse: Converse,
    secret_key: str,
    cookie_of: Callable[[str], str],
    use: Callable[[Session], object],
    vary: list[bytes],
) -> None:
    """A response that depends on the session says so, whatever has read the session."""
    store = MemoryStore()

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        use(scope["session"])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    cookie = cookie_of(await store.generate({"user": "ann"})).encode()
    headers = [(b"cookie", cookie)]
    (start,) = await converse(SessionMiddleware(app, store, secret_key), {"headers": headers})

    assert [value for name, value in start["headers"] if name == b"vary"] == vary
