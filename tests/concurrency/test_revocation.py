"""Ending a user's sessions against every kind of write, in either order: nothing of them lives."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final, TypeAlias

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pgsession import Changes, PostgresStore, SessionNotFoundError, UnknownUserError
from pgsession.core.keys import digest
from pgsession.core.login import Login
from tests.concurrency.accounts import (
    ACCOUNTS,
    DELETE_ACCOUNT,
    DELETE_NUMBERED,
    DELETE_SESSIONS,
    LOCK_ACCOUNT,
    OTHER,
    USER,
)
from tests.concurrency.witness import Witness, eventually

Ending: TypeAlias = Callable[[PostgresStore, Witness, str], Coroutine[Any, Any, object]]
Writing: TypeAlias = Callable[[PostgresStore, str], Coroutine[Any, Any, object]]


@pytest.fixture
def race_schema(owned_schema: str) -> str:
    """The name of a schema with the table, whose sessions belong to accounts."""
    return owned_schema


@pytest.fixture(autouse=True)
async def accounts(witness: Witness) -> None:
    """Make the accounts of both users, unless they are there."""
    for statement in ACCOUNTS:
        await witness.execute(statement)


@pytest.fixture
async def other(store: PostgresStore) -> AsyncIterator[str]:
    """The key of a session of another user, which lives at the end too."""
    key = await store.login(None, Login(OTHER), Changes())
    yield key
    assert [it.handle for it in await store.devices(OTHER)] == [digest(key)]


async def end_surplus(store: PostgresStore, _: Witness, __: str) -> object:
    """End all but the newest session, which is a new one, and then that."""
    newest = await store.login(None, Login(USER), Changes())
    ended = await store.end_surplus(USER, 1)
    await store.clear(newest)
    return ended


async def revoke_within(store: PostgresStore, witness: Witness, _: str) -> object:
    """End all in a transaction of the application's."""
    async with await psycopg.AsyncConnection.connect(
        witness.conninfo, application_name=witness.name
    ) as connection:
        return await store.revoke_all(USER, connection=connection)


ENDINGS: Final[dict[str, Ending]] = {
    "revoke": lambda store, _, key: store.revoke(USER, digest(key)),
    "revoke_all": lambda store, _, __: store.revoke_all(USER),
    "in a transaction": revoke_within,
    "plain DELETE": lambda _, witness, __: witness.execute(DELETE_SESSIONS),
    "CASCADE": lambda _, witness, __: witness.execute(DELETE_ACCOUNT),
    "CASCADE of numbers": lambda _, witness, __: witness.execute(DELETE_NUMBERED),
    "the limit": end_surplus,
    "logout": lambda store, _, key: store.logout(key, 1),
}
WRITINGS: Final[dict[str, Writing]] = {
    "merge": lambda store, key: store.merge(key, Changes({"a": 1})),
    "set": lambda store, key: store.set(key, {"a": 1}),
    "touch": lambda store, key: store.touch(key),
    "renewal": lambda store, key: store.renew(key, Changes({"a": 1})),
    "confirmation": lambda store, key: store.confirm(key),
    "take": lambda store, key: store.take(key, "z"),
    "clear if empty": lambda store, key: store.clear(key, only_if_empty=True),
    "clear": lambda store, key: store.clear(key),
}
endings = pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
writings = pytest.mark.parametrize("writing", WRITINGS.values(), ids=WRITINGS)


@pytest.mark.usefixtures("long_patience", "other")
@endings
@writings
@pytest.mark.parametrize("is_first", [True, False], ids=["ended first", "written first"])
async def test_race(
    store: PostgresStore, witness: Witness, ending: Ending, writing: Writing, is_first: bool
) -> None:
    """Whatever comes first, nothing of the user lives afterwards."""
    key = await store.login(None, Login(USER), Changes({"z": 0}))
    racers = [ending(store, witness, key), writing(store, key)]

    outcomes = await witness.race(key, *(racers if is_first else reversed(racers)))

    assert await store.devices(USER) == []
    assert len(await witness.values()) == 1
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            assert isinstance(outcome, SessionNotFoundError)


@pytest.mark.usefixtures("other")
@endings
@pytest.mark.parametrize("writing", ["renew", "confirm", "login"])
async def test_held_open(
    store: PostgresStore, witness: Witness, ending: Ending, writing: str
) -> None:
    """While a renewal is not committed, each ending waits for it, and ends its session then."""
    key = await store.login(None, Login(USER), Changes())
    arguments = (Login(USER), Changes()) if writing == "login" else ()

    async with asyncio.TaskGroup() as group, store.exclusive(key) as held:
        await getattr(held, writing)(key, *arguments)
        task = group.create_task(ending(store, witness, key))
        await eventually(witness.has_met_deletion)
        assert not task.done()

    if (ending, writing) == (ENDINGS["logout"], "login"):
        assert task.result() is False
        assert len(await store.devices(USER)) == 1
    elif (ending, writing) != (ENDINGS["the limit"], "login"):
        assert await store.devices(USER) == []


@pytest.mark.usefixtures("long_patience", "other")
@endings
async def test_login_of_another(store: PostgresStore, witness: Witness, ending: Ending) -> None:
    """A session that another user has taken over before is theirs, and stays."""
    key = await store.login(None, Login(USER), Changes())

    outcomes = await witness.race(
        key, store.login(key, Login(OTHER), Changes()), ending(store, witness, key)
    )

    heir = str(outcomes[0])
    assert await store.devices(USER) == []
    assert (await store.get(heir)) is not None
    assert await store.revoke(OTHER, digest(heir))


@pytest.mark.usefixtures("long_patience", "other")
@endings
async def test_login_after(store: PostgresStore, witness: Witness, ending: Ending) -> None:
    """A login to a session that has ended meanwhile does not revive it."""
    key = await store.login(None, Login(USER), Changes())

    outcomes = await witness.race(
        key, ending(store, witness, key), store.login(key, Login(OTHER), Changes())
    )

    assert isinstance(outcomes[1], SessionNotFoundError)
    assert await store.devices(USER) == []


async def test_account_is_deleted(store: PostgresStore, witness: Witness) -> None:
    """A login that waits for the deletion of its account raises, and makes no session."""
    conninfo = make_conninfo(witness.conninfo, application_name="application")
    visitor = await store.generate()
    async with await psycopg.AsyncConnection.connect(conninfo) as connection:
        await connection.execute(DELETE_ACCOUNT)
        logins = [
            asyncio.create_task(store.login(key, Login(USER), Changes())) for key in (None, visitor)
        ]
        # The other sessions are served meanwhile.
        bystander = await store.login(None, Login(OTHER), Changes())
        await store.merge(bystander, Changes({"a": 1}))
        assert not any(login.done() for login in logins)

        await connection.commit()

        outcomes = await asyncio.gather(*logins, return_exceptions=True)

    assert all(isinstance(it, UnknownUserError) for it in outcomes)
    assert await store.devices(USER) == []
    assert await store.get(visitor) is not None


async def test_login_waits_for_the_account(store: PostgresStore, witness: Witness) -> None:
    """A login waits for an application's SELECT … FOR UPDATE of its user, and delays no other."""
    async with await psycopg.AsyncConnection.connect(witness.conninfo) as connection:
        await connection.execute(LOCK_ACCOUNT)
        login = asyncio.create_task(store.login(None, Login(USER), Changes()))
        for _ in range(20):
            await store.login(None, Login(OTHER), Changes())
        assert not login.done()
        await connection.rollback()

        key = await login

    assert [it.handle for it in await store.devices(USER)] == [digest(key)]
