"""What the logger `pgsession` tells about sessions at level DEBUG, without their keys."""

import logging
from collections.abc import Callable

import pytest
from httpx import AsyncClient

from pgsession import MemoryStore, Session
from tests.hostile.forgeries import KEY, PREFIX
from tests.pages import fill, logout, read

FORGED_COOKIE = PREFIX.decode() + KEY + "." + "s" * 43


def renew(session: Session) -> None:
    session.renew()


@pytest.fixture(autouse=True)
def debug(caplog: pytest.LogCaptureFixture) -> None:
    """Everything is logged."""
    caplog.set_level(logging.DEBUG, "pgsession")


async def test_life(visit: Callable[..., AsyncClient], caplog: pytest.LogCaptureFixture) -> None:
    """A session that is created, gets a new key and ends is one line each."""
    client = visit(MemoryStore(), fill, renew, read, logout)
    for page in ("/fill", "/read", "/renew", "/read", "/logout", "/read"):
        await client.get(page)

    assert [record.message for record in caplog.records if record.name == "pgsession"] == [
        "A session was created.",
        "A session got a new key.",
        "A session was ended.",
    ]


@pytest.mark.parametrize("times", [1, 40])
async def test_cookie_of_another_secret(
    visit: Callable[..., AsyncClient], caplog: pytest.LogCaptureFixture, times: int
) -> None:
    """A cookie that none of the secrets verifies is one line, however often it comes."""
    client = visit(MemoryStore(), read)
    await client.get("/read", headers={"Cookie": "; ".join([FORGED_COOKIE] * times)})

    assert caplog.messages == ["A session cookie was ignored: none of the secrets verifies it."]


async def test_no_cookie(
    visit: Callable[..., AsyncClient], caplog: pytest.LogCaptureFixture
) -> None:
    """A visitor without a cookie is not worth a line, nor is one whose cookie verifies."""
    client = visit(MemoryStore(), fill, read)
    await client.get("/read")
    assert caplog.messages == []
