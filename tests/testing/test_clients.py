"""Signing in and looking into a session: with each kind of client, over both stores."""

from datetime import timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from pgsession import Session
from pgsession.testing import age, session_of, signed_in


def spoil(session: Session) -> None:
    session.clear()
    raise LookupError


def test_signed_in(client: TestClient) -> None:
    """A signed-in client is the user's, with the given content and nothing from before."""
    client.get("/count")

    assert signed_in(client, "ann", {"cart": [1], "label": 2}, label="laptop") is client

    assert client.get("/").json() == ["ann", {"cart": [1], "label": 2}]
    with session_of(client) as session:
        assert (session.label, session.stamp, session.actor_id) == ("laptop", None, None)


async def test_signed_in_async(async_client: Any) -> None:
    """A signed-in `AsyncClient` is the user's, with the given content and nothing from before."""
    await async_client.get("/count")

    given: dict[str, Any] = {"stamp": "3", "actor_id": "root", "period": timedelta(days=30)}
    assert await signed_in(async_client, "ann", {"cart": [1]}, **given) is async_client

    assert (await async_client.get("/")).json() == ["ann", {"cart": [1]}]
    async with session_of(async_client) as session:
        assert (session.label, session.stamp, session.actor_id) == (None, "3", "root")
        assert session.period == timedelta(days=30)


def test_session_of(client: TestClient) -> None:
    """A block sees what handlers have stored, also meanwhile, and what it stores is merged."""
    client.get("/count")

    with session_of(client) as session:
        assert dict(session) == {"count": 1}
        session["more"] = True
        client.get("/count")

    assert client.get("/").json() == [None, {"count": 2, "more": True}]


async def test_session_of_async(async_client: Any) -> None:
    """A block sees what handlers have stored, and can await the session's coroutines."""
    await async_client.get("/count")

    async with session_of(async_client) as session:
        assert dict(session) == {"count": 1}
        session["more"] = True
        await async_client.get("/count")
        await session.reload()
        assert dict(session) == {"count": 2, "more": True}

    assert (await async_client.get("/")).json() == [None, {"count": 2, "more": True}]


def test_new_session(client: TestClient) -> None:
    """A client without a session gets one and its cookie, if the block puts something in."""
    with session_of(client) as session:
        assert session.is_new
    assert not client.cookies

    with session_of(client) as session:
        session["cart"] = [1]

    assert client.get("/").json() == [None, {"cart": [1]}]


async def test_new_session_async(async_client: Any) -> None:
    """An `AsyncClient` without a session gets one, also if the block saves it itself."""
    async with session_of(async_client) as session:
        session["cart"] = [1]
        await session.save()

    assert (await async_client.get("/")).json() == [None, {"cart": [1]}]


def test_logout(client: TestClient) -> None:
    """A logout in a block ends the session and takes the cookie from the client."""
    signed_in(client, "ann")

    with session_of(client) as session:
        session.logout()

    assert client.get("/").json() == [None, {}]
    assert not client.cookies


def test_failing_block(client: TestClient) -> None:
    """A block that raises saves nothing, and its error comes out of it."""
    signed_in(client, "ann", {"cart": [1]})

    with pytest.raises(ZeroDivisionError), session_of(client) as session:
        session["cart"].append(1 / 0)
    with pytest.raises(LookupError), session_of(client) as session:
        spoil(session)

    assert client.get("/").json() == ["ann", {"cart": [1]}]


async def test_failing_block_async(async_client: Any) -> None:
    """The same holds for an `AsyncClient`."""
    await signed_in(async_client, "ann", {"cart": [1]})

    with pytest.raises(LookupError):
        async with session_of(async_client) as session:
            spoil(session)

    assert (await async_client.get("/")).json() == ["ann", {"cart": [1]}]


async def test_age_async(async_client: Any) -> None:
    """The session of an `AsyncClient` grows older, and ends."""
    await signed_in(async_client, "ann")

    await age(async_client, days=3, hours=1)
    async with session_of(async_client) as session:
        assert session.is_fresh(timedelta(days=4))
        assert not session.is_fresh(timedelta(days=3))

    await age(async_client, days=4)
    assert (await async_client.get("/")).json() == [None, {}]
