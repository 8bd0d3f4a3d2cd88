"""What the hammer does to users: pages that sign in and out, and tabs that ask for them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from random import Random
from types import SimpleNamespace
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from pgsession import PostgresStore, Session, SessionMiddleware, SessionSettings
from tests.concurrency.browsers import Slot, find_key, identify
from tests.concurrency.hammered_app import GONE, SECRET, Answer, call
from tests.concurrency.history import Outcome
from tests.concurrency.user_history import Act, Event, handle_of, name_of

#: Few users, so that each has many sessions, and a session has another user now and then.
USERS: Final = ("ann", "bob")

_SETTINGS: Final = SessionSettings(secret_key=SECRET)

#: How often, in percent, a tab chooses each act.
_HABITS: Final = {
    Act.ASK: 50,
    Act.LOGIN: 12,
    Act.CONFIRM: 13,
    Act.LOGOUT: 6,
    Act.LIST: 9,
    Act.REVOKE: 6,
    Act.REVOKE_ALL: 4,
}


def make_app(store: PostgresStore) -> SessionMiddleware:
    """Return an application whose paths name what they do to the user of the session."""

    async def listed(request: Request) -> Response:
        devices = await store.devices(request.query_params["user"])
        return JSONResponse([device.handle for device in devices])

    async def revoke(request: Request) -> Response:
        query = request.query_params
        return JSONResponse(int(await store.revoke(query["user"], query["handle"])))

    async def revoke_all(request: Request) -> Response:
        query = request.query_params
        keep = SimpleNamespace(handle=query["handle"])
        return JSONResponse(await store.revoke_all(query["user"], keep=keep))

    logging.getLogger("pgsession").addFilter(_is_unexpected)
    pages = {
        Act.LOGIN: _login,
        Act.ASK: _ask,
        Act.CONFIRM: _confirm,
        Act.LOGOUT: _logout,
        Act.LIST: listed,
        Act.REVOKE: revoke,
        Act.REVOKE_ALL: revoke_all,
    }
    routes = [Route(f"/{act.value}", page, methods=["POST"]) for act, page in pages.items()]
    return SessionMiddleware(Starlette(routes=routes), store, settings=_SETTINGS)


def _is_unexpected(record: logging.LogRecord) -> bool:
    """Return whether a log record says more than that somebody else was faster."""
    return record.levelno > logging.WARNING


async def _login(request: Request) -> Response:
    session = _session(request)
    await _tarry(request)
    session.login(request.query_params["user"])
    return JSONResponse(None)


async def _ask(request: Request) -> Response:
    return JSONResponse(_session(request).user_id)


async def _confirm(request: Request) -> Response:
    session = _session(request)
    if session.user_id is None:
        return Response(status_code=GONE)
    await _tarry(request)
    session.confirm()
    return JSONResponse(None)


async def _logout(request: Request) -> Response:
    session = _session(request)
    if session.user_id is None:
        return Response(status_code=GONE)
    await _tarry(request)
    session.logout()
    return JSONResponse(None)


def _session(request: Request) -> Session:
    session = request.session
    assert isinstance(session, Session)
    return session


async def _tarry(request: Request) -> None:
    """Let other requests load and save between our load and save."""
    for _ in range(len(request.headers.get("cookie", "")) % 4):
        await asyncio.sleep(0)


async def hammer_users(
    database_url: str,
    schema: str,
    slots: list[Slot],
    *,
    tasks: int,
    seconds: float,
    seed: int = 0,
) -> list[Event]:
    """Run the tabs of one process, and list all sessions; return what they saw."""
    async with PostgresStore(database_url, schema=schema, pool_size=4, timeout=30) as store:
        app = make_app(store)
        tabs = [UserTab(app, slots, Random(f"{seed}.{task}")) for task in range(tasks)]
        until = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            for tab in tabs:
                group.create_task(tab.run(lambda: time.monotonic() < until))
        await tabs[0].list_all()
    return [event for tab in tabs for event in tab.events]


class UserTab:
    """Sends requests one after the other, with the cookies in shared jars, and records them."""

    def __init__(self, app: ASGIApp, slots: list[Slot], random: Random) -> None:
        self._app = app
        self._slots = slots
        self._random = random
        #: Cookies that were in a jar, and sessions that were listed.
        self._old: list[str] = []
        self._handles: dict[str, list[str]] = {user: [] for user in USERS}
        self.events: list[Event] = []

    async def run(self, goes_on: Callable[[], bool]) -> None:
        """Act until told to stop."""
        acts, weights = list(_HABITS), list(_HABITS.values())
        while goes_on():
            slot, user = self._random.choice(self._slots), self._random.choice(USERS)
            (act,) = self._random.choices(acts, weights)
            if act in {Act.LIST, Act.REVOKE, Act.REVOKE_ALL}:
                await self._administer(act, user, slot)
            else:
                await self._browse(act, user, slot)

    async def list_all(self) -> None:
        """List the sessions of each user."""
        for user in USERS:
            await self._administer(Act.LIST, user, self._slots[0])

    async def _browse(self, act: Act, user: str, slot: Slot) -> None:
        held = slot.read()
        cookie = held.cookie
        if act is Act.ASK and self._old and self._random.random() < 0.3:
            cookie = self._random.choice(self._old)
        if not cookie:
            act = Act.LOGIN
        query = {"user": user} if act is Act.LOGIN else {}
        event, answer = await self._send(act, cookie, **query)
        given = answer.cookie if identify(answer.cookie)[0] else None
        match act:
            case Act.LOGIN | Act.CONFIRM:
                event["user"] = query.get("user", "")
                event["given"] = given and name_of(find_key(given))
                done = given is not None
                assert done or act is Act.CONFIRM, "A login got no cookie."
            case Act.LOGOUT:  # the response deletes the cookie of a session that has ended
                done = answer.status != GONE and answer.cookie is not None
            case _:
                event["found"], done = answer.content, True
        self._record(act, event, done=done)
        if given:
            slot.put(held, given)
            self._old = [*self._old[-20:], given]
        elif cookie == held.cookie and (act is Act.LOGOUT or event.get("found") is None):
            slot.put(held, "")

    async def _administer(self, act: Act, user: str, slot: Slot) -> None:
        handle = ""
        if act is Act.REVOKE:
            handle = self._random.choice(self._handles[user] or ["k" * 40])
        elif act is Act.REVOKE_ALL and (cookie := slot.read().cookie):
            handle = handle_of(name_of(find_key(cookie)))
        event, answer = await self._send(act, "", user=user, handle=handle)
        event |= {"user": user, "handle": handle}
        if act is Act.LIST:
            event["handles"], self._handles[user] = frozenset(answer.content), answer.content
        else:
            event["count"] = answer.content
        self._record(act, event, done=True)

    async def _send(self, act: Act, cookie: str, **query: str) -> tuple[dict[str, object], Answer]:
        key = name_of(find_key(cookie)) if cookie else ""
        invoked = time.monotonic()
        answer = await call(self._app, act.value, cookie=cookie or None, **query)
        if answer.status not in {200, GONE}:
            raise AssertionError(f"The application answered {answer.status}.")
        return {"key": key, "invoked": invoked, "returned": time.monotonic()}, answer

    def _record(self, act: Act, event: dict[str, object], *, done: bool) -> None:
        outcome = Outcome.OK if done else Outcome.FAILED
        told = {name: part for name, part in event.items() if part is not None}
        self.events.append(Event(act=act, outcome=outcome, **told))  # type: ignore[arg-type] # fields
