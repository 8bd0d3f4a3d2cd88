"""Signing in with a request: the key, the content, the period and the cookie afterwards."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Any, Final

import pytest
from httpx import AsyncClient
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from pgsession import (
    MemoryStore,
    ResponseStartedError,
    Session,
    SessionError,
    SessionSettings,
    StoreUnavailableError,
)
from pgsession.core.keys import digest
from pgsession.core.login import Login, SignedIn
from pgsession.core.store import Changes
from pgsession.core.users import UserStore
from tests.pages import DELETED, key_of, max_age, value_of

Visit = Callable[..., AsyncClient]

WEEK: Final = 7 * 24 * 3600
HOUR: Final = 3600


def shop(session: Session) -> None:
    session.update(cart=[1], step=2)


def enter(session: Session) -> None:
    session.login("ann")


def enter_as_bob(session: Session) -> None:
    session.login("bob")


def confirm(session: Session) -> None:
    session.confirm()


def who(session: Session) -> list[Any]:
    return [session.user_id, session.stamp, session.label, session.actor_id]


def content(session: Session) -> dict[str, Any]:
    return dict(session)


def _acts(session: Session, names: str) -> list[Callable[[], None]]:
    acts: dict[str, Callable[[], None]] = {
        "login": partial(session.login, "bob"),
        "logout": session.logout,
        "confirm": session.confirm,
    }
    return [acts[name] for name in names.split()]


async def signed_in(users: UserStore, client: AsyncClient) -> SignedIn | None:
    entry = await users.get(key_of(client))
    assert entry is not None
    return entry.signed_in


async def user_of(users: UserStore, client: AsyncClient) -> str | None:
    found = await signed_in(users, client)
    return None if found is None else found.user_id


async def test_visitor_without_a_session(visit: Visit, users: UserStore) -> None:
    """A visitor without a session signs in: there is a row without members, and a cookie."""
    client = visit(users, enter, who)

    response = await client.get("/enter")

    assert max_age(response) == WEEK
    assert await value_of(users, key_of(client)) == {}
    assert (await client.get("/who")).json() == ["ann", None, None, None]


async def test_visitor(visit: Visit, users: UserStore) -> None:
    """What a visitor has collected stays after the login, under a new key of the same row."""
    client = visit(users, shop, enter)
    await client.get("/shop")
    before = key_of(client)

    await client.get("/enter")

    key = key_of(client)
    assert await users.get(before) is None
    assert digest(key) == digest(before)
    assert await value_of(users, key) == {"cart": [1], "step": 2}
    assert await user_of(users, client) == "ann"


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        pytest.param(["cart"], {"cart": [1]}, id="one"),
        pytest.param((), {}, id="none"),
        pytest.param({"cart", "step", "other"}, {"cart": [1], "step": 2}, id="more than there are"),
    ],
)
async def test_keep(visit: Visit, users: UserStore, keep: Any, kept: dict[str, Any]) -> None:
    """Of what a visitor has collected stays only what `keep` names."""

    def enter(session: Session) -> None:
        session.login("ann", keep=iter(keep))

    client = visit(users, shop, enter)
    await client.get("/shop")

    await client.get("/enter")

    assert await value_of(users, key_of(client)) == kept


async def test_same_user(visit: Visit, users: UserStore) -> None:
    """A login of the user who is signed in keeps the content, also what `keep` does not name."""

    def enter_again(session: Session) -> None:
        session["step"] = 3
        session.login("ann", keep=["step"])

    client = visit(users, enter, shop, enter_again)
    await client.get("/enter")
    await client.get("/shop")
    before = key_of(client)

    await client.get("/enter_again")

    assert await users.get(before) is None
    assert await value_of(users, key_of(client)) == {"cart": [1], "step": 3}
    found = await signed_in(users, client)
    assert found is not None
    assert found.login_number == 2


@pytest.mark.parametrize(
    "login",
    [
        pytest.param(lambda it: it.login("bob"), id="user"),
        pytest.param(lambda it: it.login("bob", keep=["cart"]), id="keep"),
        pytest.param(lambda it: it.login("ann", actor_id="root"), id="actor"),
    ],
)
async def test_other_user(visit: Visit, users: UserStore, login: Callable[[Session], None]) -> None:
    """Nothing of one user stays for another, nor for an administrator who looks at the site."""

    def enter_differently(session: Session) -> None:
        session["early"] = 1
        login(session)
        session["late"] = 2

    client = visit(users, enter, shop, enter_differently)
    await client.get("/enter")
    await client.get("/shop")

    await client.get("/enter_differently")

    assert await value_of(users, key_of(client)) == {"late": 2}


async def test_other_user_and_writes(visit: Visit, users: UserStore) -> None:
    """What another request of the user before writes meanwhile does not reach the next user."""

    async def enter_slowly(session: Session) -> None:
        session.login("bob")
        await users.merge(key_of(client), Changes({"secret": "of ann"}))

    client = visit(users, enter, enter_slowly)
    await client.get("/enter")

    await client.get("/enter_slowly")

    assert await value_of(users, key_of(client)) == {}
    assert await user_of(users, client) == "bob"


async def test_two_logins_in_one_request(visit: Visit, users: UserStore) -> None:
    """The last login of a request counts, and nothing of the user before it stays."""

    def enter_twice(session: Session) -> None:
        session.login("ann", label="laptop", stamp="1")
        session["secret"] = "of ann"
        session.login("bob", stamp="2")

    client = visit(users, shop, enter_twice, who)
    await client.get("/shop")

    await client.get("/enter_twice")

    assert await value_of(users, key_of(client)) == {}
    assert (await client.get("/who")).json() == ["bob", "2", None, None]


async def test_texts(visit: Visit, users: UserStore) -> None:
    """Later requests see the user, the stamp, the label and the actor."""

    def enter(session: Session) -> list[Any]:
        session.login("ann", stamp="7", label="laptop", actor_id="root")
        return who(session)

    client = visit(users, enter, who)

    for page in ("/enter", "/who"):
        assert (await client.get(page)).json() == ["ann", "7", "laptop", "root"]


async def test_period(visit: Visit, users: UserStore) -> None:
    """A login with a period grants it; the next login without one takes the default again."""

    def remember(session: Session) -> None:
        session.login("ann", period=timedelta(days=30))

    client = visit(users, remember, enter)

    assert max_age(await client.get("/remember")) == 30 * 24 * HOUR
    assert max_age(await client.get("/enter")) == WEEK

    entry = await users.get(key_of(client))
    assert entry is not None
    assert entry.granted is None


async def test_browser_session(visit: Visit, users: UserStore) -> None:
    """With `max_age=None`, a login without a period gives a cookie that ends with the browser."""

    def remember(session: Session) -> None:
        session.login("ann", period=HOUR)

    client = visit(users, remember, enter, max_age=None)

    assert max_age(await client.get("/remember")) == HOUR
    assert max_age(await client.get("/enter")) is None


async def test_lifetime(visit: Visit, make_users: Callable[..., UserStore]) -> None:
    """A login and a confirmation begin `max_lifetime` anew, and the cookie says so."""
    users = make_users(default_period=HOUR, max_lifetime=2.5)
    client = visit(users, shop, enter, confirm)
    await client.get("/shop")
    for page in ("/enter", "/confirm"):
        while (entry := await users.get(key_of(client))) and entry.period.total_seconds() > 1.8:
            pass

        assert max_age(await client.get(page)) == 3

        entry = await users.get(key_of(client))
        assert entry is not None
        assert entry.period.total_seconds() > 2


async def test_after_the_start(visit: Visit, users: UserStore) -> None:
    """A login or a confirmation after the response has started is an error, and does nothing."""
    errors: list[type[Exception]] = []

    async def stream(request: Request) -> Response:
        session: Session = request.session  # type: ignore[assignment] # Starlette says dict

        async def body() -> AsyncIterator[bytes]:
            yield b"first"
            for act in _acts(session, "login confirm"):
                try:
                    act()
                except ResponseStartedError as error:
                    errors.append(type(error))

        return StreamingResponse(body())

    client = visit(users, enter, routes=(Route("/stream", stream),))
    await client.get("/enter")

    await client.get("/stream")

    assert errors == [ResponseStartedError] * 2
    assert await user_of(users, client) == "ann"


async def test_confirm(visit: Visit, users: UserStore) -> None:
    """A confirmation gives a new key, keeps everything, and makes the session fresh."""

    async def step_up(session: Session) -> list[bool]:
        was_fresh = session.is_fresh(timedelta(0))
        session.confirm()
        return [was_fresh, session.is_fresh(timedelta(seconds=1))]

    client = visit(users, shop, enter, step_up)
    await client.get("/shop")
    await client.get("/enter")
    before = key_of(client)

    assert (await client.get("/step_up")).json() == [False, True]

    assert key_of(client) != before
    assert await users.get(before) is None
    assert await value_of(users, key_of(client)) == {"cart": [1], "step": 2}
    assert await user_of(users, client) == "ann"


async def test_confirm_a_visitor(visit: Visit, users: UserStore) -> None:
    """Nobody can be confirmed who is not signed in."""

    async def confirm_nobody(session: Session) -> None:
        with pytest.raises(SessionError, match=r"login\(\) first"):
            session.confirm()

    client = visit(users, shop, confirm_nobody)

    assert (await client.get("/confirm_nobody")).status_code == 200


async def test_clear_after_login(visit: Visit, users: UserStore) -> None:
    """A `clear()` after the login ends the session, unless something is set again."""

    def enter_and_clear(session: Session) -> None:
        session.login("ann")
        session.clear()

    def enter_and_refill(session: Session) -> None:
        session.login("ann")
        session.clear()
        session["cart"] = [2]

    client = visit(users, shop, enter_and_clear, enter_and_refill)
    await client.get("/shop")

    ended = await client.get("/enter_and_clear")
    assert ended.headers["set-cookie"] == DELETED
    assert await users.devices("ann") == []

    await client.get("/enter_and_refill")
    assert await value_of(users, key_of(client)) == {"cart": [2]}
    assert await user_of(users, client) == "ann"


async def test_no_members(visit: Visit, users: UserStore) -> None:
    """A session with a user stays when its last member is removed."""

    def pop(session: Session) -> None:
        for name in list(session):
            del session[name]

    client = visit(users, shop, enter, pop, who)
    await client.get("/shop")
    await client.get("/enter")

    response = await client.get("/pop")

    assert "set-cookie" not in response.headers
    assert await value_of(users, key_of(client)) == {}
    assert (await client.get("/who")).json()[0] == "ann"


async def test_in_a_block(visit: Visit, users: UserStore) -> None:
    """A login in an `exclusive` block is committed when the block ends, and sets the cookie."""

    async def enter_alone(session: Session) -> None:
        async with session.exclusive():
            session.login("ann")
        assert await users.devices("ann") != []

    client = visit(users, shop, enter_alone, content)
    await client.get("/shop")
    before = key_of(client)

    await client.get("/enter_alone")

    assert key_of(client) != before
    assert await user_of(users, client) == "ann"
    assert (await client.get("/content")).json() == {"cart": [1], "step": 2}


async def test_in_a_block_that_raises(visit: Visit, users: UserStore) -> None:
    """A login in an `exclusive` block that raises is undone."""

    async def fail_alone(session: Session) -> list[Any]:
        with suppress(ZeroDivisionError):
            async with session.exclusive():
                session.login("ann", period=HOUR)
                raise ZeroDivisionError
        return [session.user_id, session.period == timedelta(days=7)]

    client = visit(users, shop, fail_alone, content)
    await client.get("/shop")
    before = key_of(client)

    response = await client.get("/fail_alone")

    assert response.json() == [None, True]
    assert "set-cookie" not in response.headers
    assert key_of(client) == before
    assert await user_of(users, client) is None


class Failing(MemoryStore):
    """A store whose transactions fail when they are committed."""

    @asynccontextmanager
    async def exclusive(self, key: str, **keywords: Any) -> AsyncIterator[Any]:
        async with super().exclusive(key, **keywords) as held:
            yield held
            raise StoreUnavailableError("The commit failed.")


async def test_in_a_block_that_is_not_committed(visit: Visit) -> None:
    """A login in an `exclusive` block whose commit fails is undone."""
    store = Failing()

    async def fail_alone(session: Session) -> list[Any]:
        with pytest.raises(StoreUnavailableError):
            async with session.exclusive():
                session.login("ann")
        return [session.user_id, session.authenticated_at, session.is_fresh(HOUR)]

    settings = SessionSettings(secret_key="s" * 15 + "ecret" * 5, max_sessions=1)
    others = {await store.login(None, Login("ann"), Changes()) for _ in range(2)}
    client = visit(store, shop, fail_alone, settings=settings)
    await client.get("/shop")
    before = key_of(client)

    assert (await client.get("/fail_alone")).json() == [None, None, False]

    assert key_of(client) == before
    assert {it.handle for it in await store.devices("ann")} == set(map(digest, others))


async def test_saved_login(visit: Visit, users: UserStore) -> None:
    """`save()` commits a login at once, and the response sets the cookie."""

    async def enter_now(session: Session) -> list[str | None]:
        session.login("ann")
        await session.save()
        return [session.user_id, *[device.handle for device in await session.devices()]]

    client = visit(users, shop, enter_now)
    await client.get("/shop")

    response = await client.get("/enter_now")

    assert response.json() == ["ann", digest(key_of(client))]
    assert await user_of(users, client) == "ann"


async def test_reload_before_the_login(visit: Visit, users: UserStore) -> None:
    """A login that is not saved yet survives a reload, with what it removes."""

    async def enter_slowly(session: Session) -> str | None:
        session.login("bob")
        await session.reload()
        return session.user_id

    client = visit(users, enter, shop, enter_slowly)
    await client.get("/enter")
    await client.get("/shop")

    assert (await client.get("/enter_slowly")).json() == "bob"

    assert await value_of(users, key_of(client)) == {}
    assert await user_of(users, client) == "bob"


async def test_failing_handler(visit: Visit, users: UserStore) -> None:
    """A handler that raises after its login has signed nobody in."""

    def enter_and_fail(session: Session) -> None:
        session.login("ann")
        raise LookupError

    client = visit(users, shop, enter_and_fail, raises=False)
    await client.get("/shop")

    response = await client.get("/enter_and_fail")

    assert response.status_code == 500
    assert "set-cookie" not in response.headers
    assert await users.devices("ann") == []


@pytest.mark.parametrize("user_id", [7, None, "", "a" * 256, "\0"], ids=ascii)
async def test_wrong_user_id(visit: Visit, users: UserStore, user_id: Any) -> None:
    """A login with what cannot be a user's id is an error, and has changed nothing."""

    def enter_wrongly(session: Session) -> dict[str, Any]:
        with pytest.raises((TypeError, ValueError)):
            session.login(user_id, period=HOUR, keep=())
        return dict(session)

    client = visit(users, shop, enter_wrongly)
    await client.get("/shop")

    response = await client.get("/enter_wrongly")

    assert response.json() == {"cart": [1], "step": 2}
    assert "set-cookie" not in response.headers


async def test_handle_and_devices(visit: Visit, users: UserStore) -> None:
    """The current device comes first, and is marked; the others are in the store's order."""

    async def list_devices(session: Session) -> list[list[object]]:
        return [[device.handle, device.is_current] for device in await session.devices()]

    def handle(session: Session) -> str | None:
        return session.handle

    first, second = visit(users, enter, list_devices, handle), visit(users, enter)
    assert (await first.get("/handle")).json() is None
    assert (await first.get("/list_devices")).json() == []
    await first.get("/enter")
    await second.get("/enter")

    assert (await first.get("/list_devices")).json() == [
        [digest(key_of(first)), True],
        [digest(key_of(second)), False],
    ]
    assert (await first.get("/handle")).json() == digest(key_of(first))


class Userless(MemoryStore):
    """A store of the contract without users."""

    def __getattribute__(self, name: str) -> Any:
        if name in {"login", "confirm", "logout", "devices", "revoke", "revoke_all", "is_retired"}:
            raise AttributeError(name)
        return super().__getattribute__(name)


async def test_store_without_users(visit: Visit) -> None:
    """Without a store that keeps users, `login` raises `SessionError`, and all else works."""

    async def try_all(session: Session) -> None:
        for act in _acts(session, "login confirm"):
            with pytest.raises(SessionError, match="keeps no users"):
                act()
        assert await session.devices() == []
        assert (session.user_id, session.authenticated_at) == (None, None)

    def leave(session: Session) -> None:
        session.logout()

    client = visit(Userless(), shop, try_all, content, leave)
    await client.get("/shop")
    await client.get("/try_all")
    assert (await client.get("/content")).json() == {"cart": [1], "step": 2}
    stale = {"Cookie": f"__Host-session={client.cookies['__Host-session']}"}

    assert (await client.get("/leave")).headers["set-cookie"] == DELETED
    assert (await client.get("/leave", headers=stale)).headers["set-cookie"] == DELETED


class Down(MemoryStore):
    """A store that cannot answer."""

    async def get(self, key: str) -> Any:  # noqa: ARG002 - as the contract says
        raise StoreUnavailableError("The store is down.")


async def test_anonymous(visit: Visit, cookie_of: Callable[[str], str]) -> None:
    """In a session that could not be loaded, nobody can sign in or out."""

    async def try_all(session: Session) -> list[object]:
        for act in _acts(session, "login logout confirm"):
            with pytest.raises(StoreUnavailableError):
                act()
        return [session.user_id, session.is_fresh(HOUR)]

    client = visit(Down(), try_all, on_unavailable="anonymous")

    response = await client.get("/try_all", headers={"cookie": cookie_of("k" * 40)})

    assert response.json() == [None, False]


async def test_ended_request(visit: Visit, users: UserStore) -> None:
    """After the request, the session still tells its user, and nobody can sign in any more."""
    kept: list[Session] = []

    def enter_and_keep(session: Session) -> None:
        session.login("ann", label="laptop")
        kept.append(session)

    await visit(users, enter_and_keep).get("/enter_and_keep")

    (session,) = kept
    assert (session.user_id, session.label) == ("ann", "laptop")
    assert session.is_fresh(HOUR)
    for act in _acts(session, "login logout confirm"):
        with pytest.raises(SessionError):
            act()


@pytest.mark.parametrize("how", ["visitor", "user"])
async def test_plain_sql(visit: Visit, postgres: Any, table: Any, how: str) -> None:
    """A user that an application has set by SQL is signed in, since the session was made."""
    client = visit(postgres, shop, enter, who, enter_as_bob)
    await client.get("/shop" if how == "visitor" else "/enter")
    table.execute("UPDATE session SET user_id = 'carl'")

    assert (await client.get("/who")).json()[0] == "carl"

    assert [device.label for device in await postgres.devices("carl")] == [None]
    await client.get("/enter_as_bob")
    assert await value_of(postgres, key_of(client)) == {}


def test_login_without_a_request() -> None:
    """A session for tests can sign in and out without a request."""
    session = Session({"cart": [1]})

    session.login("ann", stamp="7")
    assert (session.user_id, session.stamp, session.is_fresh(HOUR)) == ("ann", "7", True)
    session.logout()

    assert (session.user_id, session.stamp, session.is_fresh(HOUR)) == (None, None, False)
