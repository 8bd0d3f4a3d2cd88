"""What tests do with the session of a client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, overload

from anyio.from_thread import BlockingPortal, start_blocking_portal

from pgsession.core.period import Period
from pgsession.core.session import Session
from pgsession.errors import InvalidPeriodError
from pgsession.testing.aging import make_older
from pgsession.testing.clients import AsyncClient, Browser, Client, as_test_client
from pgsession.testing.visits import visit

if TYPE_CHECKING:  # it needs httpx2, or warns that it found httpx
    from starlette.testclient import TestClient

_TestClientT = TypeVar("_TestClientT", bound="TestClient")
_AsyncClientT = TypeVar("_AsyncClientT", bound=AsyncClient)


@overload
def session_of(client: TestClient) -> AbstractContextManager[Session]: ...
@overload
def session_of(client: AsyncClient) -> AbstractAsyncContextManager[Session]: ...
def session_of(
    client: Client,
) -> AbstractContextManager[Session] | AbstractAsyncContextManager[Session]:
    """Open the session of a client's cookie for a block.

    ``with session_of(client) as session: …``; with an `AsyncClient`, ``async with``. The
    block gets what a handler gets as `request.session`, from the application's own
    middleware. What it changes is saved at its end, and the client gets the cookie. A
    client without a session gets one, if the block puts something in. A block that
    raises, or that only reads, saves nothing.

    With a `TestClient` the session is loaded and saved in the client's event loop, so
    the coroutines of the session cannot be awaited in the block.

    Raises `SettingsError` if the client's application has no middleware of pgsession, or
    more than one, and if the client would not send the cookie; the errors of the store;
    and at the end of the block those of `Session.save`.
    """
    test_client = as_test_client(client)
    return visit(Browser(client)) if test_client is None else _visit_in_portal(test_client)


@overload
def signed_in(
    client: _TestClientT,
    user_id: str,
    content: Mapping[str, Any] | None = None,
    *,
    period: Period | None = None,
    stamp: str | None = None,
    label: str | None = None,
    actor_id: str | None = None,
) -> _TestClientT: ...
@overload
def signed_in(
    client: _AsyncClientT,
    user_id: str,
    content: Mapping[str, Any] | None = None,
    *,
    period: Period | None = None,
    stamp: str | None = None,
    label: str | None = None,
    actor_id: str | None = None,
) -> Awaitable[_AsyncClientT]: ...
def signed_in(
    client: Client,
    user_id: str,
    content: Mapping[str, Any] | None = None,
    *,
    period: Period | None = None,
    stamp: str | None = None,
    label: str | None = None,
    actor_id: str | None = None,
) -> Client | Awaitable[Client]:
    """Sign a user in with a client, without the application's login page; return the client.

    Await it with an `AsyncClient`. Afterwards the store has a session of this user with
    exactly this content, and the client has its cookie. A session that the client had
    before is gone. `period`, `stamp`, `label` and `actor_id` are those of
    `Session.login`; `max_sessions` holds too, but `on_new_device` is not called.

    Raises what `session_of` and `Session.login` do.
    """
    sign_in = partial(
        _sign_in,
        user_id=user_id,
        content=content or {},
        period=period,
        stamp=stamp,
        label=label,
        actor_id=actor_id,
    )
    test_client = as_test_client(client)
    if test_client is None:
        return _sign_in_async(client, sign_in)
    with _visit_in_portal(test_client) as session:
        sign_in(session)
    return client


@overload
def age(
    client: TestClient,
    *,
    days: float = 0,
    hours: float = 0,
    minutes: float = 0,
    seconds: float = 0,
) -> None: ...
@overload
def age(
    client: AsyncClient,
    *,
    days: float = 0,
    hours: float = 0,
    minutes: float = 0,
    seconds: float = 0,
) -> Awaitable[None]: ...
def age(
    client: Client,
    *,
    days: float = 0,
    hours: float = 0,
    minutes: float = 0,
    seconds: float = 0,
) -> Awaitable[None] | None:
    """Make the session of a client older, as if nobody had used it for so long.

    Await it with an `AsyncClient`. All times of its row move into the past: its expiry, when it
    was created and last extended, the last login or `confirm`, and when its cookie was
    first shown. The client keeps its cookie, also where a browser would have dropped it
    by now, so that the server decides.

    Raises `SessionNotFoundError` if the client has no living session,
    `InvalidPeriodError` unless the time is positive, `SettingsError` as `session_of` and
    for a store that is neither a `PostgresStore` nor a `MemoryStore`, and
    `StoreUnavailableError`.
    """
    by = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if by <= timedelta(0):
        raise InvalidPeriodError("age() takes a positive time, such as days=8.")
    browser, test_client = Browser(client), as_test_client(client)
    if test_client is None:
        return make_older(browser, by)
    with _portal_of(test_client) as portal:
        return portal.call(make_older, browser, by)


def _sign_in(
    session: Session,
    *,
    user_id: str,
    content: Mapping[str, Any],
    period: Period | None,
    stamp: str | None,
    label: str | None,
    actor_id: str | None,
) -> None:
    session.clear()
    session.login(user_id, period=period, stamp=stamp, label=label, actor_id=actor_id)
    session.update(content)


async def _sign_in_async(client: Client, sign_in: Callable[[Session], None]) -> Client:
    async with visit(Browser(client)) as session:
        sign_in(session)
    return client


@contextmanager
def _visit_in_portal(client: TestClient) -> Iterator[Session]:
    """Open the session of a client in its event loop."""
    with (
        _portal_of(client) as portal,
        portal.wrap_async_context_manager(visit(Browser(client))) as session,
    ):
        yield session


@contextmanager
def _portal_of(client: TestClient) -> Iterator[BlockingPortal]:
    """Run the client's event loop. Outside of ``with client`` it lasts for this block.

    What the client does meanwhile runs there too: a store belongs to one event loop.
    """
    if client.portal is not None:
        yield client.portal
        return
    with start_blocking_portal(**client.async_backend) as portal:
        client.portal = portal
        try:
            yield portal
        finally:
            client.portal = None
