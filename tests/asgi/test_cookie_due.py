"""The cookie is set only if the browser must learn something."""

import asyncio
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from httpx import AsyncClient, Response

from pgsession import MemoryStore, PostgresStore, Session
from pgsession.core.cookie import Cookie
from tests.pages import NAME, fill, login, logout, read

Visit = Callable[..., AsyncClient]


def change(session: Session) -> None:
    session["n"] = session.get("n", 0) + 1


def is_set(response: Response) -> bool:
    return "set-cookie" in response.headers


def header(secret_key: str, key: str, max_age: timedelta | None) -> dict[str, str]:
    """Return the Cookie header of a browser that keeps its cookie for `max_age` from now."""
    text = Cookie(secret_keys=[secret_key]).write(key, max_age).decode()
    return {"cookie": text.partition(";")[0]}


async def test_lost_response(
    *,
    visit: Visit,
    counted: PostgresStore,
    statements: list[str],
    secret_key: str,
) -> None:
    """A cookie that a lost response should have brought is set by the next one, without a write.

    A second read asks whether the key still lives: a login may have retired it.
    """
    key = await counted.generate({"user": "ann"})
    statements.clear()
    behind = header(secret_key, key, timedelta(days=6))

    response = await visit(counted, read).get("/read", headers=behind)

    assert "; Max-Age=604800; " in response.headers["set-cookie"]
    assert [statement.split()[0] for statement in statements] == ["SELECT", "SELECT"]


async def test_shortened(visit: Visit, secret_key: str) -> None:
    """A browser that keeps the cookie for too long learns of the shorter period."""
    store = MemoryStore()
    key = await store.generate({"user": "ann"}, period=900, granted=True)

    response = await visit(store, read).get("/read", headers=header(secret_key, key, timedelta(30)))

    assert re.search(r"; Max-Age=(900|899); ", response.headers["set-cookie"])


@pytest.mark.parametrize("page", [fill, read, change], ids=lambda page: page.__name__)
async def test_in_time(visit: Visit, secret_key: str, page: Callable[[Session], object]) -> None:
    """A browser that knows the expiry within a tenth of the period learns nothing."""
    store = MemoryStore()
    key = await store.generate({"user": "ann"})
    known = header(secret_key, key, timedelta(days=6, hours=12))

    assert not is_set(await visit(store, page).get(f"/{page.__name__}", headers=known))


async def test_browser_session(visit: Visit) -> None:
    """A cookie that ends with the browser is not set again when the expiry is extended."""
    client = visit(MemoryStore(), fill, read, change, max_age=None, touch_after=0)
    await client.get("/fill")

    assert not is_set(await client.get("/read"))
    assert not is_set(await client.get("/change"))


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        pytest.param(None, "default", "Max-Age=604800", id="kept now"),
        pytest.param("default", None, None, id="ends with the browser now"),
    ],
)
async def test_other_max_age(visit: Visit, before: Any, after: Any, text: str | None) -> None:
    """Another `max_age` reaches the browser with the next response."""
    store = MemoryStore()
    old, new = visit(store, fill, max_age=before), visit(store, read, max_age=after)
    await old.get("/fill")
    new.cookies.update(old.cookies)

    cookie = (await new.get("/read")).headers["set-cookie"]

    assert ("Max-Age" in cookie) is (text is not None)
    assert not is_set(await new.get("/read"))


async def test_older_text(visit: Visit, secret_key: str) -> None:
    """A cookie of the older text is written anew, once."""
    store = MemoryStore()
    key = await store.generate({"user": "ann"})
    (signer,) = Cookie(secret_keys=[secret_key])._signers  # noqa: SLF001 - to write the older text
    older = f"{NAME}={key}.{signer.sign(key.encode()).decode()}"
    client = visit(store, read)

    first = await client.get("/read", headers={"cookie": older})

    assert first.json() == {"user": "ann"}
    assert is_set(first)
    assert not is_set(await client.get("/read"))


async def test_years(visit: Visit, secret_key: str) -> None:
    """A session of years is kept by the browser as long as the visitor comes every few months."""
    store = MemoryStore(default_period=timedelta(days=365 * 20))
    key = await store.generate({"user": "ann"})
    client = visit(store, read)

    soon, later = (header(secret_key, key, timedelta(days=days)) for days in (390, 310))

    assert not is_set(await client.get("/read", headers=soon))
    assert (
        "; Max-Age=34560000; " in (await client.get("/read", headers=later)).headers["set-cookie"]
    )


async def test_failed_request(visit: Visit, secret_key: str) -> None:
    """A response of 500 sets no cookie, even if one is due."""

    async def fail(_session: Session) -> None:
        raise LookupError

    store = MemoryStore()
    key = await store.generate({"user": "ann"})
    behind = header(secret_key, key, timedelta(days=1))

    response = await visit(store, fail, raises=False).get("/fail", headers=behind)

    assert response.status_code == 500
    assert not is_set(response)


@pytest.mark.parametrize("ending", [login, logout], ids=["login", "logout"])
async def test_late_answer(visit: Visit, secret_key: str, ending: Any) -> None:
    """A slow request whose cookie is due sets none after another request has renewed the session.

    Its cookie would overwrite the one of the renewal.
    """
    store = MemoryStore()
    key = await store.generate({"user": "visitor"})
    behind = header(secret_key, key, timedelta(days=1))
    client = visit(store, ending)

    async def read_slowly(_session: Session) -> None:
        await client.get(f"/{ending.__name__}", headers=behind)
        await asyncio.sleep(0.06)  # a request that is answered at once does not ask

    response = await visit(store, read_slowly).get("/read_slowly", headers=behind)

    assert not is_set(response)


async def test_late_answer_of_a_living_session(visit: Visit, secret_key: str) -> None:
    """A slow request whose cookie is due sets it if the session lives on."""
    store = MemoryStore()
    key = await store.generate({"user": "ann"})

    async def read_slowly(_session: Session) -> None:
        await asyncio.sleep(0.06)

    response = await visit(store, read_slowly).get(
        "/read_slowly", headers=header(secret_key, key, timedelta(days=1))
    )

    assert is_set(response)


async def test_old_key_after_login(visit: Visit, secret_key: str) -> None:
    """A change under the old key, answered after a login, leaves the login's cookie alone."""
    store = MemoryStore()
    key = await store.generate({"user": "visitor"})
    known = header(secret_key, key, timedelta(days=7))
    client = visit(store, change, login)

    async def change_slowly(session: Session) -> None:
        session["n"] = 1
        await session.save()  # committed under the old key, before the login
        assert is_set(await client.get("/login", headers=known))

    slow = visit(store, change_slowly)

    assert not is_set(await slow.get("/change_slowly", headers=known))
