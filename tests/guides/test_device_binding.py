"""The page about device binding: its program, with a browser that binds sessions."""

from typing import Any, Final

import pytest
from starlette.types import Receive, Scope, Send

from tests.dbsc.browser import BindingBrowser
from tests.dbsc.site import NAME
from tests.project.conftest import Names
from tests.project.documents import Document

PAGE: Final = Document("docs/how-to/device-binding.md")
PROGRAM, REQUIRE = PAGE.programs


async def signed_in(app: Any, *, registers: bool = True) -> BindingBrowser:
    """Sign in, and register where that is offered."""
    browser = BindingBrowser(app, registers=registers)
    response = await browser.post("/sign-in", data={"user": "ann"})
    if registers:
        await browser.register(response.headers["secure-session-registration"])
    return browser


async def test_bound(names: Names) -> None:
    """A session that is bound opens the pages that ask for it; a copy of its cookie opens none."""
    app = names(PROGRAM)["app"]
    browser = await signed_in(app)

    assert "bound to this device" in (await browser.get("/")).text
    assert (await browser.get("/admin")).json() == "All machines are well."
    thief = BindingBrowser(app)
    thief.cookies.set(NAME, browser.copy_of_cookies()[NAME])
    found = await thief.get("/")
    assert (found.status_code, "has not proved" in found.text) == (401, True)


async def test_not_bound(names: Names) -> None:
    """A browser that binds no sessions is signed in, but not where a bound session is required."""
    browser = await signed_in(names(PROGRAM)["app"], registers=False)

    assert "not bound to a device" in (await browser.get("/")).text
    found = await browser.get("/admin")
    assert (found.status_code, "needs a session that is bound" in found.text) == (401, True)


@pytest.mark.parametrize("root_path", ["", "/app"])
async def test_required_by_settings(names: Names, root_path: str) -> None:
    """The setting of the page leaves a session that is not bound away from /admin."""
    start = PROGRAM.index("settings = replace(")
    line = PROGRAM[start : PROGRAM.index("\n)\n", start) + 3]
    require = REQUIRE.replace(
        "    require_device", "    device_binding=timedelta(minutes=10),\n    require_device"
    )
    program = PROGRAM.replace(line, require).replace(
        "session.require_device_binding()", "session['n'] = 1"
    )
    app = names(program)["app"]

    async def behind_proxy(scope: Scope, receive: Receive, send: Send) -> None:
        path = root_path + scope["path"]
        await app({**scope, "root_path": root_path, "path": path}, receive, send)

    browser = await signed_in(behind_proxy, registers=False)

    assert "not bound to a device" in (await browser.get("/")).text
    assert (await browser.get("/admin")).status_code == 401
