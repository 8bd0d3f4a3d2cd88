"""One process of several in which a user signs in again and again, at the same time."""

from __future__ import annotations

import asyncio

from psycopg import AsyncConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from pgsession import PostgresStore, Session, SessionMiddleware, SessionSettings
from tests.concurrency.visits import SECRET, visit

#: The advisory locks that hold the processes up before each round.
GATE = 7_316_225


def run(database_url: str, schema: str, *, rounds: int, logins: int, most: int) -> list[int]:
    """Sign the users ``0``, ``1`` … in, `logins` times each; return the status of each answer."""
    return asyncio.run(_run(database_url, schema, rounds, logins, most))


async def _run(database_url: str, schema: str, rounds: int, logins: int, most: int) -> list[int]:
    settings = SessionSettings(secret_key=SECRET, max_sessions=most)
    statuses: list[int] = []
    async with (
        PostgresStore(database_url, schema=schema, pool_size=4) as store,
        await AsyncConnection.connect(database_url, autocommit=True) as connection,
    ):
        for number in range(rounds):
            app = SessionMiddleware(_signing_in(str(number)), store, settings=settings)
            await connection.execute("SELECT pg_advisory_lock_shared(%s, %s)", (GATE, number))
            answers = await asyncio.gather(*(visit(app) for _ in range(logins)))
            statuses += [answer.status for answer in answers]
    return statuses


def _signing_in(user_id: str) -> ASGIApp:
    async def app(scope: Scope, _: Receive, send: Send) -> None:
        session = scope["session"]
        assert isinstance(session, Session)
        session.login(user_id)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    return app
