"""A connection keeps the cookie that it began with, while rotation gives the browser others."""

from datetime import timedelta

import pytest

from pgsession import PostgresStore, SessionNotFoundError, Store
from pgsession.core.cookie import Cookie
from tests.applications import SECRET
from tests.outside.site import Headers, Site

AT_ONCE = timedelta(microseconds=1)


class Rotated:
    """A site where a copy of a cookie ends its session, and a session of it."""

    def __init__(self, store: Store, key: str) -> None:
        self.store, self.key = store, key
        self.site = Site(store, rotate_every=60, rotation_grace=AT_ONCE, end_on_reuse=True)

    async def rotate(self, number: int) -> None:
        """Give out the next number, and have the browser show it."""
        await self.store.show(self.key, number)
        assert await self.store.rotate(self.key, number, grace=AT_ONCE) == number + 1

    def headers(self, number: int) -> Headers:
        """Return those of a connection that began when the cookie had this number."""
        cookie = Cookie(secret_keys=[SECRET]).write(self.key, None, number=number)
        return [(b"cookie", cookie.partition(b";")[0])]


@pytest.fixture
async def rotated(store: Store) -> Rotated:
    return Rotated(store, await store.generate({"user": "ann"}))


async def test_next(rotated: Rotated) -> None:
    """A connection goes on until the browser has shown the next number, and a grace longer."""
    await rotated.rotate(0)

    async with rotated.site.sessions.open(rotated.headers(0)) as session:
        session["opened"] = 1
    async with rotated.site.sessions.open(rotated.headers(1)) as session:
        assert session == {"user": "ann", "opened": 1}


async def test_too_old(rotated: Rotated, caplog: pytest.LogCaptureFixture) -> None:
    """A cookie that was replaced opens nothing, and neither ends the session nor is logged."""
    await rotated.rotate(0)
    await rotated.rotate(1)

    with pytest.raises(SessionNotFoundError, match="replaced by a rotation"):
        async with rotated.site.sessions.open(rotated.headers(0)):
            pass

    assert rotated.site.sessions.policy.reuse_log.count == 0
    assert caplog.records == []
    assert await rotated.store.get(rotated.key) is not None


async def test_session_of_before(rotated: Rotated) -> None:
    """A session that was opened in time is opened again, whatever was rotated since."""
    async with rotated.site.sessions.open(rotated.headers(0)) as session:
        pass
    for number in range(3):
        await rotated.rotate(number)

    async with rotated.site.sessions.open(session) as again:
        again["opened"] = 1

    entry = await rotated.store.get(rotated.key)
    assert entry is not None
    assert entry.value == {"user": "ann", "opened": 1}


async def test_request_of_before(rotated: Rotated) -> None:
    """The same holds for a request whose cookie was judged when it came."""
    site = rotated.site
    site.browser.headers["cookie"] = rotated.headers(0)[0][1].decode()
    await site.come("read")
    for number in range(3):
        await rotated.rotate(number)

    for source in (site.session, site.requests[-1]):
        async with site.sessions.open(source) as session:
            assert session == {"user": "ann"}


async def test_shows_nothing(postgres: PostgresStore) -> None:
    """Opening a session does not tell the store that the browser has shown a number: only a request
    does.
    """
    rotated = Rotated(postgres, await postgres.generate({"user": "ann"}))
    await rotated.rotate(0)

    async with rotated.site.sessions.open(rotated.headers(1)):
        pass

    entry = await postgres.get(rotated.key)
    assert entry is not None
    assert (entry.number, entry.shown_for) == (1, None)


async def test_ahead(store: Store) -> None:
    """A number that is ahead by one, as after a failover, is good; more is not."""
    rotated = Rotated(store, await store.generate({"user": "ann"}))

    async with rotated.site.sessions.open(rotated.headers(1)) as session:
        session["opened"] = 1
    with pytest.raises(SessionNotFoundError):
        async with rotated.site.sessions.open(rotated.headers(2)):
            pass
