"""Signing out with a request: the row is gone before the response, under whatever key it has."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import pytest
from httpx import AsyncClient
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from pgsession import MemoryStore, Session, SessionNotFoundError
from pgsession.asgi.binding import Binding
from pgsession.core.keys import digest
from pgsession.core.login import Login
from pgsession.core.store import Changes
from pgsession.core.users import UserStore
from tests.pages import DELETED, key_of, max_age, value_of
from tests.waiting import policy_of

Visit = Callable[..., AsyncClient]

HOUR: Final = 3600


def shop(session: Session) -> None:
    session["cart"] = [1]


def enter(session: Session) -> None:
    session.login("ann")


def remember(session: Session) -> None:
    session.login("ann", period=2 * HOUR)


def leave(session: Session) -> None:
    session.logout()


def who(session: Session) -> str | None:
    return session.user_id


async def test_logout(visit: Visit, users: UserStore) -> None:
    """A logout ends the session and deletes the cookie."""
    client = visit(users, enter, leave)
    await client.get("/enter")
    key = key_of(client)

    response = await client.get("/leave")

    assert response.headers["set-cookie"] == DELETED
    assert await users.get(key) is None
    assert await users.devices("ann") == []


async def test_visitor(visit: Visit, users: UserStore) -> None:
    """A logout of a visitor ends their session, and does nothing for one without a session."""
    client = visit(users, shop, leave)

    assert "set-cookie" not in (await client.get("/leave")).headers
    await client.get("/shop")
    key = key_of(client)

    assert (await client.get("/leave")).headers["set-cookie"] == DELETED
    assert await users.get(key) is None


async def test_state_at_once(visit: Visit, users: UserStore) -> None:
    """After `logout()` the session tells of no user, even before the response."""

    def leave_and_look(session: Session) -> list[object]:
        session.logout()
        session.logout()
        return [session.user_id, session.authenticated_at, session.is_fresh(HOUR), dict(session)]

    client = visit(users, shop, enter, leave_and_look)
    await client.get("/shop")
    await client.get("/enter")

    assert (await client.get("/leave_and_look")).json() == [None, None, False, {}]


Meanwhile = Callable[[UserStore, str], Awaitable[object]]


@pytest.mark.parametrize(
    "meanwhile",
    [
        pytest.param(lambda store, key: store.renew(key), id="renewal"),
        pytest.param(lambda store, key: store.confirm(key), id="confirmation"),
        pytest.param(lambda store, key: store.merge(key, Changes({"x": 1})), id="write"),
        pytest.param(lambda store, _: store.revoke_all("ann"), id="revocation"),
        pytest.param(lambda store, key: store.clear(key), id="clear"),
    ],
)
async def test_meanwhile(visit: Visit, users: UserStore, meanwhile: Meanwhile) -> None:
    """A logout ends the row, whatever another request has done to it meanwhile but sign in."""

    async def leave_slowly(session: Session) -> None:
        session.logout()
        await meanwhile(users, key_of(client))

    client = visit(users, enter, leave_slowly)
    await client.get("/enter")

    response = await client.get("/leave_slowly")

    assert response.headers["set-cookie"] == DELETED
    assert await users.devices("ann") == []


async def test_lost(visit: Visit, users: UserStore) -> None:
    """A request that has noticed that its key was renewed still ends the session."""

    async def notice_and_leave(session: Session) -> None:
        await users.renew(key_of(client))
        session["x"] = 1
        with pytest.raises(LookupError):
            await session.save()
        session.logout()

    client = visit(users, enter, notice_and_leave)
    await client.get("/enter")

    response = await client.get("/notice_and_leave")

    assert response.headers["set-cookie"] == DELETED
    assert await users.devices("ann") == []


@pytest.mark.parametrize("user_id", ["ann", "bob"])
async def test_login_meanwhile(visit: Visit, users: UserStore, user_id: str) -> None:
    """A logout does not end what somebody has signed in to meanwhile, nor delete its cookie."""

    async def leave_slowly(session: Session) -> None:
        session.logout()
        session["message"] = "Good bye."
        await users.login(key_of(client), Login(user_id), Changes())

    client = visit(users, enter, leave_slowly)
    await client.get("/enter")

    response = await client.get("/leave_slowly")

    assert "set-cookie" not in response.headers
    assert [it.handle for it in await users.devices(user_id)] == [digest(key_of(client))]


@pytest.mark.parametrize("page", ["/enter", "/remember"])
@pytest.mark.parametrize("max_age_setting", ["default", HOUR // 2], ids=["default", "max_age"])
async def test_message(visit: Visit, users: UserStore, max_age_setting: Any, page: str) -> None:
    """A message for the next page begins a session of a visitor, in a row of its own."""

    def leave_kindly(session: Session) -> None:
        session.logout()
        session["message"] = "Good bye."

    client = visit(users, shop, enter, remember, leave_kindly, who, max_age=max_age_setting)
    await client.get("/shop")
    await client.get(page)
    before = key_of(client)

    response = await client.get("/leave_kindly")

    key = key_of(client)
    assert digest(key) != digest(before)
    assert await users.get(before) is None
    assert await value_of(users, key) == {"message": "Good bye."}
    assert max_age(response) == (7 * 24 * HOUR if max_age_setting == "default" else HOUR // 2)
    entry = await users.get(key)
    assert entry is not None
    assert entry.granted is None
    assert entry.period.total_seconds() == pytest.approx(max_age(response), abs=20)
    assert (await client.get("/who")).json() is None


async def test_message_of_a_lost_session(visit: Visit, users: UserStore) -> None:
    """The message begins a session also if the one that was loaded has ended meanwhile."""

    async def leave_kindly(session: Session) -> None:
        await users.clear(key_of(client))
        session["x"] = 1
        with pytest.raises(LookupError):
            await session.save()
        session.logout()
        session["message"] = "Good bye."

    client = visit(users, enter, leave_kindly)
    await client.get("/enter")

    await client.get("/leave_kindly")

    assert await value_of(users, key_of(client)) == {"message": "Good bye."}


async def test_message_with_a_period(visit: Visit, users: UserStore) -> None:
    """The session that begins after a logout can have a period of its own."""

    def leave_kindly(session: Session) -> None:
        session.logout()
        session["message"] = "Good bye."
        session.period = HOUR

    client = visit(users, enter, leave_kindly)
    await client.get("/enter")

    response = await client.get("/leave_kindly")

    entry = await users.get(key_of(client))
    assert entry is not None
    assert max_age(response) == HOUR
    assert entry.granted is not None
    assert entry.granted.total_seconds() == HOUR


async def test_then_login(visit: Visit, users: UserStore) -> None:
    """A logout and a login in one request sign the other user in, with nothing of the first."""

    def switch(session: Session) -> None:
        session.logout()
        session["message"] = "Hello."
        session.login("bob")

    client = visit(users, shop, enter, switch, who)
    await client.get("/shop")
    await client.get("/enter")

    await client.get("/switch")

    assert await value_of(users, key_of(client)) == {"message": "Hello."}
    assert (await client.get("/who")).json() == "bob"
    assert await users.devices("ann") == []


async def test_after_login(visit: Visit, users: UserStore) -> None:
    """A login that is followed by a logout signs nobody in."""

    def enter_and_leave(session: Session) -> None:
        session.login("bob")
        session.logout()

    client = visit(users, enter, enter_and_leave)
    await client.get("/enter")

    response = await client.get("/enter_and_leave")

    assert response.headers["set-cookie"] == DELETED
    assert await users.devices("ann") == await users.devices("bob") == []


async def test_saved(visit: Visit, users: UserStore) -> None:
    """`save()` commits a logout at once, and the response deletes the cookie."""

    async def leave_now(session: Session) -> str | None:
        session.logout()
        await session.save()
        assert await users.devices("ann") == []
        return session.user_id

    client = visit(users, enter, leave_now)
    await client.get("/enter")

    response = await client.get("/leave_now")

    assert response.json() is None
    assert response.headers["set-cookie"] == DELETED


async def test_late(visit: Visit, users: UserStore, caplog: pytest.LogCaptureFixture) -> None:
    """A logout after the response has started ends the row; a message then is a warning."""

    async def stream(request: Request) -> Response:
        async def body() -> AsyncIterator[bytes]:
            yield b"first"
            request.session.logout()  # type: ignore[attr-defined] # a `Session`
            request.session["message"] = "Good bye."

        return StreamingResponse(body())

    client = visit(users, enter, shop, routes=(Route("/stream", stream),))
    await client.get("/enter")
    key = key_of(client)

    await client.get("/stream")

    assert await users.get(key) is None
    assert await users.devices("ann") == []
    assert "its content is lost" in caplog.text


async def test_renewed_since_it_began() -> None:
    """A logout ends a session that its own request has begun, though another one has renewed it."""

    class Noting(MemoryStore):
        key = ""

        async def login(self, *arguments: Any, **keywords: Any) -> str:
            self.key = await super().login(*arguments, **keywords)
            return self.key

    store = Noting()
    binding = Binding(policy_of(store, 1), {"type": "websocket", "headers": []})
    binding.session.login("ann")
    await binding.save()
    await store.confirm(store.key)
    binding.session["late"] = 1
    with pytest.raises(SessionNotFoundError):
        await binding.save()
    binding.session.logout()
    await binding.save()

    assert await store.devices("ann") == []
