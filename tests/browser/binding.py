"""A site whose sessions Chromium binds to its device, and what tests see on both sides."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import msgspec

from tests.browser.internet import SHOP, Certificate, served_at
from tests.browser.window import Browser
from tests.programs import eventually

NAME: Final = "__Host-session"
BOUND: Final = f"{NAME}-bound"

REGISTER: Final = "/.session/register"
REFRESH: Final = "/.session/refresh"

#: With this Chromium binds sessions without secure hardware.
FLAG: Final = (
    "--enable-features=DeviceBoundSessions,PersistDeviceBoundSessions,"
    "EnableBoundSessionCredentialsSoftwareKeysForManualTesting"
)

#: With this it also does so as often as a test asks for it: usually it makes six signatures for a
#: site in nine minutes.
FLAG_WITHOUT_QUOTA: Final = f"{FLAG},DeviceBoundSessions:RefreshQuota/false"

#: How long a proof is good on the site, in seconds.
PERIOD: Final = 5

#: What a page shows: the user, whether the session is bound, and whether its proof is missing.
SIGNED_IN: Final = ("ann", "True", "False")
UNBOUND: Final = ("ann", "False", "False")
UNPROVEN: Final = ("", "False", "True")


class Record(msgspec.Struct, frozen=True):
    """A request and its response, as the site saw them."""

    process: int
    method: str
    path: str
    status: int
    request: dict[str, str]
    response: dict[str, str]


@dataclass(frozen=True, slots=True)
class Site:
    """The site of bound.py."""

    address: str
    folder: Path

    def records(self) -> list[Record]:
        """Return all requests, in the order of their responses."""
        log = self.folder / "log"
        lines = log.read_bytes().splitlines() if log.exists() else []
        return [msgspec.json.decode(line, type=Record) for line in lines]

    def of(self, path: str) -> list[Record]:
        """Return the requests for a path."""
        return [record for record in self.records() if record.path == path]

    def answers(self, path: str) -> list[int]:
        """Return the status of each response to a request for a path."""
        return [record.status for record in self.of(path)]

    def proofs(self, path: str) -> list[str]:
        """Return the proofs that came to a path, each once."""
        proofs = [record.request.get("secure-session-response") for record in self.of(path)]
        return list(dict.fromkeys(filter(None, proofs)))

    def held_refreshes(self) -> int:
        """Return how many refreshes came without a bound cookie: a request waited for them."""
        return sum(BOUND not in record.request.get("cookie", "") for record in self.of(REFRESH))

    def die_at(self, path: str, *, times: int = 1) -> None:
        """Let the processes that get the next requests for a path die before they answer."""
        (self.folder / "fatal").write_text(f"{path}\n" * times)

    def deaths_due(self) -> int:
        """Return how many processes have still to die."""
        return len((self.folder / "fatal").read_text().splitlines())


@contextmanager
def bound_site(
    certificate: Certificate, folder: Path, *, options: Sequence[str] = (), **variables: str
) -> Iterator[Site]:
    """Serve the site, with further options of uvicorn."""
    file = Path(__file__).with_name("bound.py")
    variables = {"SESSION_DEVICE_BINDING": f"{PERIOD}s", **variables, "BOUND_FOLDER": str(folder)}
    with served_at(SHOP, file, certificate, options=options, **variables) as address:
        # With several processes, uvicorn says the address before one of them listens.
        assert eventually(lambda: accepts_connections(address))
        yield Site(address, folder)


def accepts_connections(address: str) -> bool:
    _, _, port = address.rpartition(":")
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(port))) == 0


def shown(browser: Browser, site: Site, path: str = "/") -> tuple[str, str, str]:
    """Open a page; return the user, whether the session is bound, and whether its proof misses."""
    browser.open(site.address + path)
    return seen(browser)


def seen(browser: Browser) -> tuple[str, str, str]:
    """Return what the page shows that is open."""
    user, bound, missing = (browser.text(f"#{name}") for name in ("user", "bound", "missing"))
    return user, bound, missing


def sign_in(browser: Browser, site: Site) -> None:
    """Sign in, and wait until the browser has bound the session."""
    browser.open(f"{site.address}/login")
    assert is_bound(browser)
    assert shown(browser, site) == SIGNED_IN


def is_bound(browser: Browser) -> bool:
    """Wait until the browser has the bound cookie."""
    return eventually(lambda: BOUND in browser.cookies())


def outlast_proof(browser: Browser) -> None:
    """Wait until the bound cookie has ended in the browser."""
    assert eventually(lambda: BOUND not in browser.cookies())


@contextmanager
def thief(site: Site, cookies: dict[str, str]) -> Iterator[httpx.Client]:
    """Another client with copied cookies."""
    _, _, host = site.address.partition("://")
    _, _, port = host.partition(":")
    headers = {"host": host, "cookie": "; ".join(f"{name}={it}" for name, it in cookies.items())}
    url = f"https://127.0.0.1:{port}"
    with httpx.Client(base_url=url, headers=headers, verify=False) as client:  # noqa: S501 - a copy of cookies needs no certificate
        yield client


def is_let_in(client: httpx.Client) -> bool:
    return '<p id="user">ann</p>' in client.get("/").text


def copied(browser: Browser) -> dict[str, str]:
    return {name: cookie["value"] for name, cookie in browser.cookies().items()}
