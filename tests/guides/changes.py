"""The programs before and after a switch, from the diff on a page."""

import re
from typing import NamedTuple

from tests.project.documents import Document


class Change(NamedTuple):
    """A program before and after."""

    before: str
    after: str


def change_of(page: Document) -> Change:
    """Return what the diff of a page shows. Its lines are those of the whole program."""
    (text,) = re.findall(r"^```diff\n(.*?)^```$", page.text, re.DOTALL | re.MULTILINE)
    lines = text.splitlines(keepends=True)
    return Change(
        "".join(line[1:] for line in lines if not line.startswith("+")),
        "".join(line[1:] for line in lines if not line.startswith("-")),
    )
