"""Browsers that send several cookies of our name."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from httpx import AsyncClient, Response
from psycopg import Connection

from pgsession import (
    MemoryStore,
    PostgresStore,
    Session,
    SessionNotFoundError,
    StoreUnavailableError,
)
from pgsession.core.cookie import Cookie
from tests.pages import NAME, fill, login, logout, pop, read, refill, value_of

FORGED = f"{NAME}={'k' * 40}...1800000000.{'s' * 43}"

Visit = Callable[..., AsyncClient]
CookieOf = Callable[[str], str]


def change(session: Session) -> None:
    session["n"] = 1


def twins(response: Response) -> tuple[list[str], list[str]]:
    """Return the Set-Cookie headers that delete a cookie, and the others."""
    cookies = response.headers.get_list("set-cookie")
    deleted = [cookie for cookie in cookies if "Max-Age=0" in cookie]
    return deleted, [cookie for cookie in cookies if cookie not in deleted]


@pytest.mark.parametrize("order", [1, -1], ids=["living first", "dead first"])
async def test_living_counts(visit: Visit, cookie_of: CookieOf, order: int) -> None:
    """Of a living session and a dead one, the living one counts, in any order."""
    store = MemoryStore()
    living, dead = await store.generate({"user": "ann"}), await store.generate({"user": "eve"})
    await store.clear(dead)
    header = "; ".join([cookie_of(living), cookie_of(dead)][::order])

    response = await visit(store, read).get("/read", headers={"cookie": header})

    assert response.json() == {"user": "ann"}


@pytest.mark.parametrize("order", [1, -1], ids=["older first", "younger first"])
async def test_younger_counts(
    visit: Visit, postgres: PostgresStore, cookie_of: CookieOf, order: int
) -> None:
    """Of two living sessions, the one that was created later counts, in any order."""
    older, younger = (
        await postgres.generate({"user": "eve"}),
        await postgres.generate({"user": "ann"}),
    )
    header = "; ".join([cookie_of(older), cookie_of(younger)][::order])

    response = await visit(postgres, read).get("/read", headers={"cookie": header})

    assert response.json() == {"user": "ann"}


async def test_retired_together(
    visit: Visit, counted: PostgresStore, statements: list[str], cookie_of: CookieOf
) -> None:
    """However many dead keys come, one statement finds out whether one was renewed just now."""
    keys = [await counted.generate({"n": number}) for number in range(5)]
    header = "; ".join(map(cookie_of, keys))
    for key in keys[:4]:
        await counted.clear(key)
    await counted.renew(keys[4])
    statements.clear()

    response = await visit(counted, change).get("/change", headers={"cookie": header})

    assert "set-cookie" not in response.headers
    assert len(statements) == 2  # the other looks for living ones


async def test_many_too_old(
    visit: Visit,
    counted: PostgresStore,
    statements: list[str],
    table: Connection,
    cookie_of: CookieOf,
) -> None:
    """However many cookies with an old number come, a few statements find out."""
    keys = [await counted.generate({"n": number}) for number in range(20)]
    header = "; ".join(map(cookie_of, keys))
    table.execute("UPDATE session SET key_number = 9, shown_on = now() - interval '1 hour'")
    statements.clear()

    await visit(counted, read).get("/read", headers={"cookie": header})

    assert len(statements) <= 4


async def test_one_statement(
    visit: Visit, counted: PostgresStore, statements: list[str], cookie_of: CookieOf
) -> None:
    """However many cookies come, one statement looks them up."""
    keys = [await counted.generate({"n": number}) for number in range(5)]
    header = "; ".join([*map(cookie_of, keys), FORGED, cookie_of("x" * 40)])
    statements.clear()

    response = await visit(counted, read).get("/read", headers={"cookie": header})

    assert response.json() == {"n": 4}
    assert len(statements) == 1


async def test_dead_ones_are_remembered(
    visit: Visit, counted: PostgresStore, statements: list[str], cookie_of: CookieOf
) -> None:
    """Cookies of which no session lives cost no statement the next time."""
    header = {"cookie": "; ".join([cookie_of("x" * 40), cookie_of("y" * 40)])}
    client = visit(counted, read)
    await client.get("/read", headers=header)
    statements.clear()

    assert (await client.get("/read", headers=header)).json() == {}
    assert statements == []


@pytest.mark.parametrize("forgeries", [31, 32, 500])
async def test_forgeries(visit: Visit, cookie_of: CookieOf, forgeries: int) -> None:
    """Any number of forgeries hides no session."""
    store = MemoryStore()
    key = await store.generate({"user": "ann"})
    header = "; ".join([*[FORGED] * forgeries, cookie_of(key)])

    response = await visit(store, read).get("/read", headers={"cookie": header})

    assert response.json() == {"user": "ann"}


@pytest.mark.parametrize("leave", [logout, pop], ids=["clear", "last member removed"])
async def test_logout(
    visit: Visit, postgres: PostgresStore, cookie_of: CookieOf, leave: Any
) -> None:
    """A logout ends every session whose cookie came, and deletes the cookies that can be named."""
    keys = [await postgres.generate({"user": name}) for name in ("eve", "bob", "ann")]
    header = "; ".join(map(cookie_of, keys))

    response = await visit(postgres, leave).get(f"/{leave.__name__}", headers={"cookie": header})

    assert [await value_of(postgres, key) for key in keys] == [None] * 3
    deleted, others = twins(response)
    assert others == []
    assert len(deleted) == 1


async def test_logout_in_one_statement(
    visit: Visit, counted: PostgresStore, statements: list[str], cookie_of: CookieOf
) -> None:
    """A logout ends all of them in one statement."""
    keys = [await counted.generate({"user": name}) for name in ("eve", "ann")]
    statements.clear()

    await visit(counted, logout).get("/logout", headers={"cookie": "; ".join(map(cookie_of, keys))})

    assert len(statements) == 2  # one to load, one to end


async def test_login(visit: Visit, postgres: PostgresStore, cookie_of: CookieOf) -> None:
    """At a login the sessions of the other cookies end, so that none of them hides the new key."""
    keys = [await postgres.generate({"n": number}) for number in range(3)]
    client = visit(postgres, login, read)

    response = await client.get("/login", headers={"cookie": "; ".join(map(cookie_of, keys))})

    assert [await value_of(postgres, key) for key in keys] == [None] * 3
    _, (cookie,) = twins(response)
    again = "; ".join([*map(cookie_of, keys[:2]), cookie.partition(";")[0]])
    assert (await client.get("/read", headers={"cookie": again})).json() == {"n": 2, "user": "ann"}


async def test_first_login(visit: Visit, cookie_of: CookieOf) -> None:
    """A visitor with two dead cookies who signs in is signed in with the next request."""
    store = MemoryStore()
    dead = "; ".join([cookie_of("x" * 40), cookie_of("y" * 40)])
    client = visit(store, fill, read)

    response = await client.get("/fill", headers={"cookie": dead})

    _, (cookie,) = twins(response)
    header = f"{dead}; {cookie.partition(';')[0]}"
    assert (await client.get("/read", headers={"cookie": header})).json() == {"user": "ann"}


async def test_change(visit: Visit, cookie_of: CookieOf) -> None:
    """A change writes to the session that counts, and ends and deletes nothing."""
    store = MemoryStore()
    older, younger = await store.generate({"user": "eve"}), await store.generate({"user": "ann"})

    response = await visit(store, change).get(
        "/change", headers={"cookie": f"{cookie_of(older)}; {cookie_of(younger)}"}
    )

    assert "set-cookie" not in response.headers
    assert await value_of(store, older) == {"user": "eve"}
    assert await value_of(store, younger) == {"user": "ann", "n": 1}


@pytest.mark.parametrize("change", [refill, login], ids=["cleared and filled", "login"])
async def test_cleared_and_filled(
    visit: Visit, postgres: PostgresStore, cookie_of: CookieOf, change: Any
) -> None:
    """A session that is cleared and filled, or renewed, ends the others too."""
    twin, key = await postgres.generate({"user": "eve"}), await postgres.generate({"user": "ann"})

    await visit(postgres, change).get(
        f"/{change.__name__}", headers={"cookie": f"{cookie_of(key)}; {cookie_of(twin)}"}
    )

    assert await value_of(postgres, twin) is None


@pytest.mark.parametrize("notice", [Session.reload, Session.save], ids=["reload", "save"])
async def test_logout_of_an_ended_session(
    visit: Visit, postgres: PostgresStore, cookie_of: CookieOf, notice: Any
) -> None:
    """A logout from a session that another request has ended ends the others all the same."""
    twin, key = await postgres.generate({"user": "eve"}), await postgres.generate({"user": "ann"})

    async def leave(session: Session) -> None:
        await postgres.clear(key)
        session["n"] = 1
        with suppress(SessionNotFoundError):
            await notice(session)
        session.clear()

    header = {"cookie": f"{cookie_of(twin)}; {cookie_of(key)}"}
    client = visit(postgres, leave, read)

    assert (await client.get("/leave", headers=header)).status_code == 200

    assert (await client.get("/read", headers=header)).json() == {}


async def test_failed_login(visit: Visit, cookie_of: CookieOf) -> None:
    """If a login fails half-way, the visitor has the session from before, not another one."""
    failing = True

    class Store(MemoryStore):
        async def renew(self, *arguments: Any, **keywords: Any) -> str:
            if failing:
                raise StoreUnavailableError
            return await super().renew(*arguments, **keywords)

    store = Store()
    keys = [await store.generate({"n": number}) for number in range(2)]
    header = {"cookie": "; ".join(map(cookie_of, keys))}
    client = visit(store, login, read)

    assert (await client.get("/login", headers=header)).status_code == 503

    assert (await client.get("/read", headers=header)).json() == {"n": 1}
    failing = False
    assert (await client.get("/login", headers=header)).status_code == 200


async def test_many(visit: Visit, cookie_of: CookieOf) -> None:
    """A living session is found behind any number of ended ones."""
    store = MemoryStore()
    key = await store.generate({"user": "ann"})
    ended = [cookie_of(f"{number:040}") for number in range(500)]

    response = await visit(store, read).get(
        "/read", headers={"cookie": "; ".join([*ended, cookie_of(key)])}
    )

    assert response.json() == {"user": "ann"}


async def test_older_copy(visit: Visit, secret_key: str) -> None:
    """An older cookie with the same key does not make each response set the cookie."""
    store = MemoryStore()
    key = await store.generate({"user": "ann"})
    own = Cookie(secret_keys=[secret_key])
    pairs = [own.write(key, age).decode().partition(";")[0] for age in (timedelta(days=7), None)]
    client = visit(store, read, max_age=None)

    for order in 1, -1:
        header = {"cookie": "; ".join(pairs[::order])}
        assert "set-cookie" not in (await client.get("/read", headers=header)).headers


@pytest.mark.parametrize(
    ("keywords", "number"),
    [
        pytest.param({}, 0, id="defaults"),
        pytest.param({"session_cookie": "sid"}, 1, id="own name: partitioned"),
        pytest.param({"domain": "testserver.org"}, 1, id="domain: this host alone"),
        pytest.param({"https_only": False}, 0, id="plain HTTP"),
    ],
)
async def test_alone(visit: Visit, keywords: dict[str, Any], number: int) -> None:
    """At a login or a logout, the cookie of another setting is deleted, if a cookie came at all."""
    client = visit(MemoryStore(), login, logout, **keywords)
    client.base_url = "https://testserver.org"

    assert [len(each) for each in twins(await client.get("/login"))] == [0, 1]
    assert [len(each) for each in twins(await client.get("/login"))] == [number, 1]
    assert [len(each) for each in twins(await client.get("/logout"))] == [number + 1, 0]


@pytest.mark.parametrize(
    ("more", "domains"),
    [
        pytest.param("", ["app.example.org", "example.org"], id="all ours"),
        pytest.param("; session=somebody-else's", [], id="one of another application"),
    ],
)
async def test_domains(visit: Visit, secret_key: str, more: str, domains: list[str]) -> None:
    """Cookies of the domains above are deleted too, unless one may be another application's."""
    store = MemoryStore()
    own = Cookie(secret_keys=[secret_key], secure=False)
    keys = [await store.generate({"n": number}) for number in range(2)]
    pairs = [own.write(key, None).decode().partition(";")[0] for key in keys]
    client = visit(store, logout, https_only=False)
    client.base_url = "http://app.example.org:8000"

    response = await client.get("/logout", headers={"cookie": "; ".join(pairs) + more})

    deleted, _ = twins(response)
    named = [cookie.partition("domain=")[2] for cookie in deleted]
    assert [name for name in named if name] == domains


async def test_one_session_twice(visit: Visit, secret_key: str) -> None:
    """Two cookies with one key are one session, and a logout deletes both cookies."""
    store = MemoryStore()
    key = await store.generate({"user": "ann"})
    client = visit(store, read, logout, session_cookie="sid")
    pair = Cookie(secret_keys=[secret_key], name="sid").write(key, None).decode().partition(";")[0]
    header = {"cookie": f"{pair}; {pair}"}

    assert (await client.get("/read", headers=header)).json() == {"user": "ann"}
    deleted, _ = twins(await client.get("/logout", headers=header))

    assert {"; partitioned" in cookie for cookie in deleted} == {True, False}
