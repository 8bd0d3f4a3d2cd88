"""Rotation in requests: the number in the cookie, lost responses, copies, and what rotates not."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from httpx import AsyncClient, Response
from psycopg import Connection
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from pgsession import MemoryStore, PostgresStore, Session, SessionMiddleware, SessionSettings
from pgsession.core.cookie import Cookie, FoundCookie
from pgsession.errors import StoreUnavailableError
from tests.pages import NAME, count, fill, login, logout, pop, read, value_of

HOUR = 3600.0
MINUTES = timedelta(minutes=15)

Visit = Callable[..., AsyncClient]
Converse = Callable[..., Awaitable[list[Message]]]


def change(session: Session) -> None:
    session["n"] = session.get("n", 0) + 1


def public(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("", headers={"cache-control": "public, max-age=60"})


def public_and_used(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(dict(request.session)), headers={"cache-control": "public"})


def unused(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("")


def broken(request: Request) -> PlainTextResponse:
    request.session["user"] = "eve"
    return PlainTextResponse("", status_code=500)


PAGES = tuple(Route(f"/{it.__name__}", it) for it in (public, public_and_used, unused, broken))


@dataclass
class Site:
    """A site whose keys rotate, its store, and a browser with a session of it."""

    visit: Visit
    secret_key: str
    settings: dict[str, Any] = field(default_factory=dict)
    store: MemoryStore = field(default_factory=MemoryStore)
    #: The cookie in the browser.
    held: str = ""

    def __post_init__(self) -> None:
        self.client = self.open()

    def open(self, **settings: Any) -> AsyncClient:
        """Return a client of a further process of the site, with other settings."""
        given: dict[str, Any] = {"rotate_every": MINUTES, "secret_key": self.secret_key}
        own = SessionSettings(**given | self.settings | settings)
        actions = (fill, read, change, login, logout, pop)
        return self.visit(self.store, *actions, routes=PAGES, settings=own)

    async def come(self, page: str = "read", *, held: str = "", keep: bool = True) -> Response:
        """Request a page with the browser's cookie, or with a given one, and keep what comes."""
        cookie = held or self.held
        response = await self.client.get(f"/{page}", headers={"cookie": cookie} if cookie else {})
        self.client.cookies.clear()
        if keep and "set-cookie" in response.headers:
            self.held = response.headers["set-cookie"].partition(";")[0]
        return response

    async def begin(self) -> str:
        """Begin a session, show its cookie to the site, and return the key."""
        await self.come("fill")
        await self.come()
        return self.cookie.key

    def wait(self, seconds: float = HOUR) -> None:
        """Let the numbers and the last extension of all sessions grow older."""
        rows = self.store._rows  # noqa: SLF001 - as an UPDATE of the table would
        for key, row in rows.items():
            shown_at = None if row.shown_at is None else row.shown_at - seconds
            rows[key] = replace(row, seen_at=row.seen_at - seconds, shown_at=shown_at)

    async def rotate(self) -> str:
        """Rotate the key once, let the browser show the new number, and return the old cookie."""
        old = self.held
        self.wait()
        await self.come()
        await self.come()
        assert old != self.held
        return old

    @property
    def cookie(self) -> FoundCookie:
        return self.read(self.held)

    def read(self, held: str) -> FoundCookie:
        (found,) = Cookie(secret_keys=[self.secret_key]).find([(b"cookie", held.encode())])
        return found


@pytest.fixture
def site(visit: Visit, secret_key: str) -> Site:
    return Site(visit, secret_key)


@pytest.fixture
def strict_site(visit: Visit, secret_key: str) -> Site:
    """A site where a copy of a cookie ends the session."""
    return Site(visit, secret_key, {"end_on_reuse": True})


def is_set(response: Response) -> bool:
    return "set-cookie" in response.headers


async def test_number(site: Site) -> None:
    """Now and then a response carries the next number; the key and the content stay."""
    key = await site.begin()
    numbers = [site.cookie.number]
    for _ in range(3):
        await site.rotate()
        numbers.append(site.cookie.number)

    assert numbers == [0, 1, 2, 3]
    assert site.cookie.key == key
    assert (await site.come()).json() == {"user": "ann"}


async def test_no_sooner(site: Site) -> None:
    """Nothing rotates before the time has come, nor twice."""
    await site.begin()
    site.wait(800)
    assert not is_set(await site.come())

    site.wait(101)
    assert is_set(await site.come())
    assert not is_set(await site.come())


async def test_renewed(site: Site) -> None:
    """A login begins anew with zero, and its old key is dead at once and no reuse."""
    await site.begin()
    await site.rotate()
    old = site.held

    await site.come("login")
    response = await site.come(held=old, keep=False)

    assert response.json() == {}
    assert (site.cookie.number, len(site.cookie.key)) == (0, 73)
    await site.come()
    await site.rotate()
    assert (site.cookie.number, len(site.cookie.key)) == (1, 73)
    assert (await site.come()).json() == {"user": "ann"}


async def test_lost_response(site: Site) -> None:
    """The number before is answered with the new one again and again, until it was shown."""
    await site.begin()
    old = site.held
    site.wait()
    for _ in range(3):
        lost = await site.come(keep=False)
        assert site.read(lost.headers["set-cookie"].partition(";")[0]).number == 1
        site.wait()

    assert site.held == old
    assert (await site.come()).json() == {"user": "ann"}
    assert site.cookie.number == 1


async def test_any_process_answers(site: Site) -> None:
    """A process that does not rotate answers the number before with the new one too."""
    await site.begin()
    site.wait()
    await site.come(keep=False)
    site.client = site.open(rotate_every=None)

    await site.come()
    await site.come()

    assert site.cookie.number == 1
    assert (await site.come(held=await rotated_elsewhere(site), keep=False)).json() == {}


async def rotated_elsewhere(site: Site) -> str:
    """Let a process that rotates raise the number. Return the cookie before."""
    here, site.client = site.client, site.open()
    old = await site.rotate()
    site.wait()
    site.client = here
    return old


async def test_parallel(site: Site) -> None:
    """Of requests at the same time each is answered, and all carry the same number."""
    await site.begin()
    site.wait()

    responses = await asyncio.gather(*(site.come(keep=False) for _ in range(10)))

    texts = [it.headers["set-cookie"].partition(";")[0] for it in responses if is_set(it)]
    assert {site.read(text).number for text in texts} == {1}
    assert all(it.json() == {"user": "ann"} for it in responses)


async def test_grace(site: Site) -> None:
    """The number before opens the session for a while after the new one was shown."""
    await site.begin()
    old = await site.rotate()

    site.wait(50)
    response = await site.come(held=old, keep=False)
    assert response.json() == {"user": "ann"}
    assert site.read(response.headers["set-cookie"].partition(";")[0]).number == 1

    site.wait(20)
    response = await site.come(held=old, keep=False)
    assert response.json() == {}
    assert not is_set(response)


async def test_reuse_is_logged(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """A copy of an older cookie opens nothing, is logged without its key, and ends nothing."""
    key = await site.begin()
    old = await site.rotate()
    site.wait()

    response = await site.come(held=old, keep=False)

    assert (response.json(), is_set(response)) == ({}, False)
    (record,) = [it for it in caplog.records if it.levelno == logging.WARNING]
    assert "its number is 0, and its session's is 1" in record.message
    assert "opened no session" in record.message
    assert key not in caplog.text
    assert old not in caplog.text
    assert (await site.come()).json() == {"user": "ann"}


async def test_reuse_is_counted(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """A copy that comes again and again gives one line."""
    await site.begin()
    old = await site.rotate()
    site.wait()

    for _ in range(100):
        await site.come(held=old, keep=False)

    assert sum(it.levelno == logging.WARNING for it in caplog.records) == 1


async def test_reuse_ends(strict_site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """With `end_on_reuse` a copy ends the session, for the copy and for the browser."""
    await strict_site.begin()
    old = await strict_site.rotate()
    strict_site.wait()

    assert (await strict_site.come(held=old, keep=False)).json() == {}

    assert "The session was ended." in caplog.text
    assert (await strict_site.come()).json() == {}


async def test_thief_goes_on(strict_site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """If the copy has taken the next number, the browser's cookie is the one that is found."""
    await strict_site.begin()
    victim = strict_site.held
    await strict_site.rotate()  # by the thief
    strict_site.wait()

    assert (await strict_site.come(held=victim, keep=False)).json() == {}
    assert (await strict_site.come()).json() == {}
    assert "its number is 0" in caplog.text


async def test_renewal_is_no_reuse(strict_site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """A key that a login has retired ends nothing and is not logged, whatever its number is."""
    await strict_site.begin()
    oldest = await strict_site.rotate()
    old = strict_site.held
    await strict_site.come("login")
    strict_site.wait()

    for held in (oldest, old):
        assert (await strict_site.come(held=held, keep=False)).json() == {}

    assert (await strict_site.come()).json() == {"user": "ann"}
    assert caplog.text == ""


async def test_lost_commit(site: Site) -> None:
    """A number that is one ahead is good, and becomes the row's: a failover lost its commit."""
    key = await site.begin()
    await site.rotate()
    rows = site.store._rows  # noqa: SLF001 - as a failover to a standby that lags
    (before,) = rows.values()
    await site.rotate()
    (name,) = rows
    rows[name] = before

    assert (await site.come()).json() == {"user": "ann"}

    entry = await site.store.get(key)
    assert entry is not None
    assert (entry.number, entry.shown_for is None) == (2, False)
    assert site.cookie.number == 2


async def test_secret_and_old_cookie(site: Site) -> None:
    """With the secret, an old cookie becomes one with the present number, but not after a login."""
    key = await site.begin()
    await site.rotate()
    await site.rotate()

    forged = Cookie(secret_keys=[site.secret_key]).write(key, None, number=2).decode()
    held = forged.partition(";")[0]

    assert (await site.come(held=held, keep=False)).json() == {"user": "ann"}
    await site.come("login")
    assert (await site.come(held=held, keep=False)).json() == {}


@pytest.mark.parametrize("every", [MINUTES, None], ids=["rotates", "does not rotate"])
async def test_restored_backup(
    site: Site, caplog: pytest.LogCaptureFixture, every: timedelta | None
) -> None:
    """A number that is further ahead opens nothing, and is no reuse, also without rotation."""
    await site.begin()
    rows = site.store._rows  # noqa: SLF001 - as a backup that is restored
    ((name, before),) = rows.items()
    await site.rotate()
    await site.rotate()
    rows[name] = before
    site.client = site.open(rotate_every=every)

    assert (await site.come()).json() == {}
    assert caplog.text == ""


async def test_first_number(site: Site) -> None:
    """The first number is too old after two rotations, also where nothing rotates any more."""
    await site.begin()
    first = site.held
    await site.rotate()
    await site.rotate()
    site.client = site.open(rotate_every=None)

    assert (await site.come(held=first, keep=False)).json() == {}
    assert (await site.come()).json() == {"user": "ann"}


@pytest.mark.parametrize("page", ["broken", "public", "public_and_used"])
async def test_no_rotation(site: Site, page: str) -> None:
    """A response that failed, or that others may get too, does not rotate."""
    key = await site.begin()
    site.wait()

    response = await site.come(page)

    entry = await site.store.get(key)
    assert entry is not None
    assert (entry.number, is_set(response)) == (0, False)


@pytest.mark.parametrize("page", ["unused", "change"])
async def test_other_pages(site: Site, page: str) -> None:
    """A page that does not use the session rotates it, and one that changes it."""
    await site.begin()
    site.wait()

    await site.come(page)

    assert site.cookie.number == 1


async def test_websocket(site: Site, converse: Converse) -> None:
    """The handshake of a WebSocket does not rotate, and shows its number."""
    key = await site.begin()
    site.wait()

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        assert scope["session"] == {"user": "ann"}
        await send({"type": "websocket.accept"})

    settings = SessionSettings(secret_key=site.secret_key, rotate_every=MINUTES)
    headers = [(b"cookie", site.held.encode())]
    scope = {"type": "websocket", "scheme": "wss", "headers": headers}
    (accept,) = await converse(SessionMiddleware(app, site.store, settings=settings), scope)

    entry = await site.store.get(key)
    assert entry is not None
    assert entry.number == 0
    assert [name for name, _ in accept["headers"]] == [b"vary"]


async def test_just_extended(site: Site) -> None:
    """Nothing rotates while the cookie of an extension may still be on its way."""
    key = await site.begin()
    site.wait()
    await site.store.touch(key)

    assert not is_set(await site.come())

    site.wait(61)
    await site.come()
    assert site.cookie.number == 1


@pytest.mark.parametrize("rotates", [True, False], ids=["rotating", "not rotating"])
async def test_overtaken(site: Site, *, rotates: bool) -> None:
    """A cookie that is set again is not overtaken by one with the next number."""
    await site.begin()
    await site.rotate()
    site.wait()
    secrets = ["another secret that signs the cookies anew", site.secret_key]
    elsewhere = Site(site.visit, secrets[0], store=site.store)
    new: dict[str, Any] = {"secret_key": secrets} | ({} if rotates else {"rotate_every": None})
    elsewhere.client = elsewhere.open(**new)

    early = await elsewhere.come(held=site.held, keep=False)
    await elsewhere.come(held=site.held)
    late = early.headers["set-cookie"].partition(";")[0]
    site.client = site.open(secret_key=secrets)
    assert not is_set(await site.come(held=elsewhere.held, keep=False))  # nothing rotates now

    site.wait()
    assert (await site.come(held=late, keep=False)).json() == {"user": "ann"}


async def test_slow_writer(site: Site) -> None:
    """A request that learns a new number when it saves keeps the next from overtaking it."""
    key = await site.begin()
    old = site.held
    begun, go = asyncio.Event(), asyncio.Event()

    async def write_slowly(session: Session) -> None:
        begun.set()
        await go.wait()
        session["slow"] = True

    settings = SessionSettings(secret_key=site.secret_key, rotate_every=MINUTES)
    other = site.visit(site.store, write_slowly, settings=settings)
    writing = asyncio.create_task(other.get("/write_slowly", headers={"cookie": old}))
    await begun.wait()
    await site.rotate()
    site.wait()
    go.set()
    late = (await writing).headers["set-cookie"].partition(";")[0]

    assert site.read(late).number == 1
    assert await site.store.rotate(key, 1, grace=60) == 1


async def test_no_lower_number(site: Site) -> None:
    """A cookie that is set again has the number that another request has raised meanwhile."""
    key = await site.begin()
    site.wait()
    raised = asyncio.Event()

    async def read_meanwhile(session: Session) -> None:
        session.get("user")
        await site.store.rotate(key, 0, grace=60)
        raised.set()

    secrets = ["another secret that signs the cookies anew", site.secret_key]
    settings = SessionSettings(secret_key=secrets, rotate_every=MINUTES)
    other = site.visit(site.store, read_meanwhile, settings=settings)

    response = await other.get("/read_meanwhile", headers={"cookie": site.held})

    assert raised.is_set()
    text = response.headers["set-cookie"].partition(";")[0]
    (found,) = Cookie(secret_keys=secrets).find([(b"cookie", text.encode())])
    assert found.number == 1


@pytest.mark.parametrize("page", ["read", "change"])
async def test_extension(visit: Visit, secret_key: str, page: str) -> None:
    """A response that extends the expiry carries the number that the row has by then."""
    site = Site(visit, secret_key, {"touch_after": 0})
    key = await site.begin()
    site.wait()

    slow, rotated = asyncio.Event(), asyncio.Event()

    async def slowly(session: Session) -> None:
        session["seen"] = page == "change"
        slow.set()
        await rotated.wait()

    settings = SessionSettings(secret_key=secret_key, touch_after=0)
    other = visit(site.store, slowly, settings=settings)
    request = asyncio.create_task(other.get("/slowly", headers={"cookie": site.held}))
    await slow.wait()
    assert await site.store.rotate(key, 0, grace=60) == 1
    rotated.set()

    response = await request

    assert site.read(response.headers["set-cookie"].partition(";")[0]).number == 1


async def test_costs_nothing(visit: Visit, secret_key: str) -> None:
    """Without rotation no request calls anything but `get`; with it one shows each number."""
    calls: list[str] = []

    class CountingStore(MemoryStore):
        async def show(self, key: str, number: int) -> None:
            calls.append(f"show {number}")
            await super().show(key, number)

        async def rotate(self, key: str, number: int, *, grace: Any) -> int:
            calls.append(f"rotate {number}")
            return await super().rotate(key, number, grace=grace)

    site = Site(visit, secret_key, {"rotate_every": None}, store=CountingStore())
    await site.begin()
    site.wait()
    await site.come()
    assert calls == []

    site.client = site.open(rotate_every=MINUTES)
    await site.come()
    await site.come()
    site.wait()
    await site.come()
    await site.come()
    await site.come()
    assert calls == ["show 0", "rotate 0", "show 1"]


async def test_no_writes(visit: Visit, secret_key: str, caplog: pytest.LogCaptureFixture) -> None:
    """While a server takes no writes, requests go on without rotation, and try it only once."""
    tries = 0

    class ReadOnlyStore(MemoryStore):
        async def show(self, *_: Any) -> None:
            nonlocal tries
            tries += 1
            raise StoreUnavailableError

        async def rotate(self, *_: Any, **__: Any) -> int:
            nonlocal tries
            tries += 1
            raise StoreUnavailableError

    site = Site(visit, secret_key, store=ReadOnlyStore())
    await site.come("fill")
    for _ in range(3):
        assert (await site.come()).json() == {"user": "ann"}
    assert tries == 1

    ((name, row),) = site.store._rows.items()  # noqa: SLF001 - the number was shown
    site.store._rows[name] = replace(row, shown_at=row.seen_at)  # noqa: SLF001 - as above
    site.wait()
    site.client = site.open()
    for _ in range(3):
        assert (await site.come()).json() == {"user": "ann"}
    assert tries == 2
    assert caplog.text.count("could not be extended, its key not rotated") == 2


async def test_reuse_in_an_outage(visit: Visit, secret_key: str) -> None:
    """A copy whose session cannot be ended now gets a 503, and the next one ends it."""

    class FailingStore(MemoryStore):
        fails = False

        async def clear(self, *keys: Any, **how: Any) -> bool:
            if self.fails:
                raise StoreUnavailableError
            return await super().clear(*keys, **how)

    store = FailingStore()
    site = Site(visit, secret_key, {"end_on_reuse": True}, store=store)
    key = await site.begin()
    old = await site.rotate()
    site.wait()

    store.fails = True
    assert (await site.come(held=old, keep=False)).status_code == 503
    store.fails = False
    assert (await site.come(held=old, keep=False)).json() == {}

    assert await store.get(key) is None


async def test_ended_meanwhile(site: Site) -> None:
    """A session that ended before its number could be raised gets no cookie."""
    key = await site.begin()
    site.wait()
    began, ended = asyncio.Event(), asyncio.Event()

    async def slowly(_session: Session) -> None:
        began.set()
        await ended.wait()

    settings = SessionSettings(secret_key=site.secret_key, rotate_every=MINUTES)
    client = site.visit(site.store, slowly, settings=settings)
    request = asyncio.create_task(client.get("/slowly", headers={"cookie": site.held}))
    await began.wait()
    await site.store.clear(key)
    ended.set()

    assert not is_set(await request)


@pytest.mark.parametrize("order", [1, -1], ids=["older first", "newer first"])
async def test_twin_of_the_same_key(site: Site, order: int) -> None:
    """Of two cookies with one key the higher number counts: a browser has them of two paths."""
    await site.begin()
    old = await site.rotate()
    await site.rotate()

    response = await site.come(held="; ".join([old, site.held][::order]), keep=False)

    assert response.json() == {"user": "ann"}
    assert not is_set(response)


async def test_twin_that_is_too_old(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """A number that is too old does not hide the living session of another cookie."""
    older = await site.store.generate({"user": "bob"})
    text = Cookie(secret_keys=[site.secret_key]).write(older, timedelta(days=7)).decode()
    await site.begin()
    old = await site.rotate()
    site.wait()

    response = await site.come(held=f"{old}; {text.partition(';')[0]}", keep=False)

    assert response.json() == {"user": "bob"}
    assert "its number is 0" in caplog.text


@pytest.mark.parametrize("page", ["logout", "pop"])
async def test_ending(site: Site, page: str) -> None:
    """A logout of a session whose rotation is due ends it."""
    key = await site.begin()
    site.wait()

    response = await site.come(page, keep=False)

    assert response.headers["set-cookie"].startswith(f"{NAME}=null;")
    assert await value_of(site.store, key) is None


async def test_statements(
    *,
    visit: Visit,
    secret_key: str,
    counted: PostgresStore,
    statements: list[str],
    table: Connection,
) -> None:
    """In PostgreSQL each number costs two statements more, and other requests none."""
    settings = SessionSettings(secret_key=secret_key, rotate_every=MINUTES, end_on_reuse=True)
    client = visit(counted, fill, read, settings=settings)
    await client.get("/fill")
    old = {"cookie": f"{NAME}={client.cookies[NAME]}"}
    costs: list[int] = []

    async def come() -> Response:
        statements.clear()
        response = await client.get("/read")
        costs.append(sum(not it.startswith("SET") for it in statements))
        return response

    for _ in range(3):  # shows the number, and shows it again
        await come()
    age = "UPDATE session SET shown_on = shown_on - '1 h'::interval, seen_on = seen_on - '1 h'"
    table.execute(f"{age}::interval")
    rotated = [is_set(await come()) for _ in range(4)]
    table.execute(f"{age}::interval")

    assert (await client.get("/read", headers=old)).json() == {}
    assert rotated == [True, False, False, False]
    assert costs == [2, 1, 1, 2, 2, 1, 1]
    assert count(table) == 0
