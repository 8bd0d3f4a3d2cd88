"""Requests that are under way while another one signs in, or while the session ends."""

import logging
from collections.abc import Awaitable, Callable, Collection
from collections.abc import Set as AbstractSet
from typing import Any, Final

import pytest
from httpx import AsyncClient
from psycopg import AsyncConnection, Connection, IsolationLevel
from psycopg.rows import dict_row

from pgsession import PostgresStore, Session, SessionError, SessionSettings
from pgsession.core.current import Current
from pgsession.core.keys import digest
from pgsession.core.login import Login
from pgsession.core.store import Changes
from pgsession.core.users import UserStore
from tests.pages import DELETED, NAME, count, key_of, value_of

Visit = Callable[..., AsyncClient]
Meanwhile = Callable[[UserStore, str], Awaitable[object]]

HOUR: Final = 3600


def shop(session: Session) -> None:
    session["cart"] = [1]


def enter(session: Session) -> None:
    session.login("ann")


def leave(session: Session) -> None:
    session.logout()


def clear(session: Session) -> None:
    session.clear()


def read(session: Session) -> dict[str, Any]:
    return dict(session)


RENEWALS: Final = {
    "renewal": lambda store, key: store.renew(key),
    "confirmation": lambda store, key: store.confirm(key),
    "login": lambda store, key: store.login(key, Login("ann"), Changes()),
}
renewals = pytest.mark.parametrize("renew", RENEWALS.values(), ids=RENEWALS)

ENDINGS: Final = {
    **RENEWALS,
    "clear": lambda store, key: store.clear(key),
    "expiry": lambda store, key: store.touch(key, period=-1),
}


@pytest.mark.parametrize("meanwhile", ENDINGS.values(), ids=ENDINGS)
async def test_login_in_an_ended_session(
    visit: Visit, users: UserStore, meanwhile: Meanwhile
) -> None:
    """A login in a session that has ended meanwhile makes a new row, and sets its cookie."""

    async def enter_slowly(session: Session) -> None:
        session["step"] = 2
        session.login("bob")
        await meanwhile(users, key_of(client))

    client = visit(users, shop, enter_slowly, read)
    await client.get("/shop")
    before = key_of(client)

    await client.get("/enter_slowly")

    assert digest(key_of(client)) != digest(before)
    assert (await client.get("/read")).json() == {"cart": [1], "step": 2}
    assert [it.handle for it in await users.devices("bob")] == [digest(key_of(client))]


async def test_login_in_a_large_ended_session(visit: Visit, users: UserStore) -> None:
    """What a visitor has collected comes along into the new row, however much it is."""

    def collect(session: Session) -> None:
        session.update({f"item {number}": "x" * 1000 for number in range(200)})

    async def enter_slowly(session: Session) -> None:
        session.login("bob")
        await users.clear(key_of(client))

    client = visit(users, collect, enter_slowly)
    await client.get("/collect")
    collected = await value_of(users, key_of(client))

    response = await client.get("/enter_slowly")

    assert response.status_code == 200
    assert await value_of(users, key_of(client)) == collected


async def test_login_of_another_in_an_ended_session(visit: Visit, users: UserStore) -> None:
    """The new row of a login has nothing of the user whose session has ended meanwhile."""

    async def enter_slowly(session: Session) -> None:
        session["early"] = 1
        session.login("bob")
        session["late"] = 2
        await users.revoke_all("ann")

    client = visit(users, enter, shop, enter_slowly)
    await client.get("/enter")
    await client.get("/shop")

    await client.get("/enter_slowly")

    assert await value_of(users, key_of(client)) == {"late": 2}


@pytest.mark.parametrize("user_id", ["ann", "bob"])
async def test_login_in_a_lost_session(visit: Visit, users: UserStore, user_id: str) -> None:
    """A login after the request has noticed that its session has ended makes a row that stays."""

    async def notice_and_enter(session: Session) -> None:
        await users.clear(key_of(client))
        session["x"] = 1
        with pytest.raises(LookupError):
            await session.save()
        session.login(user_id)

    client = visit(users, enter, notice_and_enter)
    await client.get("/enter")

    await client.get("/notice_and_enter")

    (device,) = await users.devices(user_id)
    assert device.handle == digest(key_of(client))
    assert await value_of(users, key_of(client)) == ({"x": 1} if user_id == "ann" else {})


async def test_two_logins_at_once(visit: Visit, users: UserStore) -> None:
    """Of two logins at once in one browser, each is a session with a cookie of its own."""
    stale = ""

    async def enter_twice(session: Session) -> None:
        session.login("ann")
        await inner.get("/enter", headers={"cookie": stale})

    client, inner = visit(users, shop, enter_twice), visit(users, enter)
    await client.get("/shop")
    stale = f"{NAME}={client.cookies[NAME]}"

    response = await client.get("/enter_twice")

    assert response.status_code == 200
    keys = {digest(key_of(it)) for it in (client, inner)}
    assert {it.handle for it in await users.devices("ann")} == keys
    assert len(keys) == 2


@renewals
async def test_answered_after(visit: Visit, users: UserStore, renew: Meanwhile) -> None:
    """A request that was loaded before a login, and writes after it, sets no cookie."""

    async def shop_slowly(session: Session) -> None:
        session["cart"] = [2]
        keys.append(await renew(users, key_of(client)))

    keys: list[Any] = []
    client = visit(users, shop, shop_slowly)
    await client.get("/shop")

    response = await client.get("/shop_slowly")

    assert response.status_code == 200
    assert "set-cookie" not in response.headers
    assert await value_of(users, keys[0]) == {"cart": [1]}


@renewals
@pytest.mark.parametrize("page", ["/shop", "/clear", "/leave", "/read"])
async def test_sent_before(
    visit: Visit,
    users: UserStore,
    renew: Meanwhile,
    page: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A request that comes with a key from before a login makes no session, and sets no cookie."""
    client = visit(users, shop, clear, leave, read)
    await client.get("/shop")
    key = await renew(users, key_of(client))

    with caplog.at_level(logging.INFO, "pgsession"):
        response = await client.get(page)

    assert response.status_code == 200
    assert "set-cookie" not in response.headers
    assert await value_of(users, str(key)) == {"cart": [1]}
    assert ("from before a login" in caplog.text) == (page != "/read")
    assert [it for it in caplog.records if it.levelno > logging.INFO] == []


async def test_sent_before_all_others_ended(visit: Visit, users: UserStore) -> None:
    """A login that ends all other sessions keeps the row, which knows the key from before."""

    async def enter_alone(session: Session) -> None:
        await users.revoke_all("ann", keep=session)
        session.login("ann")

    client = visit(users, enter, enter_alone, shop)
    await client.get("/enter")
    stale = {"cookie": f"{NAME}={client.cookies[NAME]}"}
    await client.get("/enter_alone")

    response = await client.get("/shop", headers=stale)

    assert "set-cookie" not in response.headers
    assert [it.handle for it in await users.devices("ann")] == [digest(key_of(client))]


async def test_login_under_a_retired_key(visit: Visit, users: UserStore) -> None:
    """A login under a key from before another login makes a session, with a cookie."""
    client = visit(users, shop, enter)
    await client.get("/shop")
    await users.login(key_of(client), Login("bob"), Changes())

    response = await client.get("/enter")

    assert "set-cookie" in response.headers
    assert [it.handle for it in await users.devices("ann")] == [digest(key_of(client))]


async def test_retired_long_ago(visit: Visit, postgres: PostgresStore, table: Connection) -> None:
    """A minute after the renewal, the old key is one like any other dead key."""
    client = visit(postgres, shop, clear)
    await client.get("/shop")
    await postgres.renew(key_of(client))
    table.execute("UPDATE session SET renewed_on = now() - interval '61 s'")

    assert (await client.get("/clear")).headers["set-cookie"] == DELETED

    await client.get("/shop")
    assert count(table) == 2


async def test_expired_key(visit: Visit, users: UserStore) -> None:
    """A key whose session has expired makes a new session, and its cookie is deleted."""
    client = visit(users, shop, clear)
    await client.get("/shop")
    await users.touch(key_of(client), period=-1)
    stale = {"cookie": f"{NAME}={client.cookies[NAME]}"}

    assert (await client.get("/clear", headers=stale)).headers["set-cookie"] == DELETED
    assert "set-cookie" in (await client.get("/shop", headers=stale)).headers


@pytest.fixture
async def connection(database_url: str) -> Any:
    """A connection of the application's, with a row factory and a search_path of its own."""
    async with await AsyncConnection.connect(database_url, row_factory=dict_row) as it:
        await it.execute("SET search_path TO pg_temp")
        await it.commit()
        yield it


AFTERWARDS: Final[dict[str, Callable[[Session], None]]] = {
    "read": lambda _: None,
    "write": lambda it: it.update(cart=[2]),
    "renew": lambda it: it.renew(),
    "confirm": lambda it: it.confirm(),
    "clear": lambda it: it.clear(),
    "logout": lambda it: it.logout(),
    "login": lambda it: it.login("ann"),
}


@pytest.mark.parametrize("afterwards", AFTERWARDS)
async def test_own_session(
    visit: Visit,
    postgres: PostgresStore,
    connection: AsyncConnection[Any],
    table: Connection,
    afterwards: str,
) -> None:
    """A request that ends its own session in an open transaction does not wait for itself."""

    async def end_all(session: Session) -> int:
        ended = await postgres.revoke_all("ann", connection=connection)
        AFTERWARDS[afterwards](session)
        return ended

    client = visit(postgres, enter, end_all)
    await client.get("/enter")
    table.execute("SET statement_timeout TO '10 s'")

    response = await client.get("/end_all")

    assert (response.status_code, response.json()) == (200, 1)
    await connection.commit()  # as FastAPI does, after the response
    signed_in = [it.handle for it in await postgres.devices("ann")]
    if afterwards == "login":
        assert signed_in == [digest(key_of(client))]
    else:
        assert signed_in == []
        deleted = response.headers.get("set-cookie") == DELETED
        assert deleted == (afterwards == "logout")


async def test_visitor_in_a_transaction(
    visit: Visit, postgres: PostgresStore, connection: AsyncConnection[Any]
) -> None:
    """A password reset that ends all sessions and then signs in does not wait for itself."""

    async def reset_password(session: Session) -> int:
        ended = await postgres.revoke_all("ann", connection=connection)
        session.login("ann")
        return ended

    settings = SessionSettings(secret_key="s" * 15 + "ecret" * 5, max_sessions=1)
    others = [await postgres.login(None, Login("ann"), Changes()) for _ in range(2)]
    client = visit(postgres, reset_password, settings=settings)

    response = await client.get("/reset_password")

    assert (response.status_code, response.json()) == (200, 2)
    await connection.commit()
    assert [it.handle for it in await postgres.devices("ann")] == [digest(key_of(client))]
    assert [await postgres.get(key) for key in others] == [None, None]


class Ending:
    """A request that has ended sessions in a transaction of the application's."""

    def __init__(self, *keys: str) -> None:
        self.ended_within: AbstractSet[str] = frozenset(map(digest, keys))

    def note_ended(self, handles: Collection[str]) -> None:
        self.ended_within |= frozenset(handles)


async def test_limit_in_a_transaction(
    postgres: PostgresStore, connection: AsyncConnection[Any]
) -> None:
    """What a request has ended in a transaction that is open does not count for the limit."""
    kept, other = [await postgres.login(None, Login("ann"), Changes()) for _ in range(2)]
    await postgres.revoke_all("ann", keep=digest(kept), connection=connection)
    new = await postgres.login(None, Login("ann"), Changes())
    current = Current(Ending(other))
    try:
        assert await postgres.end_surplus("ann", 2) == 0
    finally:
        current.end()

    await connection.commit()
    living = {it.handle for it in await postgres.devices("ann")}
    assert living == {digest(kept), digest(new)}


async def test_rolled_back(
    visit: Visit, postgres: PostgresStore, connection: AsyncConnection[Any]
) -> None:
    """If the application's transaction is rolled back, the sessions live on."""

    async def end_all(_: Session) -> int:
        return await postgres.revoke_all("ann", connection=connection)

    client = visit(postgres, enter, end_all, read)
    await client.get("/enter")

    assert (await client.get("/end_all")).json() == 1
    await connection.rollback()

    assert [it.handle for it in await postgres.devices("ann")] == [digest(key_of(client))]


async def test_keep_in_a_transaction(
    visit: Visit, postgres: PostgresStore, connection: AsyncConnection[Any]
) -> None:
    """A request that ends all others in an open transaction goes on with its own session."""

    async def end_others(session: Session) -> int:
        session.confirm()
        return await postgres.revoke_all("ann", keep=session, connection=connection)

    client, other = visit(postgres, enter, end_others), visit(postgres, enter)
    await client.get("/enter")
    await other.get("/enter")

    response = await client.get("/end_others")

    await connection.commit()
    assert (response.status_code, response.json()) == (200, 1)
    assert [it.handle for it in await postgres.devices("ann")] == [digest(key_of(client))]


@pytest.mark.parametrize("level", ["REPEATABLE_READ", "SERIALIZABLE"])
async def test_isolation(
    postgres: PostgresStore, connection: AsyncConnection[Any], level: str
) -> None:
    """A transaction that would miss what has changed since it began is refused, with the reason."""
    await connection.set_isolation_level(IsolationLevel[level])

    with pytest.raises(SessionError, match="READ COMMITTED"):
        await postgres.revoke_all("ann", connection=connection)
