"""Generated headers and values."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send

from pgsession import (
    Changes,
    Entry,
    InvalidValueError,
    PostgresStore,
    Session,
    SessionMiddleware,
)
from pgsession.core.cookie import Cookie
from pgsession.core.period import DEFAULT_PERIOD
from pgsession.core.tracked import state_of
from tests.hostile.forgeries import FORGERIES, PREFIX, signed
from tests.hostile.reference import Refused, canonical, typed
from tests.hostile.values import (
    Colour,
    Label,
    Level,
    Measure,
    Number,
    Pair,
    Row,
    Table,
    Text,
    tower,
)
from tests.pages import value_of

pytestmark = pytest.mark.usefixtures("untraced")

Converse = Callable[..., Awaitable[list[Message]]]

#: The same examples in every run. All examples share the store; each one uses its own keys.
BOUNDED: Final = settings(
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

#: Placeholders for the cookies of two live sessions, which no strategy can know.
EVE: Final = "eve"
BOB: Final = "bob"

#: A value signed with a foreign secret.
FOREIGN: Final = signed("f" * 40, secret="a secret of somebody else, just as long")

#: The same in its longest form.
FOREIGN_RENEWED: Final = signed(
    "f" * 40 + "." + "v" * 32, number=7, secret="a secret of somebody else, just as long"
)

GARBAGE = (
    st.sampled_from([b";", b"; ", b" ", b"\t", b"=", b".", b",", b'"', b"\\", b"\\000", b"\0"])
    | st.sampled_from([b"\r\n", b"\xff", b"a=b", b"x" * 50_000, b";" * 5_000, b'\\"' * 5_000])
    | st.sampled_from([PREFIX, PREFIX[:-1], PREFIX.upper(), FOREIGN, PREFIX + FOREIGN[:-1]])
    | st.sampled_from([b"".join(forge(FOREIGN)) for forge in FORGERIES.values()])
    | st.sampled_from([FOREIGN_RENEWED, PREFIX + FOREIGN_RENEWED, b"..7.", b"." + b"v" * 32])
    | st.binary(max_size=100)
)
PIECES = st.lists(GARBAGE | st.sampled_from([EVE, BOB, EVE, BOB, b"; "]), max_size=6)
HEADERS = st.lists(st.tuples(st.sampled_from([b"cookie", b"Cookie", b"host"]), PIECES), max_size=5)


def newest_found(headers: list[tuple[bytes, bytes]], users: dict[bytes, str]) -> str | None:
    """Return the younger user of the valid cookies: exact matches between semicolons."""
    left, found = 65_536, set()
    for name, text in headers:
        if name.lower() == b"cookie":
            found |= {pair.strip(b" \t") for pair in text[:left].split(b";")} & users.keys()
            left -= min(left, len(text))
    return max((users[pair] for pair in found), key=[EVE, BOB].index, default=None)


@settings(BOUNDED, max_examples=400)
@given(headers=HEADERS)
@example(headers=[(b"cookie", [BOB, b"; ", EVE])])
@example(headers=[(b"host", [BOB]), (b"cookie", [b'a="', EVE, b'"; ', BOB])])
async def test_headers(
    converse: Converse,
    counted: PostgresStore,
    secret_key: str,
    statements: list[str],
    headers: list[tuple[bytes, list[bytes | str]]],
) -> None:
    """For any headers, the younger of the correctly signed sessions is found, or none."""
    keys = {user: await counted.generate({"user": user}) for user in (EVE, BOB)}
    cookie, week = Cookie(secret_keys=[secret_key]), timedelta(days=7)
    cookies = {user: cookie.write(key, week).partition(b";")[0] for user, key in keys.items()}
    raw = [
        (name, b"".join(it if isinstance(it, bytes) else cookies[it] for it in pieces))
        for name, pieces in headers
    ]
    seen: list[dict[str, Any]] = []

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        seen.append(dict(scope["session"]))
        await send({"type": "http.response.start", "status": 200, "headers": []})

    statements.clear()
    (start,) = await converse(SessionMiddleware(app, counted, secret_key), {"headers": raw})

    user = newest_found(raw, {cookie: user for user, cookie in cookies.items()})
    assert seen == [{} if user is None else {"user": user}]
    assert len(statements) == (0 if user is None else 1)
    assert start["headers"] == [(b"vary", b"Cookie")]


ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=8)
GOOD_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
NUMBERS = (
    st.integers()
    | st.integers(12_990, 12_999).map(lambda bits: -(2**bits))
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.floats(min_value=1e15, max_value=1.7e308)
    | st.sampled_from([-0.0, 1e16, 1e22, 1e23, 1e308, 5e-324, 2.0**53, 2.0**63, 1e15 + 0.5])
)
DESCENDED = (
    GOOD_TEXT.map(Text)
    | st.integers().map(Number)
    | st.floats(allow_nan=False, allow_infinity=False).map(Measure)
    | st.sampled_from([*Label, *Level])
    | st.builds(Pair, st.integers(), GOOD_TEXT)
)
GOOD_LEAVES = st.none() | st.booleans() | NUMBERS | GOOD_TEXT | DESCENDED
BAD_LEAVES = (
    ANY_TEXT
    | st.binary()
    | st.datetimes()
    | st.timedeltas()
    | st.decimals()
    | st.fractions()
    | st.uuids()
    | st.complex_numbers()
    | st.floats()
    | st.floats().map(Measure)
    | st.integers(12_999, 13_001).map(lambda bits: 2**bits)
    | st.frozensets(st.integers())
    | st.sampled_from([*Colour, object(), Colour, len, range(3), memoryview(b"x"), {}.keys()])
    | st.integers(95, 105).map(tower)
)
BAD_NAMES = (
    ANY_TEXT | st.integers() | st.none() | st.booleans() | st.floats() | st.tuples(st.integers())
)


def nested(leaves: st.SearchStrategy[Any], names: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def grow(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        lists = st.lists(inner, max_size=4)
        tables = st.dictionaries(names, inner, max_size=4)
        return lists | lists.map(tuple) | lists.map(Row) | tables | tables.map(Table)

    return st.dictionaries(names, st.recursive(leaves, grow, max_leaves=12), max_size=4)


VALUES = nested(GOOD_LEAVES, GOOD_TEXT) | nested(
    GOOD_LEAVES | GOOD_LEAVES | GOOD_LEAVES | BAD_LEAVES, GOOD_TEXT | GOOD_TEXT | BAD_NAMES
)


def expected(value: Any) -> dict[str, Any] | None:
    """Return the value read after `value` was written, or None if it cannot be stored."""
    try:
        plain: dict[str, Any] = canonical(value)
    except Refused:
        return None
    return plain


@settings(BOUNDED, max_examples=250)
@given(value=VALUES)
async def test_value(counted: PostgresStore, statements: list[str], value: dict[Any, Any]) -> None:
    """Any value is read back exactly, or is rejected before any SQL runs."""
    wanted = expected(value)
    key = await counted.generate({"before": 1})
    statements.clear()

    for write in (counted.generate(value), counted.merge(key, Changes(set=value))):
        try:
            made = await write
        except InvalidValueError:
            assert wanted is None
        else:
            assert wanted is not None
            written, before = (made, {}) if isinstance(made, str) else (key, {"before": 1})
            assert typed(await value_of(counted, written)) == typed(before | wanted)

    if wanted is None:
        assert statements == []


@settings(BOUNDED, max_examples=30)
@given(values=st.lists(VALUES, min_size=8, max_size=12))
async def test_values_together(counted: PostgresStore, values: list[dict[Any, Any]]) -> None:
    """Values written in one batch have the same results as values written alone."""
    keys = await asyncio.gather(*(counted.generate() for _ in values))
    writes = map(counted.set, keys, values)

    outcomes = await asyncio.gather(*writes, return_exceptions=True)

    for key, value, outcome in zip(keys, values, outcomes, strict=True):
        wanted = expected(value)
        assert isinstance(outcome, InvalidValueError) is (wanted is None)
        assert typed(await value_of(counted, key)) == typed(wanted)


@settings(BOUNDED, max_examples=250)
@given(before=nested(GOOD_LEAVES, GOOD_TEXT).map(canonical), value=VALUES)
def test_session(before: dict[str, Any], value: dict[Any, Any]) -> None:
    """For any value, a session knows its changes or rejects the value."""
    session = Session(Entry(before, DEFAULT_PERIOD))
    session.update(value)
    wanted = expected(value)
    modified = session.modified

    try:
        changes = state_of(session).changes(session)
    except InvalidValueError:
        assert wanted is None
        assert modified
    else:
        assert wanted is not None
        assert bool(changes) is modified
        assert typed(before | canonical(dict(changes.set))) == typed(before | wanted)
