"""What happens elsewhere while a session from before a switch is taken over."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from httpx import AsyncClient
from psycopg import AsyncConnection, Connection

from pgsession import MemoryStore, PostgresStore, Session, Store, UserStore
from pgsession.predecessors import StarletteCookie
from tests.applications import SECRET
from tests.asgi.old_sessions import CONTENT, OLD, UNTIL, cookies_of, settings_with, signed
from tests.concurrency.witness import eventually
from tests.pages import NAME, logout

NEWER = "a newer secret of the tests that is long enough"

Browse = Callable[..., AsyncClient]


def login(session: Session) -> None:
    session.login("bob")


def add(session: Session) -> None:
    session["n"] = 1


def whose(session: Session) -> str | None:
    return session.user_id


def user_id_of(content: Any) -> object:
    return content.get("user")


@pytest.fixture
def browse(visit: Callable[..., AsyncClient]) -> Browse:
    """Opens a browser with old cookies, by default a new one of ann's."""

    def browse(store: Store, *values: str, **changed: Any) -> AsyncClient:
        settings = settings_with(changed.pop("predecessor", None), **changed)
        client = visit(store, login, add, whose, logout, settings=settings, raises=False)
        cookies = (f"session={value}" for value in values or [signed(CONTENT)])
        client.headers["cookie"] = "; ".join(cookies)
        return client

    return browse


class Asked:
    """An `accept` that gives these answers, one after another."""

    def __init__(self, answers: Sequence[bool | Exception]) -> None:
        self._answers = iter(answers)

    async def __call__(self, _: Any) -> bool:
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


def accepting(answers: Sequence[bool | Exception]) -> StarletteCookie:
    """Return a predecessor with users, whose `accept` gives these answers."""
    return StarletteCookie(OLD, until=UNTIL, user_id=user_id_of, accept=Asked(answers))


async def is_waiting(table: Connection) -> bool:
    """Return whether somebody waits for a row that a transaction has locked."""
    query = "SELECT FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
    return bool(table.execute(query).fetchall())


@pytest.mark.parametrize("path", ["/add", "/logout"])
async def test_login(browse: Browse, users: UserStore, path: str) -> None:
    """A request that the browser sent before a login's answer came leaves its cookie alone."""
    value = signed(CONTENT)
    signed_in = await browse(users, value).get("/login")

    straggler = await browse(users, value).get(path)

    assert cookies_of(straggler) == []
    client = browse(users, value)
    client.headers["cookie"] += f"; {NAME}={signed_in.cookies[NAME]}"
    assert (await client.get("/whose")).json() == "bob"


async def test_login_refused(browse: Browse) -> None:
    """So does one whose old session does not count since the login."""
    store, value = MemoryStore(), signed(CONTENT)
    predecessor = accepting([True, True, False])
    await browse(store, value, predecessor=predecessor).get("/login")

    straggler = await browse(store, value, predecessor=predecessor).get("/add")

    assert cookies_of(straggler) == []


async def test_login_rotated(browse: Browse) -> None:
    """So does one of a process that has a newer secret already."""
    store, value = MemoryStore(), signed(CONTENT)
    await browse(store, value).get("/login")

    straggler = await browse(store, value, secret_key=[NEWER, SECRET]).get("/add")

    assert cookies_of(straggler) == []


async def test_ended_long_ago(browse: Browse) -> None:
    """Where no login has retired the key, the visitor starts a new session."""
    store, value = MemoryStore(), signed(CONTENT)
    await browse(store, value).get("/logout")

    (cookie,) = cookies_of(await browse(store, value).get("/add"))

    assert cookie.startswith(f"{NAME}=")


async def test_password_changed(browse: Browse, postgres: PostgresStore, table: Connection) -> None:
    """A session that is taken over while the user's password changes is ended unseen."""
    table.execute("CREATE TABLE account (id text PRIMARY KEY)")
    table.execute("INSERT INTO account VALUES ('ann')")
    table.execute("ALTER TABLE session ADD FOREIGN KEY (user_id) REFERENCES account")
    changed: list[str] = []

    async def accept(content: Any) -> bool:
        return content["user"] not in changed

    predecessor = StarletteCookie(OLD, until=UNTIL, user_id=user_id_of, accept=accept)
    client = browse(postgres, predecessor=predecessor)
    with table.transaction():
        table.execute("SELECT FROM account WHERE id = 'ann' FOR UPDATE")
        request = asyncio.create_task(client.get("/whose"))
        await eventually(lambda: is_waiting(table))
        table.execute("DELETE FROM session WHERE user_id = 'ann'")
        changed.append("ann")
    response = await request

    assert (response.status_code, response.json()) == (200, None)
    assert await postgres.devices("ann") == []


async def test_transaction(
    browse: Browse, postgres: PostgresStore, table: Connection, database_url: str
) -> None:
    """An `accept` that locks the user's row sees a change that its transaction ends sessions in."""
    table.execute("CREATE TABLE account AS SELECT 'ann' AS id, false AS is_changed")
    [path] = table.execute("SHOW search_path").fetchall()
    is_asked, may_go_on = asyncio.Event(), asyncio.Event()

    async def accept(content: Any) -> bool:
        connection = await AsyncConnection.connect(database_url, options=f"-csearch_path={path[0]}")
        async with connection:
            query = "SELECT is_changed FROM account WHERE id = %s FOR SHARE"
            rows = await (await connection.execute(query, (content["user"],))).fetchall()
        is_asked.set()
        await may_go_on.wait()
        return rows == [(False,)]

    predecessor = StarletteCookie(OLD, until=UNTIL, user_id=user_id_of, accept=accept)
    request = asyncio.create_task(browse(postgres, predecessor=predecessor).get("/whose"))
    await is_asked.wait()
    with table.transaction():
        table.execute("UPDATE account SET is_changed = true")
        table.execute("DELETE FROM session WHERE user_id = 'ann'")
        may_go_on.set()
        await eventually(lambda: is_waiting(table))

    assert (await request).json() is None
    assert await postgres.devices("ann") == []


async def test_late_error(browse: Browse, users: UserStore) -> None:
    """If `accept` raises when it is asked again, the new session is ended, with a 503."""
    predecessor = accepting([True, LookupError()])

    response = await browse(users, predecessor=predecessor).get("/whose")

    assert response.status_code == 503
    assert await users.devices("ann") == []


async def test_others_session(browse: Browse, users: UserStore) -> None:
    """A request does not end a session that another one has taken over, but gets none."""
    predecessor, value = accepting([True, True, True, False]), signed(CONTENT)

    first = await browse(users, value, predecessor=predecessor).get("/whose")
    second = await browse(users, value, predecessor=predecessor).get("/whose")

    assert [first.json(), second.json()] == ["ann", None]
    assert len(await users.devices("ann")) == 1


async def test_twins(browse: Browse) -> None:
    """Of two valid old cookies, the one counts whose session has not ended."""
    store, ended, living = MemoryStore(), signed({"user": "bob"}), signed({"user": "ann"})
    predecessor = StarletteCookie(OLD, until=UNTIL, user_id=user_id_of)
    await browse(store, ended, predecessor=predecessor).get("/logout")

    for values in ((ended, living), (living, ended)):
        client = browse(store, *values, predecessor=predecessor)
        assert (await client.get("/whose")).json() == "ann"


async def test_copy_kept(browse: Browse) -> None:
    """A login with a copy of the old cookie does not end the session of the browser itself."""
    store, value = MemoryStore(), signed(CONTENT)
    first = await browse(store, value).get("/whose")
    key = first.cookies[NAME].split(".")[0]
    await store.show(key, 1)

    await browse(store, value, secret_key=[NEWER, SECRET]).get("/login")

    assert await store.get(key) is not None
