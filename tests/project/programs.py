"""Write the whole programs of the pages into a folder, for the type checker.

    python -m tests.project.programs FOLDER

A program is whole if it names all that it uses.
"""

import shutil
import sys
from pathlib import Path
from typing import Final

from tests.project.documents import DOCS, README, Document

#: The pages of which some programs are not whole, and the numbers of those that are.
SOME: Final = {
    "docs/how-to/fastapi.md": {0},
    "docs/how-to/from-django.md": {0},
    "docs/how-to/outside-requests.md": {0},
    "docs/how-to/several-applications.md": {0},
    "docs/how-to/sqladmin.md": {0},
    "docs/how-to/streams.md": {1},
    "docs/how-to/switching-over.md": {0},
    "docs/reference/telemetry.md": {1},
    "docs/how-to/users.md": {0, 1, 5},
}

#: The pages whose programs are all whole.
ALL: Final = {
    "README.md",
    "docs/how-to/flash.md",
    "docs/how-to/from-ocaml.md",
    "docs/how-to/from-starlette.md",
    "docs/how-to/from-starsessions.md",
    "docs/how-to/sessions.md",
    "docs/how-to/several-hosts.md",
    "docs/how-to/sqlalchemy.md",
    "docs/how-to/starlette.md",
    "docs/how-to/starlette-admin.md",
    "docs/reference/stores.md",
    "docs/how-to/testing.md",
    "docs/how-to/typed-content.md",
}


def write_programs(folder: Path) -> None:
    """Write the programs, each page's into a folder of its own. What was there before goes."""
    shutil.rmtree(folder, ignore_errors=True)
    for page in [README, *DOCS]:
        if page.name not in ALL and page.name not in SOME:
            continue
        place = folder / Path(page.name).stem.lower().replace("-", "_")
        place.mkdir(parents=True)
        for number, text in enumerate(page.programs):
            if page.name in ALL or number in SOME[page.name]:
                (place / _name_of(text, page, number)).write_text(text, encoding="utf-8")


def _name_of(text: str, page: Document, number: int) -> str:
    """Return the file that a program names in its first line, or one of its page and number.

    Many pages have an `app.py`. It keeps that name where another program of the page imports it.
    """
    first = text.partition("\n")[0].removeprefix("# ")
    stem = Path(page.name).stem.lower().replace("-", "_")
    is_named = first.endswith(".py") and first != "app.py"
    if is_named or any("from app import" in program for program in page.programs):
        return first
    return f"{stem}_{number}.py"


if __name__ == "__main__":
    write_programs(Path(sys.argv[1]))
