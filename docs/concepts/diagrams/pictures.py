"""All pictures, by the names of their files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from docs.concepts.diagrams import requests, sessions, site
from docs.concepts.diagrams.drawing import Picture

PICTURES: Final[Mapping[str, Callable[[], Picture]]] = {
    "architecture": site.architecture,
    "batching": requests.batching,
    "binding": sessions.binding,
    "keys": sessions.keys,
    "lifetimes": sessions.lifetimes,
    "locked-rows": requests.locked_rows,
    "merging": requests.merging,
    "outages": site.outages,
    "request": requests.request,
    "web": site.web,
}
