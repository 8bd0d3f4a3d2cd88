"""examples/devices over HTTPS in a browser that binds its session to its device."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.binding import BOUND, FLAG_WITHOUT_QUOTA
from tests.browser.internet import SHOP, Certificate, module_served_at
from tests.browser.members import ROOT, is_signed_in_at, is_watched, register
from tests.browser.window import Browser, opened
from tests.programs import eventually

TAG = ".devices .current p .tag"
BOUND_HERE = "Bound to this device"


@pytest.fixture
def site(certificate: Certificate, variables: dict[str, str]) -> Iterator[str]:
    """The address of the example. A proof is good for a few seconds."""
    more = {**variables, "SESSION_DEVICE_BINDING": "8s"}
    with module_served_at(SHOP, ROOT, "examples.devices.app", certificate, **more) as address:
        yield address


def test_bound(driver: str, tmp_path: Path, certificate: Certificate, site: str) -> None:
    """The list says that the session is bound. The badge of the open page connects again with a
    new proof, and says nothing meanwhile.
    """
    with opened(
        driver, tmp_path / "profile", flags=[*certificate.flags, FLAG_WITHOUT_QUOTA]
    ) as browser:
        register(browser, site, "ann")
        assert eventually(lambda: BOUND in browser.cookies())
        assert is_bound(browser, site)
        assert is_watched(browser)
        first = browser.cookies()[BOUND]["value"]
        browser.run(KEEP)
        # No other request makes the browser prove its device.
        assert eventually(lambda: browser.cookies().get(BOUND, {}).get("value", first) != first)
        assert eventually(lambda: browser.run("return window.opened") == 1)

        assert browser.run("return window.said.join()") == "Signed in"


#: Keeps what the badge says, and counts the sockets that are opened from now on.
KEEP = """
  window.said = [badge.textContent]
  window.opened = 0
  new MutationObserver(() => said.push(badge.textContent)).observe(badge, { childList: true })
  const Known = WebSocket
  window.WebSocket = class extends Known {
    constructor(address) {
      super(address)
      this.addEventListener("open", () => window.opened += 1)
    }
  }
"""


def is_bound(browser: Browser, site: str) -> bool:
    """Return whether the list says that this device's session is bound to it."""
    return is_signed_in_at(browser, site) and browser.text(TAG) == BOUND_HERE
