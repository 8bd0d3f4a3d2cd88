"""The formats of other session middlewares, as these have written them."""

import json
import pickle
from base64 import b64encode
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from itsdangerous import Signer, TimestampSigner
from psycopg import Connection
from psycopg_pool import AsyncConnectionPool
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient
from starsessions import InMemoryStore, SessionAutoloadMiddleware
from starsessions import SessionMiddleware as StarSessionMiddleware
from starsessions.stores import CookieStore

from pgsession import InvalidValueError, SettingsError
from pgsession.predecessors import DjangoTable, FlaskRedis, StarletteCookie, StarsessionsStore
from pgsession.predecessors.django_table import read_data, signing_secret

UNTIL = date(2100, 1, 1)
OLD = "old secret"

#: Nothing that fits.
ANY: Any = object()

#: What Django 5.2 stores, with this SECRET_KEY.
DJANGO_KEY = "the key of a Django project"
PLAIN = (
    "eyJfYXV0aF91c2VyX2lkIjoiNyIsIm5hbWUiOiJab1x1MDBlYiJ9:1xXEaN:"
    "_IRxp92fwR69MEI9_ls6HtkfUrSBxn6nczt4uEcvtNc"
)
#: The same as PLAIN, signed with "a newer key".
RESIGNED = (
    "eyJfYXV0aF91c2VyX2lkIjoiNyIsIm5hbWUiOiJab1x1MDBlYiJ9:1xXEaN:"
    "MrQzMyxyFOQLd4sYs6oyOrZSorcvZ53gPJvwfjHfqRk"
)
COMPRESSED = (
    ".eJyrVopPLC3JiC8tTi2Kz0xRslIyV9JRSk4sKlGyilYqSE0sAnJHKRQqthYAZhdd7Q:1xXEaN:"
    "N5mNSgdMUKJXE1XHrffmab1F7ARVHd_ftmzc8MibI7U"
)

#: What Flask-Session 0.8 stores in its two formats, and its cookie with SESSION_USE_SIGNER.
FLASK_KEY = "the key of a Flask application"
FLASK_ID = "ZNY6bCkQ_zriIJmjk8T6ItXGhtJfI5MDhEFeMOspE_U"
FLASK_SIGNED = f"{FLASK_ID}.kNtcCJUCSbqKUS5cHutYswuOiDE"
MSGPACK = b"\x83\xaa_permanent\xc3\xa4user\xa3ann\xa1n\x93\x01\xcb@\x04\x00\x00\x00\x00\x00\x00\xc0"
JSON_TEXT = b'{"_permanent":true,"user":"ann","n":[1,2.5,null]}'
FLASK_CONTENT = {"user": "ann", "n": [1, 2.5, None]}


async def fill(request: Request) -> Response:
    request.session["user"] = "ann"
    return Response()


def cookie_of(*middleware: Middleware) -> str:
    """Return the cookie that an application with another session middleware sets."""
    app = Starlette(routes=[Route("/", fill)], middleware=middleware)
    with TestClient(app, base_url="https://testserver") as visitor:
        return visitor.get("/").headers["set-cookie"].split(";")[0].removeprefix("session=")


class Redis:
    """What Redis holds, by its keys, and what was asked for."""

    def __init__(self, **held: bytes) -> None:
        self.held, self.asked = held, list[str]()

    async def get(self, name: str, /) -> bytes | None:
        self.asked.append(name)
        return self.held.get(name)


def signed(content: object, *, key: str = OLD) -> str:
    return TimestampSigner(key).sign(b64encode(json.dumps(content).encode())).decode()


async def test_starlette() -> None:
    """A session of Starlette's middleware is read, with its end and its second."""
    value = cookie_of(Middleware(SessionMiddleware, secret_key=OLD))

    old = await StarletteCookie(OLD, until=UNTIL).load(value)

    assert old is not None
    assert old.content == {"user": "ann"}
    assert isinstance(old.expires, datetime)
    in_two_weeks = datetime.now(UTC) + timedelta(days=14)
    assert abs(old.expires - in_two_weeks) < timedelta(minutes=1)
    assert not old.is_unique


async def test_cookie_store() -> None:
    """A session of starsessions' CookieStore is read as one of Starlette's."""
    value = cookie_of(
        Middleware(StarSessionMiddleware, store=CookieStore(OLD), lifetime=60),
        Middleware(SessionAutoloadMiddleware),
    )

    old = await StarletteCookie(OLD, until=UNTIL, max_age=60).load(value)

    assert old is not None
    assert old.content == {"user": "ann"}


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(signed({"a": 1}, key="another"), id="another secret"),
        pytest.param(signed({"a": 1})[:-2], id="cut"),
        pytest.param("x" + signed({"a": 1}), id="altered"),
        pytest.param(signed([1]), id="no object"),
        pytest.param(TimestampSigner(OLD).sign(b"{").decode(), id="no base64"),
        pytest.param(TimestampSigner(OLD).sign(b64encode(b"\xff")).decode(), id="no JSON"),
        pytest.param("." * 4096, id="dots"),
        pytest.param("null", id="deleted"),
    ],
)
async def test_no_starlette(value: str) -> None:
    """A cookie that Starlette's middleware would not accept has no session."""
    assert await StarletteCookie(OLD, until=UNTIL).load(value) is None


async def test_old_starlette() -> None:
    """A cookie that is too old has no session; without `max_age` none is too old."""
    value = signed({"a": 1})

    assert await StarletteCookie(OLD, until=UNTIL, max_age=-1).load(value) is None
    old = await StarletteCookie(OLD, until=UNTIL, max_age=None).load(value)
    assert old is not None
    assert old.expires is None


async def test_respelled() -> None:
    """Another spelling of a signature has the same identity."""
    value = signed({"a": 1})
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = letters.index(value[-1])
    other = value[:-1] + letters[last ^ 1]
    predecessor = StarletteCookie(OLD, until=UNTIL)

    old, respelled = await predecessor.load(value), await predecessor.load(other)

    assert old is not None
    assert respelled is not None
    assert other != value
    assert respelled.identity == old.identity


async def test_other_old_secret() -> None:
    """Where content and second are the same, the identity differs with the old secret."""
    value = signed({"a": 1})
    other = Signer("another").sign(value.rpartition(".")[0]).decode()

    old = await StarletteCookie(OLD, until=UNTIL).load(value)
    guessed = await StarletteCookie("another", until=UNTIL).load(other)

    assert old is not None
    assert guessed is not None
    assert guessed.content == old.content
    assert guessed.identity != old.identity


async def test_starsessions() -> None:
    """A session of starsessions is read from its store, without what it keeps for itself."""
    store = InMemoryStore()
    value = cookie_of(
        Middleware(StarSessionMiddleware, store=store, lifetime=60),
        Middleware(SessionAutoloadMiddleware),
    )
    predecessor = StarsessionsStore(store, until=UNTIL, lifetime=60)

    old = await predecessor.load(value)

    assert old is not None
    assert (old.content, old.expires) == ({"user": "ann"}, timedelta(seconds=60))
    assert old.is_unique
    assert await predecessor.load("0" * 32) is None
    assert await predecessor.load(value + "0") is None


@pytest.mark.parametrize(
    ("form", "data"),
    [pytest.param("msgpack", MSGPACK, id="msgpack"), pytest.param("json", JSON_TEXT, id="json")],
)
async def test_flask(form: Any, data: bytes) -> None:
    """A session of Flask-Session is read in the format that is set."""
    redis = Redis(**{f"session:{FLASK_ID}": data})

    old = await FlaskRedis(redis, until=UNTIL, serialization_format=form).load(FLASK_ID)

    assert old is not None
    assert (old.content, old.expires) == (FLASK_CONTENT, timedelta(days=31))


async def test_signed_flask() -> None:
    """With the secret, only an id that was signed with it is looked up; the key needs both."""
    redis = Redis(**{f"session:{FLASK_ID}": MSGPACK})
    predecessor = FlaskRedis(redis, until=UNTIL, secret_key=FLASK_KEY)

    old = await predecessor.load(FLASK_SIGNED)

    assert old is not None
    assert old.secret == FLASK_SIGNED.rpartition(".")[2].encode()
    assert await predecessor.load(FLASK_ID) is None
    assert await predecessor.load(FLASK_SIGNED[:-1]) is None
    assert redis.asked == [f"session:{FLASK_ID}"]


async def test_no_query() -> None:
    """A value that is no id costs no query."""
    redis = Redis()
    predecessor = FlaskRedis(redis, until=UNTIL)

    assert [await predecessor.load(value) for value in ("x", "a" * 129, "../" * 10)] == [None] * 3
    assert redis.asked == []


async def test_pickled() -> None:
    """A pickled session is not read."""
    pickled = pickle.dumps({"user": "ann"})
    redis = Redis(**{f"session:{FLASK_ID}": pickled})

    assert await FlaskRedis(redis, until=UNTIL).load(FLASK_ID) is None
    with pytest.raises(SettingsError, match="unpickled"):
        FlaskRedis(redis, until=UNTIL, serialization_format="pickle")  # type: ignore[arg-type] # wrong on purpose


@pytest.mark.parametrize(
    ("text", "content"),
    [
        pytest.param(PLAIN, {"_auth_user_id": "7", "name": "Zo\xeb"}, id="plain"),
        pytest.param(COMPRESSED, {"_auth_user_id": "7", "cart": ["pear"] * 40}, id="compressed"),
    ],
)
def test_django(text: str, content: dict[str, Any]) -> None:
    """What Django has signed is read, with its key or a fallback, and with no other."""
    assert read_data(text) == content
    assert signing_secret(text, [DJANGO_KEY]) == DJANGO_KEY
    assert signing_secret(text, ["a newer key", DJANGO_KEY.encode()]) == DJANGO_KEY.encode()
    assert signing_secret(text, ["a newer key"]) is None
    assert signing_secret(text.replace("e", "f", 1), [DJANGO_KEY]) is None
    assert signing_secret("", [DJANGO_KEY]) is None


@pytest.fixture
async def pool(database_url: str, table: Connection) -> AsyncIterator[AsyncConnectionPool]:
    """A pool on a database with a table of Django's."""
    table.execute(
        "CREATE TABLE django_session (session_key varchar(40) PRIMARY KEY, "
        "session_data text NOT NULL, expire_date timestamptz NOT NULL)"
    )
    options = {"options": table.info.options}
    async with AsyncConnectionPool(
        database_url, kwargs=options, min_size=1, max_size=1, open=False
    ) as it:
        yield it


async def test_django_table(pool: AsyncConnectionPool, table: Connection) -> None:
    """A row that has not expired is read."""
    insert = "INSERT INTO django_session VALUES (%s, %s, now() + %s)"
    table.execute(insert, ("a" * 32, PLAIN, timedelta(hours=1)))
    table.execute(insert, ("b" * 32, PLAIN, timedelta(hours=-1)))
    table.execute(insert, ("c" * 32, "no signature", timedelta(hours=1)))
    predecessor = DjangoTable(pool, DJANGO_KEY, until=UNTIL)

    old = await predecessor.load("a" * 32)

    assert old is not None
    assert old.content["_auth_user_id"] == "7"
    assert isinstance(old.expires, datetime)
    assert predecessor.name == "sessionid"
    for value in ("b" * 32, "c" * 32, "d" * 32, "a" * 33, "A" * 32):
        assert await predecessor.load(value) is None


async def test_django_secret(pool: AsyncConnectionPool, table: Connection) -> None:
    """The key needs the secret that has signed the row, which the table does not tell."""
    insert = "INSERT INTO django_session VALUES (%s, %s, now() + interval '1h')"
    table.execute(insert, ("a" * 32, PLAIN))
    predecessor = DjangoTable(pool, "a newer key", fallbacks=[DJANGO_KEY], until=UNTIL)
    old = await predecessor.load("a" * 32)
    table.execute("UPDATE django_session SET session_data = %s", (RESIGNED,))
    newer = await predecessor.load("a" * 32)

    assert old is not None
    assert newer is not None
    assert newer.identity == old.identity
    assert len({b"", old.secret, newer.secret}) == 3


@pytest.mark.parametrize(
    ("make", "said"),
    [
        pytest.param(lambda: StarletteCookie("", until=UNTIL), "secret_key", id="no secret"),
        pytest.param(lambda: StarletteCookie(OLD, until=ANY), "until", id="no date"),
        pytest.param(
            lambda: StarletteCookie(OLD, until=UNTIL, name="a b"), "cookie name", id="no name"
        ),
        pytest.param(lambda: StarsessionsStore(ANY, until=UNTIL), "starsessions", id="store"),
        pytest.param(
            lambda: DjangoTable(ANY, "a key", fallbacks="b", until=UNTIL), "list", id="keys"
        ),
    ],
)
def test_settings(make: Any, said: str) -> None:
    """A setting that cannot work is an error, which names it."""
    with pytest.raises(SettingsError, match=f"predecessor: .*{said}"):
        make()


def test_repr() -> None:
    """No secret is in a repr."""
    made = repr(
        [StarletteCookie(OLD, until=UNTIL), FlaskRedis(Redis(), secret_key=FLASK_KEY, until=UNTIL)]
    )

    assert OLD not in made
    assert FLASK_KEY not in made


async def test_serializer() -> None:
    """What the serializer of another library cannot read is an error that quotes nothing."""

    class Pickles:
        def deserialize(self, data: bytes) -> dict[str, Any]:
            raise LookupError(data)

    store = InMemoryStore()
    await store.write("a" * 32, b"the content", 60, 60)
    predecessor = StarsessionsStore(store, until=UNTIL, serializer=Pickles())

    with pytest.raises(InvalidValueError) as caught:
        await predecessor.load("a" * 32)

    assert "the content" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_unreadable() -> None:
    """Without a serializer, what is no JSON object is no session."""
    store = InMemoryStore()
    await store.write("a" * 32, b"\x80", 60, 60)

    assert await StarsessionsStore(store, until=UNTIL).load("a" * 32) is None
