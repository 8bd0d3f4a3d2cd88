"""Values that JSON, PostgreSQL or Python cannot hold, and values that only look like them."""

from collections.abc import Callable
from typing import Any

import pytest
from httpx import AsyncClient
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg import Connection
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from pgsession import InvalidValueError, PostgresStore, Session
from pgsession.core.keys import digest
from pgsession.core.value import encode_value, printed_bound, printed_size
from tests.hostile.values import KEPT, REFUSED, Text
from tests.pages import count, fill, key_of, read, value_of

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
NODES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**80), 10**80)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS | st.text(',:"\\'), inner),
    max_leaves=20,
)


@pytest.fixture
def spoiling(visit: Callable[..., AsyncClient], counted: PostgresStore) -> Callable[..., Any]:
    """Returns a client of a site whose page `/spoil` stores a value."""

    def browse(put: Callable[[Session], object]) -> AsyncClient:
        async def spoil(request: Request) -> Response:
            assert isinstance(request.session, Session)
            put(request.session)
            return PlainTextResponse("never sent")

        async def spoil_and_save(request: Request) -> Response:
            assert isinstance(request.session, Session)
            put(request.session)
            await request.session.save()
            return PlainTextResponse("never sent")

        routes = (Route("/spoil", spoil), Route("/spoil_and_save", spoil_and_save))
        return visit(counted, fill, read, routes=routes)

    return browse


@pytest.mark.parametrize("path", ["/spoil", "/spoil_and_save"])
@pytest.mark.parametrize(("value", "error"), REFUSED)
async def test_refused(
    *,
    spoiling: Callable[..., AsyncClient],
    counted: PostgresStore,
    statements: list[str],
    value: object,
    error: type[InvalidValueError],
    path: str,
) -> None:
    """A value that cannot be stored is rejected by path before any SQL; the stored value stays."""

    def put(session: Session) -> None:
        session["user"] = value

    client = spoiling(put)
    await client.get("/fill")
    key = key_of(client)
    statements.clear()

    with pytest.raises(error, match=r'session\["user"\]|bytes of JSON'):
        await client.get(path)

    assert len(statements) == 1  # the load
    assert key_of(client) == key
    assert await value_of(counted, key) == {"user": "ann"}


@pytest.mark.parametrize("path", ["/spoil", "/spoil_and_save"])
@pytest.mark.parametrize(("value", "error"), REFUSED)
async def test_refused_from_new(
    spoiling: Callable[..., AsyncClient],
    statements: list[str],
    value: object,
    error: type[InvalidValueError],
    path: str,
) -> None:
    """A value that cannot be stored creates no session."""

    def put(session: Session) -> None:
        session["user"] = value

    client = spoiling(put)

    with pytest.raises(error):
        await client.get(path)

    assert statements == []
    assert not client.cookies


@pytest.mark.parametrize("value", KEPT)
async def test_kept(spoiling: Callable[..., AsyncClient], value: dict[str, Any]) -> None:
    """An unusual but valid value is read as it was written, with the same types."""
    client = spoiling(lambda session: session.update(value))
    await client.get("/fill")
    await client.get("/spoil")

    read_again = (await client.get("/read")).json()

    assert repr(read_again) == repr(dict(sorted_as(read_again, {"user": "ann", **value})))


def sorted_as(order: dict[str, Any], value: dict[str, Any]) -> list[tuple[str, Any]]:
    assert order.keys() == value.keys()
    return [(name, value[name]) for name in order]


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        pytest.param((1, (2, 3)), [1, [2, 3]], id="44-tuple"),
        pytest.param(-0.0, 0.0, id="44-negative-zero"),
        pytest.param(Text("text"), "text", id="44-str-subclass"),
    ],
)
async def test_made_plain(
    spoiling: Callable[..., AsyncClient], statements: list[str], written: object, plain: object
) -> None:
    """A value with a plain form is read back in it, and writing it again is not a change."""

    def put(session: Session) -> None:
        session["it"] = written

    client = spoiling(put)
    await client.get("/spoil")
    statements.clear()
    await client.get("/spoil")

    assert len(statements) == 1  # the load
    assert repr((await client.get("/read")).json()) == repr({"it": plain})


async def test_set_and_restored(
    spoiling: Callable[..., AsyncClient], statements: list[str]
) -> None:
    """A value that is changed and changed back is not written."""

    def put(session: Session) -> None:
        session["user"] = "bob"
        session["new"] = [1]
        del session["new"]
        session["user"] = "ann"

    client = spoiling(put)
    await client.get("/fill")
    statements.clear()

    response = await client.get("/spoil")

    assert len(statements) == 1  # the load
    assert "set-cookie" not in response.headers


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param('{"n": 1' + "0" * 5_000 + "}", id="41-5001-digits"),
        pytest.param('{"n": [1' + "0" * 400 + ".5]}", id="42-beyond-a-float"),
        pytest.param('{"n": ' + "[" * 14_000 + "]" * 14_000 + "}", id="46-nested-14000"),
    ],
)
async def test_unreadable_row(
    *,
    spoiling: Callable[..., AsyncClient],
    counted: PostgresStore,
    table: Connection,
    caplog: pytest.LogCaptureFixture,
    stored: str,
) -> None:
    """A row that Python cannot read gives an empty session; it is logged and never overwritten."""
    client = spoiling(lambda session: session.update(user="bob"))
    await client.get("/fill")
    key = key_of(client)
    row = (stored, digest(key))
    table.execute("UPDATE session SET session_data = %s::jsonb WHERE session_key = %s", row)

    response = await client.get("/read")
    await client.get("/spoil")

    assert response.json() == {}
    assert "cannot be read" in caplog.text
    assert stored[:20] not in caplog.text
    assert key_of(client) != key
    assert await value_of(counted, key_of(client)) == {"user": "bob"}
    assert count(table) == 2


def printed_by(table: Connection, text: bytes) -> int:
    """Return how many bytes PostgreSQL prints for JSON text."""
    query = "SELECT octet_length(%s::jsonb::text)"
    row = table.execute(query, (text.decode(),)).fetchone()
    assert row is not None
    return int(row[0])


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(TEXTS, NODES, max_size=5))
@example({"n": [1e-300, 5e-324, -1e-5, 1e-4, 1e5, 1e15, 1e16, 1e22, -1.7e308, -0.0, 0.1, 1e-7]})
@example({"n": [10**3900, -(2**64), 0, True, None, False]})
@example({"t": [', : " \\ \\" , :', '"', "\\", '\\"', "\\\\", "a,b:c", "\x01\x1f\x7f\b\f\n\r\t/"]})
@example({'":,': {'\\",:': [[], {}, [[]], [{}], {"": ""}]}, "": "", "é🗝\u2028": ["\U0010ffff"]})
@example({})
def test_printed_size(table: Connection, value: dict[str, Any]) -> None:
    """The size of a value is that of the text that PostgreSQL prints, to the byte."""
    text = encode_value(value, limit=10**7)

    assert printed_size(text) == printed_by(table, text) <= printed_bound(text)


async def test_duplicate_names(counted: PostgresStore, table: Connection) -> None:
    """If stored text has two members with one name, jsonb keeps the last."""
    key = await counted.generate()
    row = ('{"a": 1, "b": 2, "a": 3}', digest(key))
    table.execute("UPDATE session SET session_data = %s::jsonb WHERE session_key = %s", row)

    assert await value_of(counted, key) == {"a": 3, "b": 2}


@pytest.mark.parametrize("odd", [[("user", "eve")], "user", 5], ids="51-{!r}".format)
async def test_odd_replacement(
    visit: Callable[..., AsyncClient], counted: PostgresStore, odd: object
) -> None:
    """An object in `scope["session"]` that is not a mapping, nor None, is ignored."""

    async def replace(request: Request) -> Response:
        request.scope["session"] = odd
        return PlainTextResponse("fine")

    client = visit(counted, fill, routes=(Route("/replace", replace),))
    await client.get("/fill")
    key = key_of(client)

    response = await client.get("/replace")

    assert response.text == "fine"
    assert await value_of(counted, key) == {"user": "ann"}
