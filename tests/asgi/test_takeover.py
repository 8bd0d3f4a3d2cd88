"""Visitors who come with a session of another middleware, from before the switch to ours."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient
from psycopg import Connection
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware as StarletteMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Message

from pgsession import (
    MemoryStore,
    OldCookie,
    OldSession,
    PostgresStore,
    Session,
    SessionMiddleware,
    SettingsError,
    Store,
    StoreUnavailableError,
    UserStore,
)
from pgsession.core.predecessor import end_of, remembered_for
from pgsession.predecessors import StarletteCookie
from tests.applications import SECRET
from tests.asgi.old_sessions import (
    CONTENT,
    DELETED,
    OLD,
    UNTIL,
    Kept,
    cookies_of,
    settings_with,
    signed,
)
from tests.pages import NAME, count, fail, logout, max_age, read

Visit = Callable[..., AsyncClient]

NEWER = "a newer secret of the tests that is long enough"


def renew(session: Session) -> None:
    session.renew()


def login(session: Session) -> None:
    session.login("bob")


def whose(session: Session) -> list[Any]:
    at = session.authenticated_at
    return [session.user_id, at is None or at < datetime(1971, 1, 1, tzinfo=UTC)]


def nothing(_: Session) -> None:
    """Leave the session alone, as far as the page can."""


async def untouched(_: Request) -> PlainTextResponse:
    return PlainTextResponse("")


async def public(_: Request) -> PlainTextResponse:
    return PlainTextResponse("", headers={"cache-control": "public, max-age=60"})


ROUTES = (Route("/untouched", untouched), Route("/public", public))
ACTIONS = (read, logout, renew, login, whose, fail)


@pytest.fixture
def memory() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def browse(visit: Visit) -> Callable[..., AsyncClient]:
    """Opens a browser with an old cookie, by default a new one of ann's."""

    def browse(store: Store, value: str | None = None, **changed: Any) -> AsyncClient:
        settings = settings_with(changed.pop("predecessor", None), **changed)
        client = visit(store, *ACTIONS, routes=ROUTES, settings=settings, raises=False)
        client.cookies.set("session", signed(CONTENT) if value is None else value)
        return client

    return browse


async def test_parallel(browse: Visit, users: UserStore) -> None:
    """Six first requests at once all get the content, under one key."""
    value = signed(CONTENT)
    clients = [browse(users, value) for _ in range(6)]

    responses = await asyncio.gather(*(it.get("/read") for it in clients))

    assert [it.json() for it in responses] == [CONTENT] * 6
    assert len({it.cookies[NAME].split(".")[0] for it in clients}) == 1
    assert (await clients[0].get("/read")).json() == CONTENT


async def test_one_row(browse: Visit, postgres: PostgresStore, table: Connection) -> None:
    """It is one row, and a marker beside it."""
    value = signed(CONTENT)
    await asyncio.gather(*(browse(postgres, value).get("/read") for _ in range(6)))

    assert count(table) == 2


async def test_headers(browse: Visit) -> None:
    """The first response sets our cookie, and is kept out of caches; the next does neither."""
    client = browse(MemoryStore())

    first = await client.get("/untouched")
    second = await client.get("/untouched")

    (cookie,) = cookies_of(first)
    assert cookie.startswith(f"{NAME}=")
    assert max_age(first) == 7 * 86_400
    assert first.headers["vary"] == "Cookie"
    assert first.headers["cache-control"] == "private, no-store"
    assert cookies_of(second) == []
    assert "vary" not in second.headers


async def test_shared(browse: Visit) -> None:
    """A response that caches may keep sets no cookie; the next one finds the session again."""
    client = browse(MemoryStore())

    shared = await client.get("/public")
    after = await client.get("/read")

    assert cookies_of(shared) == []
    assert shared.headers["cache-control"] == "public, max-age=60"
    assert after.json() == CONTENT
    assert NAME in client.cookies


async def test_logout(browse: Visit, users: UserStore) -> None:
    """After a logout the old cookie opens nothing, and the response deletes it."""
    value = signed(CONTENT)
    client = browse(users, value)
    await client.get("/read")

    response = await client.get("/logout")

    assert cookies_of(response)[0] == DELETED
    again = await browse(users, value).get("/read")
    assert again.json() == {}
    assert cookies_of(again) == []


async def test_logout_at_once(browse: Visit, memory: MemoryStore) -> None:
    """A logout with the old cookie alone ends the session too."""
    value = signed(CONTENT)

    response = await browse(memory, value).get("/logout")

    assert DELETED in cookies_of(response)
    assert (await browse(memory, value).get("/read")).json() == {}


@pytest.mark.parametrize("path", ["/renew", "/login"])
async def test_renewed(browse: Visit, memory: MemoryStore, path: str) -> None:
    """After a renewal or a login the old cookie alone opens nothing."""
    value = signed(CONTENT)
    client = browse(memory, value)
    await client.get(path)

    assert (await browse(memory, value).get("/read")).json() == {}
    assert (await client.get("/read")).json() == CONTENT


async def test_respelled(browse: Visit, memory: MemoryStore) -> None:
    """Another spelling of the old signature is no other session."""
    value = signed(CONTENT)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    respelled = value[:-1] + letters[letters.index(value[-1]) ^ 1]
    await browse(memory, value).get("/logout")

    assert (await browse(memory, respelled).get("/read")).json() == {}


async def test_rotated_secret(browse: Visit, memory: MemoryStore) -> None:
    """With a newer secret a living session is found, and one that has ended stays so."""
    living, ended = signed({"a": 1}), signed({"b": 1})
    await browse(memory, living).get("/read")
    await browse(memory, ended).get("/logout")

    found = await browse(memory, living, secret_key=[NEWER, SECRET]).get("/read")

    assert found.json() == {"a": 1}
    for secrets in ([NEWER, SECRET], [NEWER]):
        assert (await browse(memory, ended, secret_key=secrets).get("/read")).json() == {}


async def test_expired(browse: Visit) -> None:
    """A cookie that is too old for the other middleware is too old here."""
    expired = StarletteCookie(OLD, until=UNTIL, max_age=-1)

    response = await browse(MemoryStore(), predecessor=expired).get("/read")

    assert response.json() == {}


async def test_until(browse: Visit) -> None:
    """On the last day a session is taken over; after it nothing is even read."""
    today = datetime.now(UTC).date()
    last, over = (Kept({"a": {"n": 1}}, until=today - timedelta(days=it)) for it in (0, 1))

    assert (await browse(MemoryStore(), "a", predecessor=last).get("/read")).json() == {"n": 1}
    assert (await browse(MemoryStore(), "a", predecessor=over).get("/read")).json() == {}
    assert over.asked == []


async def test_ours(browse: Visit) -> None:
    """While a session of ours lives, the old cookie is not looked at."""
    kept = Kept({"a": CONTENT, "b": {"n": 1}}, until=UNTIL)
    client = browse(MemoryStore(), "a", predecessor=kept)
    await client.get("/read")
    client.cookies.set("session", "b")

    assert (await client.get("/read")).json() == CONTENT
    assert kept.asked == ["a"]


async def test_dead_ours(browse: Visit, users: UserStore) -> None:
    """A browser whose session of ours has ended is not taken over again.

    A process of the old application may have set another old cookie meanwhile.
    """
    predecessor = StarletteCookie(OLD, until=UNTIL, user_id=lambda content: content["user"])
    client = browse(users, predecessor=predecessor)
    await client.get("/whose")
    client.cookies.set("session", signed({**CONTENT, "cart": [2]}))
    await users.revoke_all("ann")

    for _ in range(2):
        assert (await client.get("/whose")).json() == [None, True]
    deletions = cookies_of(await client.get("/logout"))

    assert [it.partition("=")[0] for it in deletions] == ["session", NAME]


@pytest.mark.parametrize(
    "content", [{"a": "\x00"}, {"a": float("nan")}, {"a": "\ud800"}], ids=["null", "NaN", "half"]
)
async def test_unstorable(
    browse: Visit, memory: MemoryStore, content: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """A visitor whose content cannot be stored starts anew, and one line is logged."""
    responses = [await browse(memory, signed(content)).get("/read") for _ in range(1)]
    client = browse(memory, signed(content))
    responses += [await client.get("/read") for _ in range(2)]

    assert [(it.status_code, it.json()) for it in responses] == [(200, {})] * 3
    lines = [it for it in caplog.messages if "taken over" in it]
    assert len(lines) == 2  # one for each middleware


async def test_forged(browse: Visit, counted: PostgresStore, statements: list[str]) -> None:
    """A forged, altered or malformed old cookie costs no statement."""
    values = [signed(CONTENT, key="guessed"), signed(CONTENT)[1:], "null", "a" * 5000, "x"]

    responses = [await browse(counted, value).get("/read") for value in values]

    assert [it.json() for it in responses] == [{}] * len(values)
    assert statements == []


async def test_twins(browse: Visit) -> None:
    """Of several old cookies, the one that verifies counts."""
    client = browse(MemoryStore())
    value = client.cookies["session"]
    client.cookies.clear()
    headers = {"cookie": f"session=x.y.z; xsession={value}; session={value}; a=b"}

    assert (await client.get("/read", headers=headers)).json() == CONTENT


@pytest.mark.parametrize(
    ("header", "asked"),
    [
        pytest.param("a=b;session=c", ["c"], id="no blank"),
        pytest.param(" session=c ; session=c;session=d", ["c", "d"], id="several"),
        pytest.param("xsession=c; a=session=c", [], id="another name"),
        pytest.param('session="c"; session=; session=a b; session', [], id="no value"),
        pytest.param("session=session=c", ["session=c"], id="equals sign"),
        pytest.param("session=" + "c" * 4097, [], id="too long"),
        pytest.param("a=" + "b" * 65_536 + "; session=c", [], id="too late"),
        pytest.param("; ".join(f"session={it}" for it in range(99)), list("01234567"), id="many"),
    ],
)
async def test_found(browse: Visit, header: str, asked: list[str]) -> None:
    """Whole cookies of the name are read, a few of them, and none that is malformed."""
    kept = Kept(until=UNTIL)
    client = browse(MemoryStore(), predecessor=kept)
    client.cookies.clear()

    assert (await client.get("/read", headers={"cookie": header})).json() == {}
    assert kept.asked == asked


@pytest.mark.parametrize(
    ("headers", "seen"),
    [
        pytest.param({"user-agent": "another"}, {}, id="agent"),
        pytest.param({"accept-language": "another"}, {}, id="language"),
        pytest.param({"x-forwarded-for": "192.0.2.2, 192.0.2.9"}, {}, id="address"),
        pytest.param({"x-forwarded-for": "192.0.2.1, 192.0.2.8"}, {"n": 1}, id="other proxy"),
    ],
)
async def test_same_second(
    browse: Visit, memory: MemoryStore, headers: dict[str, str], seen: dict[str, Any]
) -> None:
    """Two browsers whose old cookies are the same, of visitors without a user, share nothing."""
    value = signed({"n": 1})
    one, other = browse(memory, value), browse(memory, value)
    one.headers["x-forwarded-for"] = other.headers["x-forwarded-for"] = "192.0.2.1, 192.0.2.9"
    other.headers.update(headers)

    assert (await one.get("/read")).json() == {"n": 1}
    assert (await other.get("/read")).json() == seen
    assert (await one.get("/read")).json() == {"n": 1}


@pytest.mark.parametrize(
    ("client", "forwarded", "is_same"),
    [
        pytest.param("192.0.2.2", None, False, id="address"),
        pytest.param(None, None, False, id="none"),
        pytest.param("192.0.2.2", b"for=192.0.2.7;proto=https, for=192.0.2.8", True, id="proxy"),
    ],
)
async def test_address(
    converse: Callable[..., Awaitable[list[Message]]],
    client: str | None,
    forwarded: bytes | None,
    *,
    is_same: bool,
) -> None:
    """The address of the connection counts only where no proxy names another one."""
    seen: list[Any] = []

    async def app(scope: Any, _: Any, __: Any) -> None:
        seen.append(dict(scope["session"]))

    middleware = SessionMiddleware(app, MemoryStore(), settings=settings_with())
    headers = [(b"cookie", f"session={signed(CONTENT)}".encode())]
    if forwarded is not None:
        headers.append((b"forwarded", forwarded))
    for address in ("192.0.2.1", client):
        at = None if address is None else (address, 1)
        await converse(middleware, {"headers": headers, "client": at})

    assert seen == [CONTENT, CONTENT if is_same else {}]


def user_id_of(content: Any) -> object:
    return content.get("user_id")


async def test_user(browse: Visit, users: UserStore) -> None:
    """With `user_id` the user is signed in, since long ago, and can end the session."""
    predecessor = StarletteCookie(OLD, until=UNTIL, user_id=user_id_of)
    value = signed({"user_id": 7})
    client = browse(users, value, predecessor=predecessor)
    other = browse(users, value, predecessor=predecessor)
    other.headers["user-agent"] = "another"

    assert (await client.get("/whose")).json() == ["7", True]
    assert (await other.get("/whose")).json() == ["7", True]
    assert len(await users.devices("7")) == 1
    assert await users.revoke_all("7") == 1
    for each in (client, other, browse(users, value, predecessor=predecessor)):
        assert (await each.get("/whose")).json() == [None, True]


@pytest.mark.parametrize("content", [{"n": 1}, {"n": 1, "user_id": ""}], ids=["none", "empty"])
async def test_visitor(browse: Visit, content: dict[str, Any]) -> None:
    """Content without a user signs nobody in."""
    predecessor = StarletteCookie(OLD, until=UNTIL, user_id=user_id_of)
    client = browse(MemoryStore(), signed(content), predecessor=predecessor)

    assert (await client.get("/whose")).json() == [None, True]
    assert (await client.get("/read")).json() == content


@pytest.mark.parametrize(
    "user_id",
    [
        pytest.param(lambda content: content["login"], id="raises"),
        pytest.param(lambda content: content["cart"], id="no text"),
    ],
)
async def test_no_user(browse: Visit, user_id: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A visitor whose user cannot be told starts anew, and one line is logged."""
    predecessor = StarletteCookie(OLD, until=UNTIL, user_id=user_id)

    response = await browse(MemoryStore(), predecessor=predecessor).get("/read")

    assert (response.status_code, response.json()) == (200, {})
    assert sum("taken over" in it for it in caplog.messages) == 1


async def test_accept(browse: Visit) -> None:
    """Content that the application does not accept makes no session."""

    async def accept(content: Any) -> bool:
        return bool(content["user"] != "ann")

    store = MemoryStore()
    predecessor = StarletteCookie(OLD, until=UNTIL, accept=accept)

    assert (await browse(store, predecessor=predecessor).get("/read")).json() == {}
    bob = browse(store, signed({"user": "bob"}), predecessor=predecessor)
    assert (await bob.get("/read")).json() == {"user": "bob"}


async def test_away(browse: Visit, caplog: pytest.LogCaptureFixture) -> None:
    """While the old sessions cannot be read, their visitors get a 503, and no cookie changes."""
    predecessor = Kept(until=UNTIL, error=LookupError("the value a-secret-value is unknown"))
    store = MemoryStore()

    refused = await browse(store, "a-secret-value", predecessor=predecessor).get("/read")
    served = await browse(
        store, "a-secret-value", predecessor=predecessor, on_unavailable="anonymous"
    ).get("/read")
    client = browse(store, predecessor=predecessor)
    client.cookies.clear()

    assert (refused.status_code, served.status_code) == (503, 200)
    assert cookies_of(refused) == cookies_of(served) == []
    assert (await client.get("/read")).status_code == 200
    assert any("LookupError" in it for it in caplog.messages)
    assert "a-secret-value" not in caplog.text


async def test_own_outage(browse: Visit, caplog: pytest.LogCaptureFixture) -> None:
    """A predecessor may say itself that it is unavailable, and why."""
    predecessor = Kept(until=UNTIL, error=StoreUnavailableError("The old Redis restarts."))

    response = await browse(MemoryStore(), "a", predecessor=predecessor).get("/read")

    assert response.status_code == 503
    assert "The old Redis restarts." in caplog.text


async def test_hanging(browse: Visit, database_url: str, migrated_schema: str) -> None:
    """An old store that does not answer within the timeout counts as unavailable."""

    class Hanging(Kept):
        async def load(self, _: str) -> OldSession | None:
            await asyncio.Event().wait()
            return None

    async with PostgresStore(database_url, schema=migrated_schema, timeout=1.0) as store:
        response = await browse(store, "a", predecessor=Hanging(until=UNTIL)).get("/read")

    assert response.status_code == 503


async def test_server_away(browse: Visit, closed_port: int) -> None:
    """While our own database is away, a valid old cookie gets a 503, a forged one does not."""
    store = PostgresStore(host="127.0.0.1", port=closed_port)

    assert (await browse(store).get("/read")).status_code == 503
    assert (await browse(store, "x.y.z").get("/read")).status_code == 200
    await store.close()


async def test_cross_site(browse: Visit) -> None:
    """A request with which our cookie would not come takes nothing over."""
    client = browse(MemoryStore())
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}

    assert (await client.get("/read", headers=headers)).json() == {}
    assert (await client.get("/read")).json() == CONTENT


async def test_deleted(browse: Visit) -> None:
    """With `delete` the response that sets our cookie deletes the old one, as it was set."""
    predecessor = StarletteCookie(
        OLD, until=UNTIL, delete=True, path="/app", domain="example.org", partitioned=True
    )
    client = browse(MemoryStore(), predecessor=predecessor)

    first, second = await client.get("/read"), await client.get("/read")

    assert cookies_of(first)[0] == (
        "session=null; path=/app; expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; httponly; "
        "samesite=lax; secure; domain=example.org; partitioned"
    )
    assert cookies_of(second) == []


async def test_kept(browse: Visit) -> None:
    """By default the old cookie stays: a process of the old application may still need it."""
    client = browse(MemoryStore())

    response = await client.get("/read")

    assert len(cookies_of(response)) == 1
    assert "session" in client.cookies


async def test_same_name(browse: Visit) -> None:
    """Where our cookie has the place of the old one, it replaces it."""
    predecessor = StarletteCookie(OLD, until=UNTIL, delete=True)
    client = browse(MemoryStore(), predecessor=predecessor, session_cookie="session")

    *deletions, cookie = cookies_of(await client.get("/read"))

    assert not any(it.startswith("session=null; path=/; ") for it in deletions)
    assert not cookie.startswith("session=null")


async def test_rolling_deploy() -> None:
    """The old application and ours serve one browser beside each other."""

    async def show(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.session.get("user", ""))

    async def sign_in(request: Request) -> PlainTextResponse:
        request.session["user"] = "ann"
        return PlainTextResponse("")

    routes = [Route("/", show), Route("/sign_in", sign_in)]
    apps = {
        "before": Starlette(
            routes=routes, middleware=[Middleware(StarletteMiddleware, secret_key=OLD)]
        ),
        "after": Starlette(
            routes=routes,
            middleware=[
                Middleware(SessionMiddleware, store=MemoryStore(), settings=settings_with())
            ],
        ),
    }

    async def balance(scope: Any, receive: Any, send: Any) -> None:
        await apps[scope["query_string"].decode()](scope, receive, send)

    browser = AsyncClient(transport=ASGITransport(balance), base_url="https://testserver")
    await browser.get("/sign_in?before")

    for each in ("after", "before", "after", "before"):
        assert (await browser.get(f"/?{each}")).text == "ann"


async def test_failure(browse: Visit) -> None:
    """A request that fails saves nothing, and the content is still there after it."""
    client = browse(MemoryStore())

    response = await client.get("/fail")

    assert response.status_code == 500
    assert (await client.get("/read")).json() == CONTENT


async def test_excluded(browse: Visit) -> None:
    """On an excluded path nothing is read."""
    kept = Kept({"a": CONTENT}, until=UNTIL)
    client = browse(MemoryStore(), "a", predecessor=kept, exclude=["/untouched"])

    response = await client.get("/untouched")

    assert cookies_of(response) == []
    assert kept.asked == []


async def test_lifetime(browse: Visit) -> None:
    """The longest lifetime counts from the moment at which the session was taken over."""
    client = browse(MemoryStore(max_lifetime=3600))

    response = await client.get("/read")

    assert max_age(response) in {3599, 3600}


async def test_rotated(browse: Visit) -> None:
    """Once the browser has shown a number of our cookie, the old cookie alone opens nothing."""
    store, value = MemoryStore(), signed(CONTENT)
    client = browse(store, value)
    await client.get("/read")
    key = client.cookies[NAME].split(".")[0]
    await store.show(key, 1)

    assert (await browse(store, value).get("/read")).json() == {}
    assert await store.get(key) is not None


async def test_websocket(converse: Callable[..., Awaitable[list[Message]]]) -> None:
    """A WebSocket gets the session, and our cookie with its acceptance."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        seen.append(dict(scope["session"]))
        await send({"type": "websocket.accept"})

    middleware = SessionMiddleware(app, MemoryStore(), settings=settings_with())
    headers = [(b"cookie", f"session={signed(CONTENT)}".encode())]
    accepted, *_ = await converse(
        middleware, {"type": "websocket", "headers": headers}, {"type": "websocket.connect"}
    )

    assert seen == [CONTENT]
    assert dict(accepted["headers"])[b"set-cookie"].startswith(NAME.encode())


async def test_proof(browse: Visit) -> None:
    """Where a bound session is required, a user who was taken over must sign in first."""
    predecessor = StarletteCookie(OLD, until=UNTIL, user_id=lambda content: content["user"])
    client = browse(
        MemoryStore(),
        predecessor=predecessor,
        device_binding=600,
        require_device_binding=lambda scope: scope["path"] == "/read",
    )

    assert (await client.get("/read")).json() == {}
    assert (await client.get("/whose")).json() == ["ann", True]


@pytest.mark.parametrize(
    ("expires", "least"),
    [
        pytest.param(timedelta(days=90), timedelta(days=90), id="period"),
        pytest.param(timedelta(days=-9), timedelta(days=30), id="until"),
        pytest.param(datetime.now(UTC) + timedelta(days=80), timedelta(days=79), id="date"),
        pytest.param(None, timedelta(days=36_000), id="never"),
    ],
)
def test_remembered(expires: Any, least: timedelta) -> None:
    """It is remembered until neither the old session nor the switch lasts any longer."""
    until = datetime.now(UTC).date() + timedelta(days=30)

    period = remembered_for(OldSession({}, "a", expires), until)

    assert least < period <= max(least + timedelta(days=3), timedelta(days=36_525))
    assert end_of(date(2027, 2, 1)) == datetime(2027, 2, 2, tzinfo=UTC)


def test_settings() -> None:
    """A predecessor without `load`, and a store that takes nothing over, are errors."""

    class Plain:
        def __getattr__(self, name: str) -> Any:
            if name in {"adopt", "record_client"}:
                raise AttributeError(name)
            return lambda: None

    with pytest.raises(SettingsError, match="predecessor"):
        settings_with(OldCookie(until=UNTIL))
    with pytest.raises(SettingsError, match="AdoptingStore"):
        SessionMiddleware(nothing, Plain(), settings=settings_with())  # type: ignore[arg-type] # wrong on purpose


def test_repr(caplog: pytest.LogCaptureFixture) -> None:
    """Neither the settings nor an old session show a secret or content in their repr."""
    caplog.set_level(logging.DEBUG)

    assert OLD not in repr(settings_with())
    assert "ann" not in repr(OldSession(CONTENT, "ann"))
