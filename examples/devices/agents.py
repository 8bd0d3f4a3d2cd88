"""What a browser calls itself, in words: "Firefox on Linux"."""

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


def describe(agent: str | None) -> str:
    """Return the browser and the system that a user agent names."""
    browser, system = parse_user_agent(agent or ""), parse_os(agent or "")
    names = [KNOWN_AS.get(it.family, it.family) for it in (browser, system) if it is not None]
    return " on ".join(names) or "Unknown browser"


def is_handheld(agent: str | None) -> bool:
    """Return whether a user agent is that of a phone or a tablet."""
    system = parse_os(agent or "")
    return system is not None and system.family in HANDHELD
