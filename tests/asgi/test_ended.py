"""A session that is used after its request is over."""

import asyncio
import copy
import gc
import logging
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from httpx import AsyncClient
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pgsession import MemoryStore, RequestEndedError, Session
from pgsession.asgi.ended import EndedSession
from pgsession.core.tracked import WRITES, state_of


@pytest.fixture
async def ended(visit: Callable[..., AsyncClient], monkeypatch: pytest.MonkeyPatch) -> Session:
    """The session of a request that is over."""
    monkeypatch.setattr(EndedSession, "given", set())
    kept: list[Session] = []

    async def keep(request: Request) -> Response:
        session = request.session
        assert isinstance(session, Session)
        session.update(user="ann", cart=[1])
        kept.append(session)
        return Response()

    await visit(MemoryStore(), routes=(Route("/", keep),)).get("/")
    return kept[0]


async def test_kept_context(visit: Callable[..., AsyncClient]) -> None:
    """A timer that a server starts in a request does not keep the request in memory."""
    requests: list[weakref.ref[object]] = []
    timers: list[asyncio.TimerHandle] = []

    async def read(request: Request) -> Response:
        session = request.session
        assert isinstance(session, Session)
        requests.append(weakref.ref(state_of(session).attachment))
        timers.append(asyncio.get_running_loop().call_later(60, print))
        return Response()

    await visit(MemoryStore(), routes=(Route("/", read),)).get("/")
    gc.collect()

    assert requests[0]() is None
    timers[0].cancel()


CHANGES: dict[str, Callable[[Any], object]] = {
    "__delitem__": lambda it: it.__delitem__("user"),
    "__ior__": lambda it: it.__ior__({"user": "bob"}),
    "__setitem__": lambda it: it.__setitem__("user", "bob"),
    "clear": lambda it: it.clear(),
    "pop": lambda it: it.pop("missing", None),
    "popitem": lambda it: it.popitem(),
    "setdefault": lambda it: it.setdefault("user", "bob"),
    "update": lambda it: it.update(user="bob"),
    "renew": lambda it: it.renew(),
    "period": lambda it: setattr(it, "period", 60),
    "exclusive": lambda it: it.exclusive(),
}


@pytest.mark.parametrize("name", CHANGES)
async def test_change(ended: Session, name: str) -> None:
    """A change is an error that says what to do, and changes nothing."""
    with pytest.raises(RequestEndedError, match="before the request ends"):
        CHANGES[name](ended)

    assert ended == {"user": "ann", "cart": [1]}


async def test_change_is_logged(ended: Session, caplog: pytest.LogCaptureFixture) -> None:
    """A change is logged once, because nobody may see the error of a task."""
    for _ in range(2):
        with pytest.raises(RequestEndedError):
            ended["user"] = "bob"

    (record,) = caplog.records
    assert "was changed after its request had ended" in record.message


async def test_bound_before(visit: Callable[..., AsyncClient]) -> None:
    """A method that was taken from the session before the end is an error too."""
    bound: list[Any] = []

    def take(session: Session) -> None:
        bound.extend((session.pop, session.update, session.__setitem__, session.clear))

    await visit(MemoryStore(), take).get("/take")

    for change in bound:
        with pytest.raises(RequestEndedError):
            change(*["user"] * {"pop": 1, "__setitem__": 2}.get(change.__name__, 0))


def test_every_change() -> None:
    """Every method that changes a dict is among those that are an error."""
    assert {*WRITES} <= CHANGES.keys()


@pytest.mark.parametrize("call", [Session.save, Session.reload, lambda it: it.take("user")])
async def test_store(ended: Session, call: Callable[[Session], Any]) -> None:
    """A call of the store is an error too."""
    with pytest.raises(RequestEndedError):
        await call(ended)


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(lambda it: it["cart"].append(2), id="subscript"),
        pytest.param(lambda it: it.get("cart").append(2), id="get"),
        pytest.param(lambda it: list(it.values()), id="values"),
        pytest.param(lambda it: dict(it.items()), id="items"),
        pytest.param(lambda it: it.copy(), id="copy"),
        pytest.param(dict, id="dict"),
    ],
)
async def test_list(
    ended: Session, caplog: pytest.LogCaptureFixture, read: Callable[[Session], object]
) -> None:
    """Reading a list logs one warning, because nothing would notice a change of it."""
    read(ended)
    read(ended)

    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "A change of it is not saved" in record.message


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(lambda it: it["user"], id="text"),
        pytest.param(lambda it: it.get("missing", []), id="default that is a list"),
        pytest.param(lambda it: "cart" in it, id="in"),
        pytest.param(list, id="names"),
        pytest.param(bool, id="truth"),
        pytest.param(repr, id="repr"),
        pytest.param(lambda it: it.period, id="period"),
        pytest.param(copy.deepcopy, id="deep copy"),
        pytest.param(lambda it: pickle.loads(pickle.dumps(it)), id="pickle"),  # noqa: S301 - ours
    ],
)
async def test_read(
    ended: Session, caplog: pytest.LogCaptureFixture, read: Callable[[Session], object]
) -> None:
    """Reading what cannot be changed is fine."""
    read(ended)

    assert caplog.records == []
