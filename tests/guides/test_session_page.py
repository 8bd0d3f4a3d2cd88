"""The limits that docs/reference/session.md and fixtures.md name are those of the code."""

import re
from typing import Any, Final

import pytest

import _pgsession_pytest
from pgsession import (
    InvalidValueError,
    MemoryStore,
    PostgresStore,
    Session,
    UnsupportedTypeError,
)
from pgsession.asgi import unavailable
from pgsession.core.flash import MOST_MESSAGES
from pgsession.core.plain import MAX_DEPTH
from pgsession.core.value import DEFAULT_VALUE_LIMIT
from tests.project.documents import Document

PAGE: Final = Document("docs/reference/session.md").text


def test_limits() -> None:
    """The page has the sizes of the code."""
    assert f"{DEFAULT_VALUE_LIMIT:,} bytes of its JSON text" in PAGE
    assert f"| {MAX_DEPTH} levels |" in PAGE
    assert f"| Flash messages | {MOST_MESSAGES} |" in PAGE


@pytest.mark.parametrize("member", ["\0", "\ud800", float("nan"), float("inf")], ids=ascii)
async def test_invalid(member: Any) -> None:
    """What PostgreSQL cannot hold is rejected, with its path."""
    with pytest.raises(InvalidValueError, match=re.escape('session["cart"][3]')):
        await MemoryStore().generate({"cart": [1, 2, 3, member]})


@pytest.mark.parametrize("value", [{"a": {1}}, {"a": b""}, {1: "a"}], ids=["set", "bytes", "int"])
async def test_unsupported(value: Any) -> None:
    """A type that JSON does not have is rejected, also as a name."""
    with pytest.raises(UnsupportedTypeError):
        await MemoryStore().generate(value)


async def test_tuple() -> None:
    """A tuple comes back as a list."""
    store = MemoryStore()
    entry = await store.get(await store.generate({"point": (1, 2)}))
    assert entry is not None
    assert entry.value == {"point": [1, 2]}


def test_topics() -> None:
    """The table names attributes and methods that a session has."""
    named = re.findall(r"^\| \[.+?\]\(#.+?\) \| (.+) \|$", PAGE, re.MULTILINE)
    names = {name for row in named for name in re.findall(r"`(\w+)`", row)}
    assert len(named) == 8
    assert names <= {*dir(Session)}


def test_fixtures() -> None:
    """The page of the fixtures lists them all, with their scopes."""
    page = Document("docs/reference/fixtures.md").text
    defined = {
        name: each._fixture_function_marker.scope  # noqa: SLF001 - pytest tells it nowhere else
        for name, each in vars(_pgsession_pytest).items()
        if hasattr(each, "_fixture_function_marker")
    }
    assert dict(re.findall(r"^\| `(pgsession_\w+)` \| (\w+) \|", page, re.MULTILINE)) == defined


def test_retry_after() -> None:
    """The pages say for how long a 503 asks to wait."""
    assert (b"retry-after", b"5") in unavailable._HEADERS  # noqa: SLF001 - of this package
    assert "503 with `Retry-After: 5`" in Document("docs/reference/errors.md").text


def test_stores() -> None:
    """`MemoryStore` has the methods of `PostgresStore`, but for what the page says."""
    assert (
        "It has every method of `PostgresStore` but `sweep`."
        in Document("docs/reference/stores.md").text
    )
    of_postgres, in_memory = (
        {name for name in dir(store) if not name.startswith("_")}
        for store in (PostgresStore, MemoryStore)
    )
    assert of_postgres - in_memory == {"sweep", "end_sessions"}  # the last one is internal
    assert in_memory - of_postgres == set()
