"""What a browser calls itself, in words: "Firefox on Linux"."""

import asyncio
from collections.abc import Iterable
from functools import lru_cache

from ua_parser import parse_os, parse_user_agent

#: Names that differ from those that users know.
KNOWN_AS = {
    "Chrome Mobile": "Chrome",
    "Chrome Mobile iOS": "Chrome",
    "Edge Mobile": "Edge",
    "Firefox Mobile": "Firefox",
    "Firefox iOS": "Firefox",
    "HeadlessChrome": "Headless Chrome",
    "Mac OS X": "macOS",
    "Mobile Safari": "Safari",
}

#: The systems of phones and tablets.
HANDHELD = {"Android", "iOS"}


#: How many user agents are remembered: many times what one page shows.
REMEMBERED = 2048


def describe(agent: str | None) -> str:
    """Return the browser and the system that a user agent names."""
    browser, system = parse(agent or "")
    names = [KNOWN_AS.get(it, it) for it in (browser, system) if it is not None]
    return " on ".join(names) or "Unknown browser"


def is_handheld(agent: str | None) -> bool:
    """Return whether a user agent is that of a phone or a tablet."""
    return parse(agent or "")[1] in HANDHELD


async def learn(agents: Iterable[str | None]) -> None:
    """Parse user agents before a page shows them.

    One that somebody has made up can take 10 ms, so other requests go on meanwhile: a thread
    parses.
    """
    await asyncio.to_thread(lambda: [parse(agent or "") for agent in agents])


@lru_cache(REMEMBERED)
def parse(agent: str) -> tuple[str | None, str | None]:
    """Return the names of the browser and of the system."""
    browser, system = parse_user_agent(agent), parse_os(agent)
    return (
        None if browser is None else browser.family,
        None if system is None else system.family,
    )
