"""A request that leaves nothing to commit goes a short way, with the result of the long one."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypedDict, TypeVar

import pytest
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from pgsession import (
    MemoryStore,
    SessionMiddleware,
    SessionSettings,
    StoreUnavailableError,
    take_flashes,
)
from pgsession.asgi.exchange import Exchange
from pgsession.asgi.stores import offered_store
from pgsession.core.cookie import Cookie
from pgsession.core.keys import SELECTOR_LENGTH
from pgsession.core.login import Login
from pgsession.core.store import Changes, Entry, Written

WEEK = timedelta(days=7)
DAY = timedelta(days=1)
LONG = timedelta(days=365)
OLD_SECRET = "an older secret of the tests that is long enough"
BODY: Message = {"type": "http.response.body", "body": b""}
SHARED = (b"cache-control", b"public, max-age=60")

#: How many turns of the event loop a call of the slow store takes.
TURNS = 20

_T = TypeVar("_T")

Action = Callable[[Scope], Awaitable[None]]
Seen = list[object]


class Members(TypedDict, total=False):
    """The members of the session."""

    user: str
    n: int
    cart: list[str]


class SlowStore(MemoryStore):
    """Notes each call in `seen` when it is done, and it takes a while."""

    def __init__(self, seen: Seen) -> None:
        super().__init__()
        self.seen = seen
        self.is_away = False

    async def get(self, key: str) -> Entry | None:
        if self.is_away:
            raise StoreUnavailableError
        return await self._noted("get", super().get(key))

    async def merge(self, key: str, changes: Changes, **how: Any) -> Written:
        if self.is_away:
            raise StoreUnavailableError
        return await self._noted("merge", super().merge(key, changes, **how))

    async def touch(self, key: str, **how: Any) -> Written:
        return await self._noted("touch", super().touch(key, **how))

    async def take(self, key: str, name: str, default: Any = None) -> Any:
        return await self._noted("take", super().take(key, name, default))

    async def _noted(self, name: str, call: Awaitable[_T]) -> _T:
        for _ in range(TURNS):
            await asyncio.sleep(0)
        result = await call
        self.seen.append(name)
        return result


async def nothing(_scope: Scope) -> None:
    pass


async def read(scope: Scope) -> None:
    scope["session"].get("user")


async def change(scope: Scope) -> None:
    scope["session"]["n"] = 2


async def change_deep(scope: Scope) -> None:
    scope["session"]["cart"].append("tea")


async def set_to_equal(scope: Scope) -> None:
    scope["session"]["cart"] = []


async def remove_all(scope: Scope) -> None:
    for name in list(scope["session"]):
        del scope["session"][name]


async def remove_all_typed(scope: Scope) -> None:
    """Remove a message, and all other members through an object."""
    members = scope["session"].typed(Members)
    del scope["session"]["flash:1"]
    members.clear()


async def flash(scope: Scope) -> None:
    scope["session"].flash("Saved.")


async def begin_to_save(scope: Scope) -> None:
    await change(scope)
    scope["task"] = asyncio.create_task(scope["session"].save())
    await asyncio.sleep(0)
    await change_deep(scope)


async def change_while_saved(scope: Scope) -> None:
    """Change the session while the response waits for the store, and when it has started."""

    async def change_more() -> None:
        for _ in range(TURNS // 2):
            await asyncio.sleep(0)
        await change_deep(scope)

    await change(scope)
    scope["task"] = asyncio.create_task(change_more())


async def change_and_end(scope: Scope) -> None:
    """Change the session, which another request ends meanwhile."""
    await change(scope)
    await offered_store(scope).clear(_key_of(scope))


async def change_and_rotate(scope: Scope) -> None:
    """Change the session, whose number another request raises meanwhile."""
    await change(scope)
    store, key = offered_store(scope), _key_of(scope)
    await store.show(key, 0)
    assert await store.rotate(key, 0, grace=timedelta(0)) == 1


async def change_and_lose_store(scope: Scope) -> None:
    await change(scope)
    store = offered_store(scope)
    assert isinstance(store, SlowStore)
    store.is_away = True


async def fill_again(scope: Scope) -> None:
    session = scope["session"]
    content = dict(session)
    session.clear()
    session.update(content)


async def renew(scope: Scope) -> None:
    scope["session"].renew()


async def set_period(scope: Scope) -> None:
    scope["session"].period = WEEK  # as before, but from now on its own


async def confirm(scope: Scope) -> None:
    scope["session"].confirm()


async def take_unread(scope: Scope) -> None:
    """Take a message for a template that does not show it."""
    await take_flashes(Request(scope))


async def begin_to_take(scope: Scope) -> None:
    scope["task"] = asyncio.create_task(scope["session"].take("n"))
    await asyncio.sleep(0)


async def replace_by_none(scope: Scope) -> None:
    scope["session"] = None


async def replace_as_in_litestar(scope: Scope) -> None:
    scope.update(litestar_app=None, route_handler=None, session={"n": 2})


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """A request: its cookie, and what the application does before and after the start."""

    before: Action = nothing
    after: Action = nothing
    status: int = 200
    headers: Callable[[], Any] = list
    #: How long the browser keeps its cookie; None if it has none.
    kept: timedelta | None = WEEK
    secret: str = ""
    period: timedelta = WEEK
    is_signed_in: bool = False
    #: The store cannot be reached.
    is_away: bool = False


#: Each shows another error in the conditions of the short way; see tests/mutants/requests.py.
SITUATIONS = {
    "read, no list": Situation(before=read, headers=lambda: iter([SHARED])),
    "used late, no list": Situation(after=read, headers=lambda: iter([SHARED])),
    "changed": Situation(before=change, headers=lambda: iter([SHARED])),
    "changed late": Situation(before=read, after=change),
    "changed before and late": Situation(before=change, after=change_deep),
    "changed deep": Situation(before=change_deep),
    "set to an equal list": Situation(before=set_to_equal),
    "changed while saved": Situation(before=change_while_saved),
    "changed, away": Situation(before=change_and_lose_store),
    "changed, failed": Situation(before=change, status=500),
    "changed, cookie behind": Situation(before=change, kept=DAY),
    "changed, touch due": Situation(before=change, kept=DAY, period=DAY),
    "changed, ended": Situation(before=change_and_end),
    "changed, rotated": Situation(before=change_and_rotate, kept=LONG, period=LONG),
    "being saved": Situation(before=begin_to_save),
    "emptied": Situation(before=remove_all),
    "emptied, of a user": Situation(before=remove_all, is_signed_in=True),
    "emptied, typed": Situation(before=remove_all_typed),
    "a message": Situation(before=flash),
    "filled again": Situation(before=fill_again),
    "renewed": Situation(before=renew),
    "given a period": Situation(before=set_period),
    "confirmed": Situation(before=confirm, is_signed_in=True),
    "taken, not shown": Situation(before=take_unread),
    "being taken": Situation(before=begin_to_take),
    "failed, changed late": Situation(before=read, after=change, status=500),
    "touch due": Situation(before=read, kept=DAY, period=DAY),
    "touch due, unused": Situation(kept=DAY, period=DAY),
    "cookie behind": Situation(kept=DAY),
    "older secret": Situation(before=read, secret=OLD_SECRET),
    "ended": Situation(before=replace_by_none),
    "away": Situation(is_away=True),
    "away, read": Situation(before=read, is_away=True),
    "visitor, read": Situation(kept=None, before=read),
    "visitor, used late, no list": Situation(kept=None, after=read, headers=lambda: iter([SHARED])),
    "visitor, replaced": Situation(kept=None, before=replace_as_in_litestar),
}


@pytest.mark.parametrize("situation", SITUATIONS.values(), ids=SITUATIONS)
async def test_same(
    situation: Situation,
    secret_key: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The response, the session that is left, the calls of the store and the log are the same."""
    short = await _serve(situation, secret_key, caplog)
    monkeypatch.setattr(Exchange, "_is_quiet", lambda _self, _message: False)
    monkeypatch.setattr(Exchange, "_is_visitor", property(_no, _ignore))

    assert short == await _serve(situation, secret_key, caplog)


def _no(_self: Exchange) -> bool:
    return False


def _ignore(_self: Exchange, _value: bool) -> None:
    pass


async def _serve(
    situation: Situation, secret_key: str, caplog: pytest.LogCaptureFixture
) -> tuple[Seen, object, list[str]]:
    """Serve a request; return what happened in which order, the session then, and the log."""
    seen: Seen = []
    store = SlowStore(seen)
    content = {"user": "ann", "n": 1, "cart": [], "flash:1": {"text": "Hi", "category": "info"}}
    key = await store.generate(content, period=situation.period)
    if situation.is_signed_in:
        key = await store.login(key, Login("ann"), Changes(), period=situation.period)
    store.is_away = situation.is_away
    cookie = Cookie(secret_keys=[situation.secret or secret_key])
    held = b"" if situation.kept is None else cookie.write(key, situation.kept).partition(b";")[0]
    caplog.clear()

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        await situation.before(scope)
        headers = situation.headers()
        start = {"type": "http.response.start", "status": situation.status, "headers": headers}
        await send(start)
        await situation.after(scope)
        await send(BODY)
        if "task" in scope:
            await scope["task"]

    async def send(message: Message) -> None:
        headers = [(name, _masked(value)) for name, value in message.get("headers", ())]
        seen.append({**message, "headers": headers})

    settings = SessionSettings(
        secret_key=(secret_key, OLD_SECRET),
        on_unavailable="anonymous",
        touch_after=LONG if situation.is_away else None,
    )
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "scheme": "https",
        "headers": [(b"cookie", held)],
    }
    await SessionMiddleware(app, store, settings=settings)(scope, _receive, send)
    rows = store._rows.values()  # noqa: SLF001 - `get` would not find one under another key
    left = [(_masked(row.text or b""), row.number, row.user is None) for row in rows]
    return seen, left, [record.getMessage() for record in caplog.records]


def _key_of(scope: Scope) -> str:
    [(_, held)] = scope["headers"]
    text: bytes = held.partition(b"=")[2]
    return text[:SELECTOR_LENGTH].decode()


async def _receive() -> Message:
    return {"type": "http.disconnect"}


def _masked(value: bytes) -> bytes:
    """Return a text without the random parts of cookies and of the names of messages."""
    return re.sub(rb"=[\w.-]{40,};|flash:[\w-]{33}", b"random", value)
