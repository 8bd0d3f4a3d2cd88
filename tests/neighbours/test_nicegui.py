"""NiceGUI mounts itself with Starlette's own SessionMiddleware. Its cookie is `session`.

`app.storage.browser` is that session, and `app.storage.user` belongs to an id in it.
"""

from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from nicegui import app, ui
from nicegui.storage import Storage
from nicegui.testing.general import nicegui_reset_globals

from pgsession import MemoryStore, PostgresStore, Store
from tests.neighbours.sites import Site
from tests.pages import NAME

Run = Callable[..., AbstractAsyncContextManager[Site]]

#: NiceGUI saves its storage in a task, and leaves the file open if it ends meanwhile.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*FileIO name='.*storage-user-:pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs a site with the pages of NiceGUI below `/gui`."""
    monkeypatch.setattr(Storage, "path", tmp_path)
    with nicegui_reset_globals():
        yield run_with_gui


@asynccontextmanager
async def run_with_gui(store: Store, **keywords: Any) -> AsyncIterator[Site]:
    site = Site(store, **keywords)
    ui.page("/browser")(count_in_browser)
    ui.page("/user")(count_in_user)
    ui.run_with(site.app, mount_path="/gui", storage_secret="NiceGUI", show_welcome_message=False)
    async with site.app.router.lifespan_context(site.app):
        yield site


def count_in_browser() -> None:
    count(app.storage.browser)


def count_in_user() -> None:
    count(app.storage.user)


def count(storage: MutableMapping[str, Any]) -> None:
    storage["visits"] = storage.get("visits", 0) + 1
    ui.label(f"This is visit {storage['visits']}.")


async def visit(site: Site, path: str) -> str:
    """Visit a page of NiceGUI and return its HTML."""
    return (await site.browser.get(path)).text


async def test_browser_storage(run: Run) -> None:
    """A visitor of the site has a browser storage in NiceGUI too."""
    async with run(MemoryStore()) as site, site.keeping_session():
        assert "This is visit 1." in await visit(site, "/gui/browser")
        assert "This is visit 2." in await visit(site, "/gui/browser")
        assert site.read_cookie().keys() == {"id", "visits"}


async def test_user_storage(run: Run) -> None:
    """A visitor of the site has a user storage in NiceGUI too."""
    async with run(MemoryStore()) as site, site.keeping_session():
        assert "This is visit 1." in await visit(site, "/gui/user")
        assert "This is visit 2." in await visit(site, "/gui/user")


async def test_postgres(run: Run, postgres: PostgresStore) -> None:
    """A visit to NiceGUI leaves the site's row as it is."""
    async with run(postgres) as site, site.keeping_session():
        assert "This is visit 1." in await visit(site, "/gui/browser")


async def test_visited_first(run: Run) -> None:
    """A visitor who used only NiceGUI has no session of the site."""
    async with run(MemoryStore()) as site:
        await visit(site, "/gui/browser")

        assert NAME not in site.browser.cookies
        assert (await site.browser.get("/read")).json() == {}


async def test_signed_out_of_site(run: Run) -> None:
    """The end of the site's session is not the end of NiceGUI's storage."""
    async with run(MemoryStore()) as site:
        await site.browser.get("/fill")
        await visit(site, "/gui/browser")

        await site.browser.get("/logout")

        assert "This is visit 2." in await visit(site, "/gui/browser")


async def test_excluded(run: Run) -> None:
    """NiceGUI on an excluded path keeps its storage."""
    async with run(MemoryStore(), exclude=["/gui"]) as site, site.keeping_session():
        assert "This is visit 1." in await visit(site, "/gui/browser")
        assert "This is visit 2." in await visit(site, "/gui/browser")
