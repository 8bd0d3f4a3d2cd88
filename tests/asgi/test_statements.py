"""The number of statements per request."""

from collections.abc import Callable

import pytest
from httpx import AsyncClient

from pgsession import PostgresStore, Session
from tests.pages import NAME, fill, logout, read


def change(session: Session) -> None:
    session["n"] = session.get("n", 0) + 1


def login(session: Session) -> None:
    session["user"] = "bob"
    session.renew()


def pop(session: Session) -> None:
    session.pop("user")


@pytest.fixture
def client(visit: Callable[..., AsyncClient], counted: PostgresStore) -> AsyncClient:
    return visit(counted, fill, change, read, login, logout, pop, exclude=["/health"])


@pytest.mark.parametrize("path", ["/read", "/elsewhere"])
async def test_anonymous(client: AsyncClient, statements: list[str], path: str) -> None:
    """A visitor without a cookie causes no statements."""
    await client.get(path)

    assert statements == []


@pytest.mark.parametrize(
    "cookie",
    [
        pytest.param("", id="empty"),
        pytest.param("garbage", id="garbage"),
        pytest.param("k" * 40, id="unsigned"),
        pytest.param("k" * 40 + "." + "s" * 43, id="wrong signature"),
        pytest.param("k" * 60_000, id="long"),
        pytest.param('"' + "\\" * 60_000 + '"', id="quoted backslashes"),
    ],
)
async def test_forged(client: AsyncClient, statements: list[str], cookie: str) -> None:
    """A forged cookie causes no statements and opens an empty session."""
    response = await client.get("/read", headers={"cookie": f"{NAME}={cookie}"})

    assert response.json() == {}
    assert "set-cookie" not in response.headers
    assert statements == []


async def test_other_secret(
    visit: Callable[..., AsyncClient],
    client: AsyncClient,
    counted: PostgresStore,
    statements: list[str],
) -> None:
    """A cookie signed with another secret causes no statements."""
    other = visit(counted, fill, secret_key="another secret that is as long as the first")
    await other.get("/fill")
    statements.clear()

    response = await client.get("/read", headers={"cookie": f"{NAME}={other.cookies[NAME]}"})

    assert response.json() == {}
    assert statements == []


@pytest.mark.parametrize(
    ("path", "number"),
    [
        pytest.param("/read", 1, id="read"),
        pytest.param("/fill", 1, id="set to the same"),
        pytest.param("/elsewhere", 1, id="not looked at"),
        pytest.param("/health", 0, id="excluded"),
        pytest.param("/change", 2, id="change"),
        pytest.param("/login", 2, id="login"),
        pytest.param("/logout", 2, id="logout"),
        pytest.param("/pop", 3, id="drain"),
    ],
)
async def test_known(client: AsyncClient, statements: list[str], path: str, number: int) -> None:
    """A request with a session needs one statement to load it and at most two to save it."""
    await client.get("/fill")
    statements.clear()

    await client.get(path)

    assert len(statements) == number


async def test_first_write(client: AsyncClient, statements: list[str]) -> None:
    """A new session needs one statement."""
    await client.get("/fill")

    assert len(statements) == 1


async def test_no_connection_held(
    visit: Callable[..., AsyncClient], database_url: str, migrated_schema: str
) -> None:
    """A request holds no connection while its handler runs."""
    async with PostgresStore(database_url, schema=migrated_schema, pool_size=1, timeout=1) as store:

        async def use_the_one(session: Session) -> None:
            session["key"] = await store.generate()

        client = visit(store, fill, use_the_one)
        await client.get("/fill")

        assert (await client.get("/use_the_one")).status_code == 200
