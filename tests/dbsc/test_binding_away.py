"""Registering and refreshing while the database is away, or a row is held."""

import asyncio
from typing import Any, NoReturn

import pytest
from psycopg import Connection

from pgsession import (
    MemoryStore,
    PostgresStore,
    SchemaError,
    SessionMiddleware,
    StoreUnavailableError,
)
from pgsession.core.bound import Bound
from tests.dbsc.browser import BindingBrowser
from tests.dbsc.site import (
    BOUND,
    signed_in,
    site,
    thief,
)


class Away(MemoryStore):
    """Cannot answer while `is_away`."""

    is_away = False

    async def bind(self, *arguments: Any) -> Any:
        self._check()
        return await super().bind(*arguments)

    async def bound_device(self, *arguments: Any) -> Any:
        self._check()
        return await super().bound_device(*arguments)

    async def enforce(self, *arguments: Any) -> Any:
        self._check()
        return await super().enforce(*arguments)

    def _check(self) -> None:
        if self.is_away:
            raise StoreUnavailableError


async def test_held_registration(
    database_url: str, migrated_schema: str, table: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """A registration waits for a held row without a connection, and then says that it is busy."""
    async with PostgresStore(
        database_url, schema=migrated_schema, timeout=0.5, pool_size=1
    ) as store:
        browser = BindingBrowser(app := site(store), registers=False)
        offer = (await browser.visit("/login")).headers["secure-session-registration"]
        with table.transaction():
            table.execute("SELECT FROM session FOR UPDATE")
            registration = asyncio.create_task(browser.register(offer))
            while not registration.done():
                assert (await thief(app, {}).get("/look")).status_code == 200
                assert await store.get("k") is None
                await asyncio.sleep(0)
        assert (await registration).status_code == 503
        assert caplog.text.count("One session was busy") == 1
        assert (await browser.register(offer)).status_code == 200


async def test_hanging(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that does not answer is a 503 before the browser gives up, whatever its timeout."""
    monkeypatch.setattr("pgsession.asgi.device_binding._LONGEST", 0.01)

    class Hanging(MemoryStore):
        async def bound_device(self, bound: Bound) -> NoReturn:
            await asyncio.Event().wait()
            raise AssertionError(bound)

    browser = BindingBrowser(site(Hanging()))
    await browser.visit("/login")

    assert (await browser.refresh()).status_code == 503


async def test_worthless_requests(caplog: pytest.LogCaptureFixture) -> None:
    """A request for which the store is not asked does not end an outage in the log."""
    clock = 0.0
    store = Away()
    app = site(store)
    browser = await signed_in(app)
    assert isinstance(app, SessionMiddleware)
    app._policy.outage_log._clock = lambda: clock  # noqa: SLF001 - ten seconds pass
    store.is_away = True
    await browser.refresh()
    clock = 60.0
    assert (await browser.post("/.session/refresh")).status_code == 404
    assert (await browser.post("/.session/register")).status_code == 400
    assert "available again" not in caplog.text
    store.is_away = False
    caplog.set_level("INFO")
    await browser.refresh()
    assert "available again" in caplog.text


async def test_held_row(postgres: PostgresStore, table: Connection) -> None:
    """Neither the first bound cookie nor a refresh waits for a transaction that holds the row."""
    browser = BindingBrowser(site(postgres))
    await browser.visit("/login")
    with table.transaction():
        table.execute("SELECT FROM session FOR UPDATE")
        async with asyncio.timeout(postgres.timeout / 4):
            assert (await browser.visit("/look")).json()["bound"]
            assert (await browser.refresh()).status_code == 200

    await browser.visit("/look")
    browser.cookies.delete(BOUND)
    assert (await browser.visit("/look")).json()["missing"]


async def test_table_gone(
    postgres: PostgresStore, table: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """A refresh that fails because the table is gone is one ERROR line."""
    browser = await signed_in(site(postgres))
    table.execute("DROP TABLE session")

    for _ in range(2):
        with pytest.raises(SchemaError):
            await browser.refresh()

    assert caplog.text.count("Requests fail until somebody mends the table") == 1


async def test_database_away(caplog: pytest.LogCaptureFixture) -> None:
    """While the database is away both places answer 503 without a cookie, and then go on."""
    store = Away()
    app = site(store)
    browser = BindingBrowser(app, registers=False)
    offer = (await browser.visit("/login")).headers["secure-session-registration"]
    store.is_away = True
    refused = await browser.register(offer)
    assert (refused.status_code, "set-cookie" in refused.headers) == (503, False)
    assert caplog.text.count("The store is unavailable") == 1
    store.is_away = False
    await browser.register(offer)

    store.is_away = True
    assert (await browser.visit("/look")).json()["user"] == "ann"  # it is put in force later
    refused = await browser.refresh()
    assert (refused.status_code, "set-cookie" in refused.headers) == (503, False)
    store.is_away = False
    assert (await browser.refresh()).status_code == 200
    assert (await browser.visit("/look")).json()["bound"]
