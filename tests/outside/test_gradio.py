"""The functions of a Gradio application, which run in its queue."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pgsession import MemoryStore, RequestEndedError, Store
from tests.outside.site import Site


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@asynccontextmanager
async def with_gradio(store: Store) -> AsyncIterator[Site]:
    """A site with a function in Gradio's queue."""
    import gradio  # noqa: PLC0415 - it takes seconds, and each process reads this file

    site = Site(store)

    async def count(_: str, request: gradio.Request) -> str:
        assert request.request is not None
        with pytest.raises(RequestEndedError):
            request.request.session["runs"] = 1  # the event's own request is over
        async with site.sessions.open(request.request) as session:
            session["runs"] = session.get("runs", 0) + 1
            return f"{session['user']} {session['runs']}"

    with gradio.Blocks() as blocks:
        text = gradio.Textbox()
        text.submit(count, text, text, api_name="count")
    gradio.mount_gradio_app(site.app, blocks, path="/gradio")
    async with site.app.router.lifespan_context(site.app):
        yield site


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Gradio's, of pandas
@pytest.mark.usefixtures("environment")
async def test_queue() -> None:
    """A function in the queue finds the session of its event, and saves what it changes."""
    async with with_gradio(MemoryStore()) as site:
        await site.come("fill?user=ann")
        assert await run(site) == "ann 1"
        assert await run(site) == "ann 2"
        assert await site.content() == {"user": "ann", "runs": 2}


async def run(site: Site) -> str:
    """Put an event into the queue, as Gradio's page does, and return the result."""
    hash_ = {"session_hash": "hash", "fn_index": 0}
    joined = await site.browser.post("/gradio/gradio_api/queue/join", json={"data": [""], **hash_})
    assert joined.status_code == 200, joined.text
    answer = await site.browser.get("/gradio/gradio_api/queue/data?session_hash=hash")
    messages = [json.loads(line) for line in re.findall(r"^data: (.+)$", answer.text, re.MULTILINE)]
    (completed,) = (each for each in messages if each["msg"] == "process_completed")
    return str(completed["output"]["data"][0])
