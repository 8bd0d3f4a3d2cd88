"""The requests of a bound session in Chromium, before and after its proof has ended."""

from tests.browser.binding import (
    REFRESH,
    SIGNED_IN,
    Site,
    outlast_proof,
    seen,
    shown,
    sign_in,
)
from tests.browser.conftest import BoundSite
from tests.browser.window import Browser
from tests.programs import eventually

#: Sends 20 requests at once, and returns what their pages show.
FETCHES = """
const page = async number => {
  const text = await (await fetch(`/?number=${number}`)).text();
  const body = new DOMParser().parseFromString(text, 'text/html');
  return ['user', 'bound', 'missing'].map(name => body.getElementById(name).textContent);
};
return Promise.all(Array.from({length: 20}, (_, number) => page(number)));
"""

#: Lets a tab load its page again when any tab says so.
LISTEN = "new BroadcastChannel('load').onmessage = () => location.reload(); window.isOld = true"
SAY = "new BroadcastChannel('load').postMessage('')"

SOCKET = """
return new Promise((resolve, reject) => {
  const socket = new WebSocket(`wss://${location.host}/socket`);
  socket.onmessage = event => { socket.close(); resolve(event.data); };
  socket.onerror = reject;
});
"""
EVENTS = """
return new Promise((resolve, reject) => {
  const events = new EventSource('/events');
  events.onmessage = event => { events.close(); resolve(event.data); };
  events.onerror = reject;
});
"""


def test_many_refreshes(binding: Browser, site: Site) -> None:
    """Many pages and refreshes in a row, with pauses in which the proof ends, are all signed in.

    The browser signs once for all of them.
    """
    sign_in(binding, site)
    for _ in range(2):
        outlast_proof(binding)
        assert {shown(binding, site) for _ in range(8)} == {SIGNED_IN}

    assert set(site.answers(REFRESH)) == {200}
    assert len(site.answers(REFRESH)) > 10
    assert len(site.proofs(REFRESH)) == 1


def test_parallel_requests(binding: Browser, site: Site) -> None:
    """One refresh serves 20 requests that are sent at once after the proof has ended."""
    sign_in(binding, site)
    outlast_proof(binding)
    before = site.held_refreshes()
    pages = binding.run(FETCHES)

    assert pages == [list(SIGNED_IN)] * 20
    assert site.held_refreshes() == before + 1


def test_tabs(binding: Browser, site: Site) -> None:
    """One refresh serves three tabs that load a page at once after the proof has ended."""
    sign_in(binding, site)
    tabs = [binding.tab(), *(binding.open_tab(f"{site.address}/") for _ in range(2))]
    for tab in tabs:
        binding.select_tab(tab)
        binding.run(LISTEN)
    outlast_proof(binding)
    before = site.held_refreshes()
    binding.run(SAY)

    for tab in tabs:
        binding.select_tab(tab)
        assert eventually(lambda: binding.run("return !window.isOld") is True)
        assert eventually(lambda: seen(binding) == SIGNED_IN)
    assert site.held_refreshes() == before + 1


def test_streams(binding: Browser, site: Site) -> None:
    """A stream that is opened after the proof has ended waits for the refresh."""
    sign_in(binding, site)
    for script, path in ((SOCKET, "/socket"), (EVENTS, "/events")):
        outlast_proof(binding)
        before = site.held_refreshes()

        assert binding.run(script) == "ann"
        assert site.held_refreshes() == before + 1
        assert len(site.of(path)) == 1


def test_link_from_elsewhere(binding: Browser, site: Site, elsewhere: str) -> None:
    """A page that is opened by a link of another site, after the proof has ended, is signed in."""
    sign_in(binding, site)
    outlast_proof(binding)
    binding.open(f"{elsewhere}/link?to={site.address}/")
    binding.follow("a")

    assert seen(binding) == SIGNED_IN


def test_excluded_path(binding: Browser, serve_bound: BoundSite) -> None:
    """A request for an excluded path does not wait for a refresh."""
    with serve_bound(SESSION_EXCLUDE="/public") as site:
        sign_in(binding, site)
        outlast_proof(binding)
        before = site.answers(REFRESH)

        assert binding.run("return fetch('/public').then(it => it.text())") == "public"
        assert site.answers(REFRESH) == before
        assert shown(binding, site) == SIGNED_IN
