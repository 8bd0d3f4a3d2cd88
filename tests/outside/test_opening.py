"""A session that is opened outside of a request: what is loaded, and what is saved."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from pgsession import (
    Changes,
    MemoryStore,
    PostgresStore,
    RequestEndedError,
    ResponseStartedError,
    Session,
    SessionEndedError,
    SessionNotFoundError,
    Sessions,
    Store,
    StoreUnavailableError,
)
from pgsession.core.current import current
from pgsession.core.tracked import state_of
from tests.applications import SECRET
from tests.outside.site import Site, headers
from tests.pages import NAME, key_of

CookieOf = Callable[[str], str]


async def test_changes(site: Site) -> None:
    """What a block changes is saved at its end."""
    await site.come("fill?user=ann&cart=tea")

    async with site.sessions.open(site.headers) as session:
        assert session == {"user": "ann", "cart": "tea"}
        session["progress"] = 1
        del session["cart"]

    assert await site.content() == {"user": "ann", "progress": 1}


async def test_parallel_request(site: Site) -> None:
    """A request during the block and the block itself keep each other's changes."""
    await site.come("fill?user=ann")

    async with site.sessions.open(site.headers) as session:
        session["progress"] = 1
        await site.come("fill?cart=tea")
        assert "cart" not in session

    assert await site.content() == {"user": "ann", "cart": "tea", "progress": 1}


async def test_error(site: Site) -> None:
    """If the block raises, nothing is saved, and the error is raised on."""
    await site.come("fill?user=ann")

    async def work(error: BaseException) -> None:
        async with site.sessions.open(site.headers) as session:
            session["progress"] = 1
            raise error

    for error in (LookupError(), asyncio.CancelledError()):
        with pytest.raises(type(error)):
            await work(error)
    assert await site.content() == {"user": "ann"}


async def test_statements(counted: PostgresStore, statements: list[str]) -> None:
    """An unchanged block is one statement, and a changed one two."""
    site = Site(counted)
    await site.come("fill?user=ann")
    statements.clear()

    async with site.sessions.open(site.headers) as session:
        assert session["user"] == "ann"
    assert len(statements) == 1

    async with site.sessions.open(site.headers) as session:
        session["progress"] = 1
    assert len(statements) == 3


async def test_no_connection(postgres: PostgresStore) -> None:
    """Blocks that are open hold no connection: more than the pool has may be."""
    site = Site(postgres)
    await site.come("fill?user=ann")
    both = asyncio.Barrier(5)

    async def work(name: str) -> None:
        async with site.sessions.open(site.headers) as session:
            session[name] = 1
            await both.wait()

    await asyncio.gather(*(work(f"w{n}") for n in range(5)))

    assert (await site.content()).keys() == {"user", "w0", "w1", "w2", "w3", "w4"}


async def test_after(site: Site) -> None:
    """After the block the session can be read, a change is an error, and it can be opened again."""
    await site.come("fill?user=ann")

    async with site.sessions.open(site.headers) as session:
        pass
    assert session["user"] == "ann"
    with pytest.raises(RequestEndedError):
        session["progress"] = 1
    with pytest.raises(RequestEndedError):
        await session.save()

    async with site.sessions.open(session) as again:
        again["progress"] = 1
    assert await site.content() == {"user": "ann", "progress": 1}


async def test_large(site: Site) -> None:
    """A session that is too large to be decoded at once is opened too."""
    await site.come("fill?user=ann")
    await site.store.merge(key_of(site.browser), Changes({f"m{n}": "x" * 999 for n in range(99)}))

    async with site.sessions.open(site.headers) as session:
        assert session["m98"] == "x" * 999
        session["m98"] = 1
        with pytest.raises(ResponseStartedError, match="outside of a request"):
            session.renew()

    assert (await site.content())["m98"] == 1


NEEDING_A_COOKIE: dict[str, Callable[[Session], object]] = {
    "login": lambda session: session.login("bob"),
    "confirm": lambda session: session.confirm(),
    "renew": lambda session: session.renew(),
    "period": lambda session: setattr(session, "period", 60),
}


@pytest.mark.parametrize("name", NEEDING_A_COOKIE)
async def test_needs_a_cookie(name: str) -> None:
    """What needs a cookie is an error at the call, and the rest of the block is saved."""
    site = Site(MemoryStore())
    await site.come("login")

    async with site.sessions.open(site.headers) as session:
        session["before"] = 1
        with pytest.raises(ResponseStartedError, match="outside of a request"):
            NEEDING_A_COOKIE[name](session)

    assert await site.content() == {"before": 1}
    assert session.user_id == "ann"


@pytest.mark.parametrize("saves", [False, True])
async def test_filled_after_the_end(site: Site, *, saves: bool) -> None:
    """A session that the block has ended cannot begin anew: its cookie could not be set."""
    await site.come("fill?user=ann")

    async def work() -> None:
        async with site.sessions.open(site.headers) as session:
            session.clear()
            await session.save()
            session["user"] = "eve"
            if saves:
                await session.save()

    with pytest.raises(ResponseStartedError, match="outside of a request"):
        await work()
    assert await site.content() == {}


@pytest.mark.parametrize("action", [Session.logout, Session.clear])
async def test_end(site: Site, action: Callable[[Session], None]) -> None:
    """A block can end the session."""
    await site.come("login")
    key, kept = key_of(site.browser), site.headers

    async with site.sessions.open(kept) as session:
        action(session)

    assert await site.store.get(key) is None
    with pytest.raises(SessionNotFoundError, match="has ended"):
        async with site.sessions.open(kept):
            pass
    with pytest.raises(SessionNotFoundError, match="no row"):
        async with site.sessions.open(session):
            pass


async def test_operations(site: Site) -> None:
    """`save`, `reload`, `take` and `exclusive` work in a block as in a request."""
    await site.come("fill?user=ann&once=code")

    async with site.sessions.open(site.headers) as session:
        session["saved"] = 1
        await session.save()
        await site.come("fill?cart=tea")
        await session.reload()
        assert session == {"user": "ann", "once": "code", "saved": 1, "cart": "tea"}
        assert await session.take("once") == "code"
        async with session.exclusive():
            session["saved"] += 1

    assert await site.content() == {"user": "ann", "saved": 2, "cart": "tea"}


@pytest.mark.parametrize("page", ["logout", "renew", "login"])
async def test_ended_before(site: Site, page: str) -> None:
    """A session that was signed out, or got another key, is not opened, and the error says so."""
    await site.come("fill?user=ann")
    kept = site.headers
    await site.come(page)

    with pytest.raises(SessionNotFoundError, match="has ended, has expired or has got a new key"):
        async with site.sessions.open(kept):
            pass


@pytest.mark.parametrize("page", ["logout", "renew"])
async def test_ended_meanwhile(site: Site, page: str) -> None:
    """If the session ends during the block, changes are an error, and nothing is written."""
    await site.come("fill?user=ann")

    async def work() -> None:
        async with site.sessions.open(site.headers) as session:
            session["progress"] = 1
            await site.come(page)

    with pytest.raises(SessionNotFoundError, match="its changes are not saved"):
        await work()
    assert await site.content() == ({} if page == "logout" else {"user": "ann"})


async def test_ended_meanwhile_unchanged(site: Site) -> None:
    """A block that has changed nothing loses nothing if the session ends meanwhile."""
    await site.come("fill?user=ann")

    async with site.sessions.open(site.headers) as session:
        await site.come("logout")
        with pytest.raises(SessionNotFoundError):
            await session.reload()


async def test_expired(store: Store) -> None:
    """A session that has expired is not opened."""
    site = Site(store)
    await site.come("fill?user=ann")
    await store.touch(key_of(site.browser), period=timedelta(seconds=-1))

    with pytest.raises(SessionNotFoundError, match="has expired"):
        async with site.sessions.open(site.headers):
            pass


@pytest.mark.parametrize(
    ("cookie", "says"),
    [
        pytest.param("x", "signed with none of these secrets", id="malformed"),
        pytest.param(f"{'k' * 40}...{'s' * 43}", "signed with none of these secrets", id="forged"),
        pytest.param(None, f"no cookie {NAME}", id="none"),
    ],
)
async def test_no_key(
    counted: PostgresStore, statements: list[str], cookie: str | None, says: str
) -> None:
    """Without a cookie that is ours nothing is opened, and no statement is sent."""
    statements.clear()

    with pytest.raises(SessionNotFoundError, match=says):
        async with Site(counted).sessions.open([] if cookie is None else headers(cookie)):
            pass

    assert statements == []


async def test_unavailable(closed_port: int) -> None:
    """A store that cannot answer is never taken for a session that has ended."""
    there = Site(MemoryStore())
    await there.come("fill?user=ann")
    site = Site(PostgresStore(host="127.0.0.1", port=closed_port))

    for source in (there.headers, there.session):
        with pytest.raises(StoreUnavailableError):
            async with site.sessions.open(source):
                pass


class Failing(MemoryStore):
    """A store that takes no writes once `is_away`."""

    is_away = False

    async def merge(self, *arguments: Any, **keywords: Any) -> Any:
        self._fail()
        return await super().merge(*arguments, **keywords)

    async def touch(self, *arguments: Any, **keywords: Any) -> Any:
        self._fail()
        return await super().touch(*arguments, **keywords)

    def _fail(self) -> None:
        if self.is_away:
            raise StoreUnavailableError("away")


async def test_unavailable_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes that cannot be saved are an error."""
    site = Site(Failing())
    await site.come("fill?user=ann")

    async def work() -> None:
        async with site.sessions.open(site.headers) as session:
            session["progress"] = 1
            monkeypatch.setattr(Failing, "is_away", True)

    with pytest.raises(StoreUnavailableError):
        await work()


async def test_extends(site: Site) -> None:
    """Opening a session is a use of it: the expiry is extended when that is due."""
    await site.come("fill?user=ann")
    key = key_of(site.browser)
    await site.store.touch(key, period=60)

    async with site.sessions.open(site.headers, extend=False):
        pass
    async with site.sessions.open(site.headers, extend=False) as session:
        session["progress"] = 1
    assert await _remaining(site.store, key) <= timedelta(seconds=60)

    async with site.sessions.open(site.headers):
        pass
    assert await _remaining(site.store, key) > timedelta(days=6)


async def test_extends_with_changes(site: Site) -> None:
    """A block with changes extends the expiry too, with the same statement."""
    await site.come("fill?user=ann")
    key = key_of(site.browser)
    await site.store.touch(key, period=60)

    async with site.sessions.open(site.headers) as session:
        session["progress"] = 1

    assert await _remaining(site.store, key) > timedelta(days=6)


async def test_extension_fails(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A block that has changed nothing goes on if only the expiry could not be extended."""
    site = Site(Failing())
    await site.come("fill?user=ann")
    await site.store.touch(key_of(site.browser), period=60)
    monkeypatch.setattr(Failing, "is_away", True)

    async with site.sessions.open(site.headers):
        pass

    assert "could not be extended" in caplog.text


async def _remaining(store: Store, key: str) -> timedelta:
    entry = await store.get(key)
    assert entry is not None
    return entry.period


async def test_current(site: Site) -> None:
    """The session that is open is the current one, and the one before is again after the block."""
    await site.come("fill?user=ann")
    found: list[object] = []

    def look() -> None:
        here = current.get()
        found.append(None if here is None else here.request)

    look()

    async with site.sessions.open(site.headers) as session:
        look()
        expected = [None, state_of(session).attachment]
        async with site.sessions.open(site.headers) as inner:
            look()
            expected += [state_of(inner).attachment, state_of(session).attachment, None]
        look()
    look()

    assert found == expected


async def test_streams(store: Store) -> None:
    """`lasting` and `ended` watch the session in a block, and `ended` no longer than that."""
    site = Site(store, watch_every=0.05)
    await site.come("login")

    async with site.sessions.open(site.headers) as session:
        waiting = asyncio.create_task(session.ended())
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await waiting

    async def work() -> None:
        async with site.sessions.open(site.headers) as session, session.lasting():
            await site.come("logout")
            await asyncio.Event().wait()

    with pytest.raises(SessionEndedError):
        await work()
    assert len(site.sessions.policy.watching.here()) == 0


async def test_first_use(
    postgres: PostgresStore, database_url: str, migrated_schema: str, cookie_of: CookieOf
) -> None:
    """A store that is closed is opened by the first use."""
    key = await postgres.generate({"user": "ann"})
    store = PostgresStore(database_url, schema=migrated_schema, pool_size=1)

    async with Sessions(store, SECRET).open({"cookie": cookie_of(key)}) as session:
        assert session == {"user": "ann"}

    await store.close()
