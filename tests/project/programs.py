"""Write the whole programs of the pages into a folder, for the type checker.

    python -m tests.project.programs FOLDER

A program is whole if it names all that it uses.
"""

import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tests.project.documents import DOCS, README

#: The pages of which some programs are not whole, and the numbers of those that are.
SOME: Final = {
    "docs/how-to/fastapi.md": {0},
    "docs/how-to/from-django.md": {0},
    "docs/how-to/outside-requests.md": {0},
    "docs/how-to/several-applications.md": {0},
    "docs/how-to/sqladmin.md": {0},
    "docs/how-to/alembic.md": {0, 2},
    "docs/how-to/csrf.md": {0},
    "docs/how-to/device-binding.md": {0},
    "docs/how-to/devices-of-a-user.md": {0, 2},
    "docs/how-to/oauth.md": {0},
    "docs/how-to/passwords.md": {0},
    "docs/how-to/secrets.md": {0, 1, 2, 3},
    "docs/how-to/remember-me.md": {0},  # the others import the program
    "docs/how-to/server-sent-events.md": {0},
    "docs/how-to/websockets.md": {0},
    "docs/how-to/switching-over.md": {0},
    "docs/how-to/opentelemetry.md": {0},
    "docs/how-to/sentry.md": {0},
}

#: The pages whose programs are all whole.
ALL: Final = {
    "README.md",
    "docs/how-to/administrators.md",
    "docs/how-to/flash.md",
    "docs/how-to/front-ends.md",
    "docs/how-to/kubernetes.md",
    "docs/how-to/reverse-proxies.md",
    "docs/how-to/from-ocaml.md",
    "docs/how-to/from-starlette.md",
    "docs/how-to/from-starsessions.md",
    "docs/how-to/foreign-key.md",
    "docs/how-to/openid-connect.md",
    "docs/how-to/parallel-requests.md",
    "docs/how-to/privacy.md",
    "docs/how-to/pydantic-settings.md",
    "docs/how-to/sessions.md",
    "docs/how-to/several-hosts.md",
    "docs/how-to/socket-io.md",
    "docs/how-to/sqlalchemy.md",
    "docs/reference/middleware.md",
    "docs/reference/predecessors.md",
    "docs/reference/session.md",
    "docs/reference/settings.md",
    "docs/operations/failover.md",
    "docs/how-to/starlette.md",
    "docs/how-to/starlette-admin.md",
    "docs/how-to/streams.md",
    "docs/reference/stores.md",
    "docs/how-to/testing.md",
    "docs/how-to/typed-content.md",
    "docs/how-to/users.md",
}


def write_programs(folder: Path) -> None:
    """Write the programs, each page's into a folder of its own. What was there before goes."""
    shutil.rmtree(folder, ignore_errors=True)
    for page in [README, *DOCS]:
        if page.name not in ALL and page.name not in SOME:
            continue
        chosen = SOME.get(page.name, range(len(page.programs)))
        programs = {number: page.programs[number] for number in sorted(chosen)}
        stem = Path(page.name).stem.lower().replace("-", "_")
        place = folder / stem
        place.mkdir(parents=True)
        for number, text in programs.items():
            name = _name_of(text, programs.values()) or f"{stem}_{number}.py"
            (place / name).write_text(text, encoding="utf-8")


def _name_of(text: str, programs: Iterable[str]) -> str | None:
    """Return the file that a program names in its first line.

    Most pages have an app.py. mypy knows one module of that name, so it keeps it where another
    program of the page imports it.
    """
    first = text.partition("\n")[0].removeprefix("# ")
    if not first.endswith(".py"):
        return None
    line = f"from {first.removesuffix('.py')} import "
    is_imported = any(line in program for program in programs)
    return first if first != "app.py" or is_imported else None


if __name__ == "__main__":
    write_programs(Path(sys.argv[1]))
