"""A window of Chromium, controlled with a few HTTP requests of the W3C WebDriver protocol."""

import shutil
from base64 import b64decode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from tests.programs import TIMEOUT, eventually

CHROMIUM: Final = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
DRIVER: Final = shutil.which("chromedriver")

FLAGS: Final = (
    "--headless",
    "--no-sandbox",  # root cannot use the sandbox
    "--disable-gpu",
    "--disable-dev-shm-usage",  # containers have little of it
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

#: The key of an element's id in WebDriver (section 12.1 of the standard).
ELEMENT: Final = "element-6066-11e4-a52e-4f735466cecf"

#: A cookie as the DevTools protocol describes it (Network.Cookie), or as WebDriver does.
StoredCookie = dict[str, Any]


class Browser:
    """A browser window. Elements are selected with CSS selectors."""

    def __init__(self, client: httpx.Client, session: str) -> None:
        self._client = client
        self._window = f"/session/{session}"

    def close(self) -> None:
        self._ask("DELETE", "")

    def forget(self) -> None:
        """Forget the pages, the cookies and the cache, as a new profile would."""
        self.open("about:blank")
        self.delete_all_cookies()
        self._tell_devtools("Network.clearBrowserCache")

    def open(self, address: str) -> None:
        self._ask("POST", "/url", {"url": address})

    def back(self) -> None:
        """Press the back button."""
        self._ask("POST", "/back", {})

    def address(self) -> str:
        """Return the address of the page."""
        return str(self._ask("GET", "/url"))

    def text(self, selector: str) -> str:
        """Return the text of an element, or an empty string if there is no such element."""
        script = "return document.querySelector(arguments[0])?.textContent ?? ''"
        return str(self.run(script, selector))

    def type(self, selector: str, text: str) -> None:
        self._ask("POST", f"{self._find(selector)}/value", {"text": text})

    def click(self, selector: str) -> None:
        self._ask("POST", f"{self._find(selector)}/click", {})

    def follow(self, selector: str) -> None:
        """Click what leads to another page, and wait for that page."""
        self.run("window.isLeft = true")
        self.click(selector)
        script = "return !window.isLeft && document.readyState === 'complete'"
        assert eventually(lambda: self.run(script) is True)

    def tab(self) -> str:
        """Return the handle of the tab that is selected."""
        return str(self._ask("GET", "/window"))

    def open_tab(self, address: str) -> str:
        """Open an address in a new tab, select the tab, and return its handle."""
        handle = str(self._ask("POST", "/window/new", {"type": "tab"})["handle"])
        self.select_tab(handle)
        self.open(address)
        return handle

    def select_tab(self, handle: str) -> None:
        self._ask("POST", "/window", {"handle": handle})

    def run(self, script: str, *arguments: str) -> object:
        return self._ask("POST", "/execute/sync", {"script": script, "args": arguments})

    @contextmanager
    def prepared(self, script: str) -> Iterator[None]:
        """Run a script at the beginning of each page that is opened."""
        added = self._tell_devtools("Page.addScriptToEvaluateOnNewDocument", source=script)
        try:
            yield
        finally:
            self._tell_devtools("Page.removeScriptToEvaluateOnNewDocument", **added)

    @contextmanager
    def inside(self, selector: str) -> Iterator[None]:
        """Select elements in a frame of the page."""
        _, _, element = self._find(selector).rpartition("/")
        self._ask("POST", "/frame", {"id": {ELEMENT: element}})
        try:
            yield
        finally:
            self._ask("POST", "/frame", {"id": None})

    def cookies(self) -> dict[str, StoredCookie]:
        """Return the cookies of the page by name, including HttpOnly ones."""
        return {cookie["name"]: cookie for cookie in self._ask("GET", "/cookie")}

    def all_cookies(self) -> list[StoredCookie]:
        """Return the cookies of all sites, also those that share a name."""
        found: list[StoredCookie] = self._tell_devtools("Network.getAllCookies")["cookies"]
        return found

    def delete_cookie(self, name: str) -> None:
        """Delete a cookie of the page."""
        self._ask("DELETE", f"/cookie/{name}")

    def delete_all_cookies(self) -> None:
        """Delete the cookies of all sites. WebDriver's own command keeps partitioned ones."""
        self._tell_devtools("Network.clearBrowserCookies")

    def emulate(self, setting: str, **parameters: object) -> None:
        """Set one of DevTools' emulations for this window, such as `setEmulatedMedia`."""
        self._tell_devtools(f"Emulation.{setting}", **parameters)

    def screenshot(self) -> bytes:
        """Return a picture of the page, as PNG."""
        return b64decode(self._ask("GET", "/screenshot"))

    def _tell_devtools(self, command: str, **parameters: object) -> Any:
        return self._ask("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def _find(self, selector: str) -> str:
        found = self._ask("POST", "/element", {"using": "css selector", "value": selector})
        return f"/element/{found[ELEMENT]}"

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        answer = self._client.request(method, self._window + path, json=body)
        assert answer.is_success, answer.text
        return answer.json()["value"]


@contextmanager
def opened(driver: str, profile: Path, *, flags: Sequence[str] = ()) -> Iterator[Browser]:
    """Start a browser with the profile in a folder, and close it."""
    arguments = [*FLAGS, *flags, f"--user-data-dir={profile}"]
    options = {"binary": CHROMIUM, "args": arguments}
    wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}}
    with httpx.Client(base_url=driver, timeout=TIMEOUT) as client:
        answer = client.post("/session", json=wanted)
        assert answer.is_success, answer.text
        browser = Browser(client, answer.json()["value"]["sessionId"])
        try:
            yield browser
        finally:
            browser.close()
