"""The expiry of cookies and rows, and the secrets that sign cookies."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from httpx import AsyncClient
from psycopg import Connection
from starlette.applications import Starlette
from starlette.middleware import Middleware

from pgsession import MemoryStore, PostgresStore, Session, SessionMiddleware, SettingsError
from tests.pages import NAME, fill, max_age, read

WEEK = 7 * 86_400


def change(session: Session) -> None:
    session["n"] = session.get("n", 0) + 1


def replace(session: Session) -> None:
    n = session.get("n", 0)
    session.clear()
    session["n"] = n + 1


def remember(session: Session) -> None:
    session["user"] = "ann"
    session.period = timedelta(days=30)


def forget_me(session: Session) -> None:
    session.period = None


def remaining(table: Connection) -> float:
    query = "SELECT extract(epoch FROM expire_date - now())::float8 FROM session"
    ((seconds,),) = table.execute(query).fetchall()
    return float(seconds)


def age(table: Connection, seconds: float) -> None:
    """Move the expiry of the session forward by `seconds`."""
    table.execute(
        "UPDATE session SET expire_date = expire_date - make_interval(secs => %s)", (seconds,)
    )


@pytest.mark.parametrize(
    ("keywords", "cookie", "row"),
    [
        pytest.param({}, WEEK, WEEK, id="left out"),
        pytest.param({"max_age": 3600}, 3600, 3600, id="int"),
        pytest.param({"max_age": timedelta(hours=1)}, 3600, 3600, id="timedelta"),
        pytest.param({"max_age": 0.5}, 1, 0.5, id="rounded up"),
        pytest.param({"max_age": None}, None, WEEK, id="None"),
        pytest.param({"max_age": 500 * 86_400}, 400 * 86_400, 500 * 86_400, id="browsers' limit"),
    ],
)
async def test_max_age(
    *,
    visit: Callable[..., AsyncClient],
    postgres: PostgresStore,
    table: Connection,
    keywords: dict[str, Any],
    cookie: int | None,
    row: float,
) -> None:
    """The cookie expires with its row, or with the browser session."""
    response = await visit(postgres, fill, **keywords).get("/fill")

    assert max_age(response) == cookie
    assert row - 1 < remaining(table) <= row


async def test_default_period(visit: Callable[..., AsyncClient]) -> None:
    """Without `max_age`, the store's current default period counts."""
    store = MemoryStore()
    client = visit(store, change)

    store.default_period = timedelta(hours=2)

    assert max_age(await client.get("/change")) == 7200


async def test_change_slides(
    visit: Callable[..., AsyncClient], postgres: PostgresStore, table: Connection
) -> None:
    """A change extends both expiries once a tenth of the period has passed, as a read does."""
    client = visit(postgres, change)
    await client.get("/change")
    age(table, WEEK / 10 + 1)

    response = await client.get("/change")

    assert max_age(response) == WEEK
    assert remaining(table) == pytest.approx(WEEK, abs=1)


@pytest.mark.parametrize("handler", [change, replace])
async def test_change_slides_no_sooner(
    visit: Callable[..., AsyncClient],
    postgres: PostgresStore,
    table: Connection,
    handler: Callable[[Session], None],
) -> None:
    """Before that, a change leaves both expiries as they are."""
    client = visit(postgres, handler)
    await client.get(f"/{handler.__name__}")
    age(table, 3600)

    response = await client.get(f"/{handler.__name__}")

    assert "set-cookie" not in response.headers
    assert remaining(table) < WEEK - 3599


async def test_read_slides(
    visit: Callable[..., AsyncClient], postgres: PostgresStore, table: Connection
) -> None:
    """A read extends both expiries once a tenth of the period has passed."""
    client = visit(postgres, fill, read)
    await client.get("/fill")
    age(table, WEEK / 10 + 1)

    response = await client.get("/read")

    assert max_age(response) == WEEK
    assert remaining(table) == pytest.approx(WEEK, abs=1)


async def test_read_slides_no_sooner(
    visit: Callable[..., AsyncClient], postgres: PostgresStore, table: Connection
) -> None:
    """A read writes nothing before a tenth of the period has passed."""
    client = visit(postgres, fill, read)
    await client.get("/fill")
    age(table, WEEK / 10 - 60)

    response = await client.get("/read")

    assert "set-cookie" not in response.headers
    assert remaining(table) < WEEK - WEEK / 10 + 61


async def test_touch_after(
    visit: Callable[..., AsyncClient],
    counted: PostgresStore,
    table: Connection,
    statements: list[str],
) -> None:
    """Reads extend the expiry at most once per `touch_after`."""
    client = visit(counted, fill, read, touch_after=timedelta(hours=1))
    await client.get("/fill")
    age(table, 3601)
    statements.clear()

    cookies = ["set-cookie" in (await client.get("/read")).headers for _ in range(3)]

    assert cookies == [True, False, False]
    assert len(statements) == 4  # three reads, one touch


async def test_touch_without_look(
    visit: Callable[..., AsyncClient], postgres: PostgresStore, table: Connection
) -> None:
    """A request that does not look at the session extends its expiry too."""
    client = visit(postgres, fill)
    await client.get("/fill")
    age(table, WEEK / 2)

    response = await client.get("/elsewhere")

    assert max_age(response) == WEEK
    assert response.headers["vary"] == "Cookie"


async def test_remember_me(
    visit: Callable[..., AsyncClient], postgres: PostgresStore, table: Connection
) -> None:
    """A session that gets its own period keeps it."""
    month = 30 * 86_400
    client = visit(postgres, remember, change)

    assert max_age(await client.get("/remember")) == month
    assert remaining(table) == pytest.approx(month, abs=1)
    age(table, 86_400 * 3 + 1)
    assert max_age(await client.get("/change")) == month
    assert remaining(table) == pytest.approx(month, abs=1)


async def test_remember_me_later(
    visit: Callable[..., AsyncClient], postgres: PostgresStore, table: Connection
) -> None:
    """A session's own period takes effect at once, without another change."""

    def prolong(session: Session) -> None:
        session.period = 30 * 86_400

    client = visit(postgres, fill, prolong)
    await client.get("/fill")

    response = await client.get("/prolong")

    assert max_age(response) == 30 * 86_400
    assert remaining(table) == pytest.approx(30 * 86_400, abs=1)


async def test_remember_me_beyond_browser(visit: Callable[..., AsyncClient]) -> None:
    """A session's own period applies even if `max_age` is None: the cookie gets a Max-Age."""
    client = visit(MemoryStore(), fill, remember, max_age=None)

    assert max_age(await client.get("/fill")) is None
    assert max_age(await client.get("/remember")) == 30 * 86_400


@pytest.mark.parametrize("page", ["touched", "changed"])
@pytest.mark.parametrize("meanwhile", [timedelta(minutes=15), None], ids=["shorter", "default"])
@pytest.mark.parametrize("in_memory", [True, False], ids=["memory", "postgres"])
async def test_shortened_meanwhile(
    visit: Callable[..., AsyncClient],
    cookie_of: Callable[[str], str],
    postgres: PostgresStore,
    page: str,
    meanwhile: timedelta | None,
    *,
    in_memory: bool,
) -> None:
    """A request that did not set the period extends by the row's, in the row and in the cookie."""
    store = MemoryStore() if in_memory else postgres
    key = await store.generate({"user": "ann"}, period=timedelta(days=30), granted=True)
    known = {"cookie": cookie_of(key)}

    def shorten(session: Session) -> None:
        session.period = meanwhile

    async def slowly(session: Session) -> None:
        await client.get("/shorten", headers=known)
        if page == "changed":
            session["n"] = 1

    client = visit(store, shorten, slowly, touch_after=0)

    response = await client.get("/slowly", headers=known)

    expected = meanwhile or store.default_period
    entry = await store.get(key)
    assert entry is not None
    assert entry.granted == meanwhile
    assert expected - timedelta(seconds=20) < entry.period <= expected
    assert expected.total_seconds() - 20 < (max_age(response) or 0) <= expected.total_seconds()


async def test_forget_me(
    visit: Callable[..., AsyncClient], postgres: PostgresStore, table: Connection
) -> None:
    """A session whose own period is removed has the default period again."""
    client = visit(postgres, remember, forget_me)
    await client.get("/remember")

    response = await client.get("/forget_me")

    assert max_age(response) == WEEK
    assert remaining(table) == pytest.approx(WEEK, abs=1)


async def test_renewal_keeps_period(visit: Callable[..., AsyncClient]) -> None:
    """A renewed session keeps its own period."""

    def renew(session: Session) -> None:
        session.renew()

    client = visit(MemoryStore(), remember, renew)
    await client.get("/remember")

    assert max_age(await client.get("/renew")) == 30 * 86_400


async def test_lifetime(
    visit: Callable[..., AsyncClient], database_url: str, migrated_schema: str, table: Connection
) -> None:
    """Neither the cookie nor the row outlives the session's maximum lifetime."""
    async with PostgresStore(
        database_url, schema=migrated_schema, max_lifetime=timedelta(days=1)
    ) as store:
        client = visit(store, change, read)

        assert max_age(await client.get("/change")) == 86_400
        table.execute(
            "UPDATE session SET created_on = now() - interval '4 hours',"
            " expire_date = now() + interval '1 hour'"
        )
        assert max_age(await client.get("/change")) in {72_000, 71_999}
        assert (await client.get("/read")).json() != {}
        table.execute("UPDATE session SET created_on = created_on - interval '20 hours'")
        assert remaining(table) > 0
        assert (await client.get("/read")).json() == {}


async def test_lifetime_spares_touches(
    visit: Callable[..., AsyncClient], database_url: str, migrated_schema: str, table: Connection
) -> None:
    """Near the end of its lifetime, a session is not touched, because that would gain nothing."""
    async with PostgresStore(
        database_url, schema=migrated_schema, max_lifetime=timedelta(days=1)
    ) as store:
        client = visit(store, fill, read)
        await client.get("/fill")
        table.execute("UPDATE session SET created_on = now() - interval '23 hours'")

        assert max_age(await client.get("/read")) in {3600, 3599}
        assert "set-cookie" not in (await client.get("/read")).headers


async def test_expired(
    visit: Callable[..., AsyncClient], postgres: PostgresStore, table: Connection
) -> None:
    """An expired session is empty, and the next write gets a new key."""
    client = visit(postgres, fill, read)
    await client.get("/fill")
    old = client.cookies[NAME]
    age(table, WEEK + 1)

    assert (await client.get("/read")).json() == {}
    await client.get("/fill")

    assert client.cookies[NAME] != old


async def test_expires_under_way(
    visit: Callable[..., AsyncClient], postgres: PostgresStore, table: Connection
) -> None:
    """A session that expires during a request is not revived."""

    def change_slowly(session: Session) -> None:
        age(table, WEEK + 1)
        session["n"] = 1

    client = visit(postgres, fill, change_slowly, read)
    await client.get("/fill")

    response = await client.get("/change_slowly")

    assert "set-cookie" not in response.headers
    assert (await client.get("/read")).json() == {}


OLD = "the old secret that is long enough for HMAC"
NEW = "the new secret that is long enough for HMAC"


async def test_rotation(visit: Callable[..., AsyncClient]) -> None:
    """A cookie signed with a listed old secret works, and is signed with the new one at once."""
    store = MemoryStore()
    before = visit(store, fill, secret_key=OLD)
    await before.get("/fill")
    old = before.cookies[NAME]
    during = visit(store, read, change, secret_key=[NEW, OLD])
    during.cookies.update(before.cookies)

    response = await during.get("/read")
    assert response.json() == {"user": "ann"}

    (new,) = re.findall(rf"{NAME}=([^;]+)", response.headers["set-cookie"])
    assert new.partition(".")[0] == old.partition(".")[0]
    assert new != old
    after = visit(store, read, secret_key=NEW)
    assert (await after.get("/read", headers={"cookie": f"{NAME}={new}"})).json() == {"user": "ann"}


async def test_retired_secret(visit: Callable[..., AsyncClient]) -> None:
    """A cookie signed with a secret that is no longer listed opens an empty session."""
    store = MemoryStore()
    before = visit(store, fill, secret_key=OLD)
    await before.get("/fill")
    after = visit(store, read, secret_key=NEW)

    headers = {"cookie": f"{NAME}={before.cookies[NAME]}"}

    assert (await after.get("/read", headers=headers)).json() == {}


@pytest.mark.parametrize(
    ("base_url", "number"),
    [
        pytest.param("http://example.org", 1, id="plain"),
        pytest.param("https://example.org", 0, id="TLS"),
        pytest.param("http://localhost:8000", 0, id="localhost"),
        pytest.param("http://127.0.0.1:8000", 0, id="127.0.0.1"),
        pytest.param("http://[::1]:8000", 0, id="::1"),
        pytest.param("http://app.localhost:8000", 0, id="below localhost"),
        pytest.param("http://127.0.0.2", 0, id="127.0.0.2"),
        pytest.param("http://localhost.example.org", 1, id="like localhost"),
        pytest.param("http://127.0.0.1.example.org", 1, id="like 127.0.0.1"),
    ],
)
async def test_plain_http(
    visit: Callable[..., AsyncClient],
    caplog: pytest.LogCaptureFixture,
    base_url: str,
    number: int,
) -> None:
    """Plain HTTP logs one warning that browsers drop the cookie, except on the local host."""
    client = visit(MemoryStore(), fill)
    client.base_url = base_url

    await client.get("/fill")
    await client.get("/fill")

    assert len(caplog.records) == number


async def test_plain_http_allowed(
    visit: Callable[..., AsyncClient], caplog: pytest.LogCaptureFixture
) -> None:
    """A cookie without Secure causes no warning."""
    client = visit(MemoryStore(), fill, read, https_only=False)
    client.base_url = "http://example.org"

    await client.get("/fill")

    assert (await client.get("/read")).json() == {"user": "ann"}
    assert caplog.records == []


@pytest.mark.parametrize("secret", ["", "short", [], ["x" * 40, "short"], None], ids=repr)
async def test_weak_secret(secret: Any) -> None:
    """A missing or short secret is rejected when the middleware stack is built."""
    app = Starlette(
        middleware=[Middleware(SessionMiddleware, store=MemoryStore(), secret_key=secret)]
    )

    with pytest.raises(SettingsError, match="secret_key"):
        app.build_middleware_stack()


@pytest.mark.parametrize("in_memory", [True, False], ids=["memory", "postgres"])
async def test_inactivity_in_the_cookie(
    visit: Callable[..., AsyncClient],
    database_url: str,
    migrated_schema: str,
    *,
    in_memory: bool,
) -> None:
    """The cookie of a session with a longer period ends as `max_inactivity` says, at once."""
    limit = timedelta(hours=1)
    postgres = PostgresStore(database_url, schema=migrated_schema, max_inactivity=limit)
    store = MemoryStore(max_inactivity=limit) if in_memory else postgres
    client = visit(store, remember, read)

    assert max_age(await client.get("/remember")) == 3600
    assert "set-cookie" not in (await client.get("/read")).headers
    await store.close()
