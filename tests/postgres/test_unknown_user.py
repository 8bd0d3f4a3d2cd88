"""A login of a user whom a foreign key of the session table does not find."""

import asyncio
from collections.abc import Callable
from typing import Any, Final, LiteralString

import pytest
from httpx import AsyncClient
from psycopg import Connection

from pgsession import Changes, Login, PostgresStore, Session, SessionError, UnknownUserError
from pgsession.core.keys import digest
from pgsession.core.users import as_user_store
from tests.pages import key_of, value_of

#: A foreign key on `user_id` itself, and ones on columns that PostgreSQL computes from it.
KEYS: Final[dict[str, tuple[LiteralString, LiteralString]]] = {
    "text": (
        "CREATE TABLE account AS SELECT '7' AS id",
        "ALTER TABLE session ADD FOREIGN KEY (user_id) REFERENCES account ON DELETE CASCADE",
    ),
    "bigint": (
        "CREATE TABLE account AS SELECT 7::bigint AS id",
        """
        ALTER TABLE session
            ADD account_id bigint GENERATED ALWAYS AS (user_id::bigint) STORED REFERENCES account
        """,
    ),
}
by_key = pytest.mark.parametrize("kind", KEYS)
ids = pytest.mark.parametrize(
    ("kind", "user_id"),
    [
        pytest.param("text", "eve", id="no such text"),
        pytest.param("bigint", "8", id="no such number"),
        pytest.param("bigint", "eve", id="no number"),
        pytest.param("bigint", "9" * 30, id="no bigint"),
    ],
)


@pytest.fixture(autouse=True)
def account(table: Connection, kind: str) -> None:
    """The user 7, and a foreign key of the table to them."""
    accounts, foreign_key = KEYS[kind]
    table.execute(accounts)
    table.execute("ALTER TABLE account ADD PRIMARY KEY (id)")
    table.execute(foreign_key)


@ids
async def test_new_session(postgres: PostgresStore, table: Connection, user_id: str) -> None:
    """A login without a session says that there is no such user, shows no value, makes no row."""
    with pytest.raises(UnknownUserError, match="no such user") as caught:
        await postgres.login(None, Login(user_id), Changes({"a": 1}))

    assert user_id not in f"{caught.value!r} {caught.value.__cause__!r}"
    assert table.execute("SELECT FROM session").rowcount == 0


@ids
async def test_visitor(postgres: PostgresStore, user_id: str) -> None:
    """A login to a visitor's session leaves the session as it was, under its key."""
    key = await postgres.generate({"cart": [1]})

    with pytest.raises(UnknownUserError):
        await postgres.login(key, Login(user_id), Changes({"a": 1}))

    entry = await postgres.get(key)
    assert entry is not None
    assert (entry.value, entry.signed_in) == ({"cart": [1]}, None)


@by_key
async def test_block(postgres: PostgresStore) -> None:
    """A login in an `exclusive` block raises the same, and undoes the block."""
    key = await postgres.generate()

    async def sign_in() -> None:
        async with postgres.exclusive(key) as held:
            await held.merge(key, Changes({"a": 1}))
            await as_user_store(held).login(key, Login("8"), Changes())

    with pytest.raises(UnknownUserError):
        await sign_in()

    entry = await postgres.get(key)
    assert entry is not None
    assert not entry.value


@by_key
async def test_neighbours(postgres: PostgresStore) -> None:
    """Logins and changes that are sent together succeed, and only the login at fault raises."""
    keys = [await postgres.generate() for _ in range(30)]
    users = ["8" if number % 10 == 0 else "7" for number in range(len(keys))]

    outcomes = await asyncio.gather(
        *(
            postgres.merge(key, Changes({"a": 1}))
            if number % 2
            else postgres.login(key, Login(user), Changes())
            for number, (key, user) in enumerate(zip(keys, users, strict=True))
        ),
        return_exceptions=True,
    )

    failed = [number for number, it in enumerate(outcomes) if isinstance(it, Exception)]
    assert failed == [0, 10, 20]
    assert all(isinstance(outcomes[number], UnknownUserError) for number in failed)
    signed_in = {device.handle for device in await postgres.devices("7")}
    assert signed_in == {digest(keys[n]) for n in range(0, 30, 2) if n not in failed}


@by_key
async def test_other_reference(postgres: PostgresStore, table: Connection) -> None:
    """A foreign key that refuses something else than a login raises a plain `SessionError`."""
    key = await postgres.generate()
    table.execute("CREATE TABLE note (session_key text REFERENCES session (session_key))")
    table.execute("INSERT INTO note SELECT session_key FROM session")

    with pytest.raises(SessionError, match="23503") as caught:
        await postgres.clear(key)

    assert not isinstance(caught.value, UnknownUserError)


@by_key
async def test_caught(postgres: PostgresStore, visit: Callable[..., AsyncClient]) -> None:
    """A handler that catches it goes on with the session of the visitor."""

    def shop(session: Session) -> None:
        session["cart"] = [1]

    async def sign_in(session: Session) -> list[Any]:
        session.login("8")
        try:
            await session.save()
        except UnknownUserError:
            return ["unknown", session.user_id]
        return []

    client = visit(postgres, shop, sign_in)
    await client.get("/shop")

    response = await client.get("/sign_in")

    assert (response.status_code, response.json()) == (200, ["unknown", None])
    assert await value_of(postgres, key_of(client)) == {"cart": [1]}


@by_key
async def test_not_caught(postgres: PostgresStore, visit: Callable[..., AsyncClient]) -> None:
    """Without a `save` the response is an error, and nobody is signed in."""

    def sign_in(session: Session) -> None:
        session.login("8")

    client = visit(postgres, sign_in, raises=False)

    response = await client.get("/sign_in")

    assert response.status_code == 500
    assert "set-cookie" not in response.headers
