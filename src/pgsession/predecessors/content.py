"""The content of old sessions, as it is stored."""

from __future__ import annotations

import json
from typing import Any

from pgsession.core.value import JSON

#: A member in which starsessions keeps when a session was created.
METADATA = "__metadata__"


def read_json(text: str | bytes) -> dict[str, JSON] | None:
    """Return the object of a JSON text, or None for anything else."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return as_content(found)


def as_content(found: Any) -> dict[str, JSON] | None:  # noqa: ANN401 - what a decoder returns
    """Return a decoded dict, or None for anything else.

    What JSON cannot hold in it is found when the session is taken over.
    """
    return found if isinstance(found, dict) else None
