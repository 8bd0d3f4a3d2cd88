"""Requests that come without the proof of the device."""

import asyncio
from typing import Any

import pytest
from jinja2.exceptions import SecurityError
from jinja2.sandbox import SandboxedEnvironment
from psycopg import Connection
from starlette.types import ASGIApp

from pgsession import (
    NewDevice,
    PostgresStore,
    Session,
    SessionError,
    SessionSettings,
    UnknownUserError,
)
from pgsession.asgi.unproven import withhold
from pgsession.core.bound import BindingStore
from pgsession.errors import ProofMissingError
from tests.applications import SECRET
from tests.dbsc.browser import BindingBrowser
from tests.dbsc.keys import Device
from tests.dbsc.site import BOUND, NAME, Page, signed_in, site, thief


@pytest.mark.parametrize("call", ["login('eve')", "logout()"])
def test_sandboxed_template(call: str) -> None:
    """A template in Jinja's sandbox cannot sign in or out here either."""
    session = Session()
    withhold(session)

    with pytest.raises(SecurityError):
        SandboxedEnvironment().from_string("{{ session." + call + " }}").render(session=session)


async def test_logout(app: ASGIApp) -> None:
    """A logout ends the binding: a refresh says that there is no such session."""
    browser = await signed_in(app)
    await browser.visit("/logout")

    refreshed = await browser.refresh()

    assert refreshed.status_code == 404
    assert "set-cookie" not in refreshed.headers


async def test_logout_without_proof(app: ASGIApp, store: BindingStore) -> None:
    """A logout works without a proof too."""
    browser = await signed_in(app)
    browser.cookies.delete(BOUND)

    await browser.visit("/logout")

    assert await store.devices("ann") == []


async def test_login_again(app: ASGIApp) -> None:
    """A login without a proof makes a session of its own, which can be bound."""
    browser = await signed_in(app)
    browser.cookies.delete(BOUND)
    browser.device = Device()
    await browser.visit("/login")

    assert (await browser.visit("/look")).json() == {"user": "ann", "bound": True, "missing": False}


async def test_bound_cookie_ends_with_the_session(app: ASGIApp) -> None:
    """A logout deletes both cookies."""
    browser = await signed_in(app)

    await browser.visit("/logout")

    assert browser.copy_of_cookies() == {}


async def test_required(store: BindingStore) -> None:
    """Where a bound session is required, one that is not bound is not loaded."""
    app = site(store, require_device_binding=lambda scope: scope["path"] == "/look")
    browser = BindingBrowser(app, registers=False)
    await browser.visit("/login")

    assert (await browser.visit("/look")).json() == {"user": None, "bound": False, "missing": True}
    assert (await browser.visit("/change")).json() == "changed"
    browser.registers = True
    await browser.visit("/login")
    assert (await browser.visit("/look")).json()["user"] == "ann"


async def test_not_cached(app: ASGIApp) -> None:
    """A page without the proof is kept by no cache: with it the page differs."""
    browser = await signed_in(app)
    browser.cookies.delete(BOUND)

    headers = (await browser.visit("/look")).headers

    assert "no-store" in headers["cache-control"]
    assert headers["vary"] == "Cookie"


async def visit_unproven(store: BindingStore, page: Page, **settings: Any) -> BindingBrowser:
    """Sign in with a browser that binds the session, and visit the page without the proof."""
    browser = await signed_in(site(store, page, **settings))
    browser.cookies.delete(BOUND)
    response = await browser.visit("/page")
    assert response.status_code == 200
    return browser


async def test_refused_typed(store: BindingStore) -> None:
    """A typed object without the proof can be read, and a change of it fails the response."""

    async def page(session: Session) -> None:
        items = session.typed(list[int], "items")
        assert items == []
        items.extend(changed)

    changed: list[int] = []
    browser = await visit_unproven(store, page)
    changed.append(1)
    with pytest.raises(ProofMissingError):
        await browser.visit("/page")


async def test_refused(store: BindingStore) -> None:
    """Whatever changes or uses the stored session is one clear error, and reading is not."""

    async def page(session: Session) -> None:
        assert (dict(session), session.user_id, session.handle) == ({}, None, None)
        for refused in (
            lambda: session.update(n=1),
            lambda: session.setdefault("n", 1),
            session.clear,
            session.renew,
            session.confirm,
            lambda: setattr(session, "period", 60),
            session.exclusive,
            session.lasting,
            session.require_device_binding,
            lambda: session.flash("Saved."),
        ):
            with pytest.raises(ProofMissingError, match=r"check session\.proof_missing first"):
                refused()
        for later in (session.save(), session.reload(), session.take("n"), session.devices()):
            with pytest.raises(ProofMissingError):
                await later
        with pytest.raises(ProofMissingError):
            await session.ended()

    browser = await visit_unproven(store, page)

    await browser.refresh()
    assert (await browser.visit("/look")).json()["user"] == "ann"


async def test_after_the_request(store: BindingStore) -> None:
    """Nothing of the stored session can be read after the request either."""
    kept: list[Session] = []

    async def page(session: Session) -> None:
        kept.append(session)

    await visit_unproven(store, page)

    [session] = kept
    assert (session.user_id, session.stamp, session.authenticated_at) == (None, None, None)
    assert not session.device_bound


async def test_login_and_save(store: BindingStore) -> None:
    """After a login the session is an ordinary one, in the same request."""

    async def page(session: Session) -> None:
        with pytest.raises(TypeError):
            session.login(1)  # type: ignore[arg-type] # nothing has changed then
        assert session.proof_missing
        session.login("ann", keep=["n"])
        assert not session.proof_missing
        async with session.exclusive():
            pass
        await session.reload()
        assert len(await session.devices()) == 1
        session["n"] = 1
        await session.save()
        assert len(await session.devices()) == 1

    browser = await visit_unproven(store, page)

    assert (await browser.visit("/members")).json() == {"n": 1}


async def test_logout_and_login(store: BindingStore) -> None:
    """A logout and a login in one request end the session and begin another."""

    async def page(session: Session) -> None:
        session.logout()
        session.login("ben")

    await visit_unproven(store, page)

    assert await store.devices("ann") == []
    assert len(await store.devices("ben")) == 1


async def test_logout_and_content(store: BindingStore) -> None:
    """A logout that leaves a message begins a visitor's session, and deletes the bound cookie."""

    async def page(session: Session) -> None:
        session.logout()
        session["message"] = "Bye"

    browser = await signed_in(site(store, page))
    await browser.visit("/page")
    assert BOUND not in browser.copy_of_cookies()
    assert (await browser.visit("/members")).json() == {"message": "Bye"}

    browser = await visit_unproven(store, page)
    assert (await browser.visit("/members")).json() == {"message": "Bye"}
    assert await store.devices("ann") == []


async def test_new_device(store: BindingStore) -> None:
    """A login with a copied cookie is one of a new device."""
    told: list[str] = []

    async def on_new_device(device: NewDevice) -> None:
        told.append(device.user_id)

    async def page(session: Session) -> None:
        session.login("ann")

    await visit_unproven(store, page, on_new_device=on_new_device)

    assert told == ["ann", "ann"]


async def test_reuse(store: BindingStore) -> None:
    """An old number ends no session and is recorded nowhere, as it comes without the proof."""

    async def page(session: Session) -> None:
        assert session.proof_missing

    app = site(store, page, rotate_every=0.01, rotation_grace=0.01, end_on_reuse=True)
    browser = await signed_in(app)
    old = browser.copy_of_cookies()[NAME]
    async with asyncio.timeout(10):
        while (await browser.visit("/look")).headers.get("set-cookie") is None:
            pass
        while (await browser.visit("/look")).headers.get("set-cookie") is None:
            pass
    async with thief(app, {NAME: old}) as client:
        assert (await client.get("/page")).status_code == 200

    assert (await browser.visit("/look")).json()["user"] == "ann"


async def test_proof_of_another(store: BindingStore) -> None:
    """The proof of a session whose number is too old is none for another cookie's session."""

    async def page(session: Session) -> bool:
        return session.proof_missing

    app = site(
        store,
        page,
        rotate_every=0.01,
        rotation_grace=0.01,
        require_device_binding=lambda scope: scope["path"] == "/page",
    )
    unbound = BindingBrowser(app, registers=False)
    await unbound.visit("/login")
    stolen = unbound.copy_of_cookies()[NAME]
    browser = await signed_in(app)
    old = browser.copy_of_cookies()[NAME]
    async with asyncio.timeout(10):
        for _ in range(2):
            while (await browser.visit("/look")).headers.get("set-cookie") is None:
                pass
    cookies = f"{NAME}={old}; {NAME}={stolen}; {BOUND}={browser.copy_of_cookies()[BOUND]}"
    async with thief(app, {}) as client:
        assert (await client.get("/page", headers={"cookie": cookies})).json()


async def test_refused_login(postgres: PostgresStore, table: Connection) -> None:
    """A login that a foreign key refuses ends nothing, and leaves the session without proof."""
    table.execute("CREATE TABLE users (id text PRIMARY KEY)")
    table.execute("INSERT INTO users VALUES ('ann')")
    table.execute("ALTER TABLE session ADD FOREIGN KEY (user_id) REFERENCES users")

    async def page(session: Session) -> None:
        session.login("ben")
        session["n"] = 1
        with pytest.raises(UnknownUserError):
            await session.save()
        assert (session.proof_missing, dict(session)) == (True, {})
        with pytest.raises(ProofMissingError):
            session["n"] = 1

    browser = await visit_unproven(postgres, page)

    await browser.refresh()
    assert (await browser.visit("/look")).json()["user"] == "ann"


async def test_not_offered(postgres: PostgresStore, table: Connection) -> None:
    """A login that was rolled back offers no registration for the session of before."""
    table.execute(
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'no'; END $$"
    )
    table.execute(
        "CREATE CONSTRAINT TRIGGER no AFTER INSERT OR UPDATE ON session DEFERRABLE INITIALLY"
        " DEFERRED FOR EACH ROW WHEN (NEW.user_id = 'ben') EXECUTE FUNCTION no()"
    )

    async def page(session: Session) -> None:
        with pytest.raises(SessionError):
            async with session.exclusive():
                session.login("ben")
        session.period = 3600

    browser = BindingBrowser(site(postgres, page), registers=False)
    await browser.visit("/login")
    response = await browser.visit("/page")

    assert NAME in response.headers["set-cookie"]
    assert "secure-session-registration" not in response.headers


async def test_twins(store: BindingStore) -> None:
    """Beside another session's cookie one without proof opens nothing, and nothing is ended."""
    browser = await signed_in(app := site(store))
    key = await store.generate({"theirs": 1})
    async with thief(app, {}) as client:
        cookie = f"{NAME}={browser.copy_of_cookies()[NAME]}"
        signer = SessionSettings(secret_key=SECRET).make_cookie()
        other = signer.write(key, None).decode().partition(";")[0]
        for cookies in (f"{cookie}; {other}", f"{other}; {cookie}"):
            await client.get("/look", headers={"cookie": cookies})

    assert (await browser.visit("/look")).json()["user"] == "ann"
    assert await store.get(key) is not None


async def test_required_in_a_handler(store: BindingStore) -> None:
    """`require_device_binding` refuses a session that is not bound, and no other."""

    async def page(session: Session) -> bool:
        try:
            session.require_device_binding()
        except ProofMissingError:
            return False
        return True

    browser = await signed_in(app := site(store, page))
    assert (await browser.visit("/page")).json()
    unbound = BindingBrowser(app, registers=False)
    await unbound.visit("/login")
    assert not (await unbound.visit("/page")).json()
