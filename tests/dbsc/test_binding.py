"""Sessions that are bound to a device: without its proof their cookie opens nothing."""

import asyncio

import pytest
from httpx import ASGITransport
from psycopg import Connection
from starlette.types import ASGIApp

from pgsession import (
    PostgresStore,
    SessionMiddleware,
    SessionSettings,
)
from pgsession.core.bound import BindingStore
from tests.applications import SECRET
from tests.dbsc.browser import BindingBrowser
from tests.dbsc.keys import Device
from tests.dbsc.site import (
    BOUND,
    NAME,
    PERIOD,
    TOKENS,
    UNBOUND,
    application,
    bound_of,
    signed_in,
    site,
    thief,
)


async def test_registration(app: ASGIApp) -> None:
    """A browser registers at the login, and its session is bound with the first bound cookie."""
    browser = await signed_in(app)

    assert browser.instructions["credentials"][0]["name"] == BOUND
    assert browser.instructions["scope"]["origin"] == "https://testserver"
    assert set(browser.copy_of_cookies()) == {NAME, BOUND}


async def test_other_browsers(app: ASGIApp) -> None:
    """A browser that does not register goes on as before."""
    browser = BindingBrowser(app, registers=False)
    await browser.visit("/login")

    found = await browser.visit("/look")

    assert found.json() == UNBOUND


async def test_copied_cookie(app: ASGIApp) -> None:
    """Without the bound cookie the session's cookie opens nothing, and changes nothing."""
    browser = await signed_in(app)
    cookies = browser.copy_of_cookies()
    async with thief(app, {NAME: cookies[NAME]}) as client:
        found = await client.get("/look")
        assert found.json() == {"user": None, "bound": False, "missing": True}
        assert (await client.get("/change")).json() == "refused"
        assert "set-cookie" not in found.headers

    assert (await browser.visit("/look")).json()["user"] == "ann"


async def test_both_cookies(app: ASGIApp) -> None:
    """Both cookies together are good until the proof ends; then only the browser goes on."""
    browser = await signed_in(app)
    async with thief(app, browser.copy_of_cookies()) as client:
        assert (await client.get("/look")).json()["user"] == "ann"
        refreshed = await client.post(
            browser.instructions["refresh_url"],
            headers={"sec-secure-session-id": browser.instructions["session_identifier"]},
        )
        assert refreshed.status_code == 403
        assert "set-cookie" not in refreshed.headers


@pytest.mark.parametrize(("left", "opens"), [(-1, False), (0, False), (9, True)])
async def test_expired(store: BindingStore, left: int, opens: bool) -> None:
    """A bound cookie is good before the second that it names, by the clock of the store."""
    browser = await signed_in(app := site(store))
    device = await store.bound_device(bound_of(browser))
    assert device is not None
    cookies = browser.copy_of_cookies()
    cookies[BOUND] = TOKENS.cookie(bound_of(browser), device.now + left)
    async with thief(app, cookies) as client:
        found = (await client.get("/look")).json()
        assert (found["user"] is not None, not found["missing"]) == (opens, opens)


async def test_bound_cookie_of_another(app: ASGIApp) -> None:
    """A bound cookie of another session, even of the same user, is no proof."""
    browser, other = await signed_in(app), await signed_in(app)
    mixed = {NAME: browser.copy_of_cookies()[NAME], BOUND: other.copy_of_cookies()[BOUND]}
    async with thief(app, mixed) as client:
        assert (await client.get("/look")).json()["missing"]


async def test_refresh(app: ASGIApp) -> None:
    """A refresh gives another bound cookie for the proof, whatever cookies come with it."""
    browser = await signed_in(app)
    browser.cookies.delete(BOUND)
    assert (await browser.visit("/look")).json()["missing"]

    refreshed = await browser.refresh()

    assert refreshed.status_code == 200
    assert refreshed.content == b""
    assert (await browser.visit("/look")).json()["user"] == "ann"


async def test_in_force_with_a_refresh(app: ASGIApp) -> None:
    """A refresh puts the binding in force too: the first bound cookie may have been lost."""
    browser = BindingBrowser(app)
    await browser.visit("/login")
    browser.cookies.delete(BOUND)
    assert (await browser.visit("/look")).json() == {
        "user": "ann",
        "bound": False,
        "missing": False,
    }

    await browser.refresh()
    browser.cookies.delete(BOUND)

    assert (await browser.visit("/look")).json()["missing"]


async def test_no_answer(app: ASGIApp) -> None:
    """A registration whose every answer is lost leaves the session as it was, unbound."""
    browser = BindingBrowser(app, registers=False)
    offer = (await browser.visit("/login")).headers["secure-session-registration"]
    for _ in range(3):
        await browser.register(offer)
    browser.cookies.delete(BOUND)

    assert (await browser.visit("/look")).json() == {
        "user": "ann",
        "bound": False,
        "missing": False,
    }


async def test_renewed(app: ASGIApp) -> None:
    """A renewal and a confirmation keep the binding, and offer no other."""
    browser = await signed_in(app)
    for path in ("/renew", "/confirm"):
        response = await browser.visit(path)
        assert "secure-session-registration" not in response.headers
        assert (await browser.visit("/look")).json()["bound"]
    assert (await browser.refresh()).status_code == 200


async def test_offered_at_confirmation(app: ASGIApp) -> None:
    """A confirmation of an unbound session offers a registration."""
    browser = BindingBrowser(app, registers=False)
    await browser.visit("/login")
    browser.registers = True
    await browser.visit("/confirm")

    assert (await browser.visit("/look")).json()["bound"]


async def test_later_registration(app: ASGIApp) -> None:
    """Another key cannot be registered, and no later response offers it."""
    browser = BindingBrowser(app, registers=False)
    offer = (await browser.visit("/login")).headers["secure-session-registration"]
    assert "secure-session-registration" not in (await browser.visit("/look")).headers
    assert (await browser.register(offer)).status_code == 200
    assert (await browser.register(offer)).status_code == 200  # the answer may have been lost

    browser.device = Device()
    response = await browser.register(offer)

    assert response.status_code == 400
    assert "set-cookie" not in response.headers


async def test_late_registration(postgres: PostgresStore, table: Connection) -> None:
    """An offer is dead after a minute."""
    browser = BindingBrowser(site(postgres), registers=False)
    offer = (await browser.visit("/login")).headers["secure-session-registration"]
    table.execute(
        "UPDATE session SET login_on = login_on - interval '61 s',"
        " created_on = created_on - interval '61 s'"
    )

    assert (await browser.register(offer)).status_code == 400


async def test_parallel_requests(app: ASGIApp) -> None:
    """Requests beside a refresh get their session with the cookie of before."""
    browser = await signed_in(app)

    *answers, refreshed = await asyncio.gather(
        *(browser.visit("/look") for _ in range(10)), browser.refresh()
    )

    assert refreshed.status_code == 200
    assert all(answer.json()["user"] == "ann" for answer in answers)


async def test_secret_rotated(store: BindingStore) -> None:
    """After a change of the secret bound sessions go on, as long as the old one is there."""
    browser = await signed_in(site(store))
    settings = SessionSettings(
        secret_key=["another-secret-that-is-long-enough-for-it", SECRET], device_binding=PERIOD
    )
    transport = ASGITransport(SessionMiddleware(application, store, settings=settings))
    browser._transport = transport  # noqa: SLF001 - the same browser at the next release

    assert (await browser.visit("/look")).json()["user"] == "ann"
    assert (await browser.refresh()).status_code == 200
    assert (await browser.visit("/look")).json()["user"] == "ann"


async def test_login_of_older_code(postgres: PostgresStore, table: Connection) -> None:
    """A login that leaves the columns of the device alone ends the binding too."""
    browser = await signed_in(site(postgres))
    browser.cookies.delete(BOUND)
    table.execute("UPDATE session SET login_number = login_number + 1")

    assert (await browser.visit("/look")).json() == UNBOUND
    assert (await browser.refresh()).status_code == 404
    assert not (await postgres.devices("ann"))[0].is_bound


async def test_confirmed_at_once(postgres: PostgresStore, table: Connection) -> None:
    """A confirmation offers again if the binding was not put in force with the first cookie."""
    browser = BindingBrowser(site(postgres))
    await browser.visit("/login")
    table.execute(
        "CREATE FUNCTION held() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.device_proved_on IS NOT NULL THEN"
        " RAISE EXCEPTION 'held' USING ERRCODE = '55P03'; END IF;"
        " RETURN NEW; END $$"
    )
    table.execute(
        "CREATE TRIGGER held BEFORE UPDATE ON session FOR EACH ROW EXECUTE FUNCTION held()"
    )
    browser.registers = False
    response = await browser.visit("/confirm")
    table.execute("DROP TRIGGER held ON session")

    await browser.register(response.headers["secure-session-registration"])
    assert (await browser.visit("/look")).json()["bound"]


async def test_switched_off(store: BindingStore) -> None:
    """A process without device_binding loads bound sessions as before, and calls none bound."""
    browser = await signed_in(site(store))
    settings = SessionSettings(secret_key=SECRET)
    app = SessionMiddleware(application, store, settings=settings)
    async with thief(app, {NAME: browser.copy_of_cookies()[NAME]}) as client:
        assert (await client.get("/look")).json() == UNBOUND


async def test_statements(counted: PostgresStore, statements: list[str]) -> None:
    """A request of a bound session is one statement; what is not ours costs none."""
    app = site(counted)
    browser = await signed_in(app)
    statements.clear()
    await browser.visit("/look")
    assert len(statements) == 1

    statements.clear()
    await browser.refresh()
    assert len(statements) <= 2
    statements.clear()
    for name in ("sec-secure-session-id", "secure-session-response"):
        for path in ("/.session/refresh", "/.session/register"):
            await browser.post(path, headers={name: "a" * 100})
    assert statements == []
