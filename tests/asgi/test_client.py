"""What is kept of the client of a sign-in, and how many sessions a user may have."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest
from httpx import AsyncClient
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Scope

from pgsession import MemoryStore, Session, SessionMiddleware, SessionSettings, SettingsError
from pgsession.core.devices import Device
from pgsession.core.keys import digest
from pgsession.core.login import Login
from pgsession.core.store import Changes
from pgsession.core.users import UserStore
from tests.applications import SECRET
from tests.pages import NAME, key_of

Visit = Callable[..., AsyncClient]
Converse = Callable[..., Awaitable[list[Message]]]


def enter(session: Session) -> None:
    session.login("ann")


def enter_as_root(session: Session) -> None:
    session.login("ann", actor_id="root")


def leave(session: Session) -> None:
    session.logout()


def settings(**more: Any) -> SessionSettings:
    return SessionSettings(secret_key=SECRET, **more)


async def app(scope: Scope, receive: Any, send: Any) -> None:  # noqa: ARG001 - ASGI
    """Sign somebody in."""
    scope["session"].login("ann")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})


async def signed_in(users: UserStore, converse: Converse, scope: Scope) -> Device:
    await converse(SessionMiddleware(app, store=users, secret_key=SECRET), scope)
    (device,) = await users.devices("ann")
    return device


def with_agent(*agents: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"user-agent", agent) for agent in agents]


async def test_off(users: UserStore, converse: Converse) -> None:
    """By default neither the address nor the user agent is kept."""
    scope = {"client": ("192.0.2.1", 80), "headers": with_agent(b"Firefox")}

    device = await signed_in(users, converse, scope)

    assert (device.address, device.agent) == (None, None)


@pytest.mark.parametrize(
    ("client", "headers", "address", "agent"),
    [
        pytest.param(("192.0.2.1", 80), with_agent(b"Firefox"), "192.0.2.1", "Firefox", id="both"),
        pytest.param(["::1", 80], [], "::1", None, id="no agent"),
        pytest.param(None, with_agent(b""), None, "", id="no address"),
        pytest.param(None, with_agent(b"A" * 300), None, "A" * 256, id="long"),
        pytest.param(
            None, with_agent(b"\0\r\n\x7f" + b"A\t" * 300), None, "A" * 256, id="unprintable"
        ),
        pytest.param(None, with_agent(b"\xc3\xa9 \xff"), None, "Ã© ÿ", id="not ASCII"),
        pytest.param(None, with_agent(b"one", b"two"), None, "one", id="two agents"),
    ],
)
async def test_record(  # noqa: PLR0917 - pytest passes them by name
    make_users: Callable[..., UserStore],
    converse: Converse,
    client: Any,
    headers: Any,
    address: str | None,
    agent: str | None,
) -> None:
    """The address is what the server names, and the agent 256 printable characters at most."""
    users = make_users(record_client=True)

    device = await signed_in(users, converse, {"client": client, "headers": headers})

    assert (device.address, device.agent) == (address, agent)


async def test_scope_without_client(
    make_users: Callable[..., UserStore], converse: Converse
) -> None:
    """A scope may name no client at all."""
    device = await signed_in(make_users(record_client=True), converse, {})

    assert (device.address, device.agent) == (None, None)


async def test_last_sign_in(visit: Visit, make_users: Callable[..., UserStore]) -> None:
    """The client is the one of the last sign-in; other requests do not change it."""
    users = make_users(record_client=True)
    client = visit(users, enter, writing("read"))
    await client.get("/enter", headers={"user-agent": "first"})
    await client.get("/enter", headers={"user-agent": "second"})

    await client.get("/read", headers={"user-agent": "third"})

    assert [it.agent for it in await users.devices("ann")] == ["second"]


def writing(name: str) -> Callable[[Session], None]:
    """Return an action that changes the session, with this name."""

    def act(session: Session) -> None:
        session["x"] = 1

    act.__name__ = name
    return act


def test_setting_and_store() -> None:
    """`record_client` with a store that does not record is refused at once."""
    with pytest.raises(SettingsError, match="record_client is a setting of the store"):
        SessionMiddleware(app, MemoryStore(), settings=settings(record_client=True))

    SessionMiddleware(app, MemoryStore(record_client=True), settings=settings(record_client=True))


async def test_limit(visit: Visit, users: UserStore) -> None:
    """A login ends the sessions that are too many, those first that signed in longest ago."""
    limit: Final = 2
    clients = [visit(users, enter, settings=settings(max_sessions=limit)) for _ in range(4)]
    for client in clients[:3]:
        await client.get("/enter")
    await clients[1].get("/enter")

    await clients[3].get("/enter")

    left = {digest(key_of(clients[place])) for place in (1, 3)}
    assert {it.handle for it in await users.devices("ann")} == left


async def test_limit_of_others(visit: Visit, users: UserStore) -> None:
    """An administrator's session neither counts nor ends, and their login ends none."""
    others = [visit(users, enter, settings=settings(max_sessions=1)) for _ in range(2)]
    root = visit(users, enter_as_root, settings=settings(max_sessions=1))

    await others[0].get("/enter")
    await root.get("/enter_as_root")
    assert len(await users.devices("ann")) == 2
    await others[1].get("/enter")

    left = {digest(key_of(it)) for it in (root, others[1])}
    assert {it.handle for it in await users.devices("ann")} == left


async def test_no_limit(visit: Visit, users: UserStore) -> None:
    """Without `max_sessions` a user may have any number of sessions."""
    for _ in range(5):
        await visit(users, enter).get("/enter")

    assert len(await users.devices("ann")) == 5


async def test_limit_before_the_response(users: UserStore, cookie_of: Callable[[str], str]) -> None:
    """The sessions that are too many have ended before the response of the login starts."""
    before = await users.login(None, Login("ann"), Changes())
    middleware = SessionMiddleware(app, users, settings=settings(max_sessions=1))
    seen: list[int] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            seen.append(len(await users.devices("ann")))

    scope: Scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "scheme": "https",
        "headers": [(b"cookie", cookie_of(before).encode())],
    }
    await users.login(None, Login("ann"), Changes())
    await middleware(scope, receive_nothing, send)

    assert seen == [1]


async def receive_nothing() -> Message:
    """Receive a disconnect."""
    return {"type": "http.disconnect"}


async def test_limit_and_saved_login(visit: Visit, users: UserStore) -> None:
    """The limit holds for a login that the handler has saved itself, though it fails then."""

    async def fail(request: Request) -> Response:
        session: Session = request.session  # type: ignore[assignment] # Starlette says dict
        session.login("ann")
        await session.save()
        return Response(status_code=500)

    await users.login(None, Login("ann"), Changes())
    client = visit(users, routes=(Route("/fail", fail),), settings=settings(max_sessions=1))

    await client.get("/fail")

    assert [it.handle for it in await users.devices("ann")] == [digest(key_of(client))]


@pytest.mark.parametrize("most", [0, -1, True, 1.5, "3"], ids=repr)
def test_wrong_limit(most: Any) -> None:
    """`max_sessions` must be a positive number."""
    with pytest.raises(SettingsError, match="max_sessions must be a positive number"):
        settings(max_sessions=most)


async def test_logged_out(visit: Visit, users: UserStore) -> None:
    """A session that has ended leaves room for another."""
    first, second = (
        visit(users, enter, leave, settings=settings(max_sessions=2)) for _ in range(2)
    )
    await first.get("/enter")
    await second.get("/enter")
    await second.get("/leave")
    assert NAME not in second.cookies
    await second.get("/enter")

    left = {digest(key_of(it)) for it in (first, second)}
    assert {it.handle for it in await users.devices("ann")} == left
