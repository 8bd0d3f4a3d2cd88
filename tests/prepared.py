"""What runs in the processes that `tests.programs` forks: a web server, or a command."""

import os
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from coverage import process_startup

#: The imports of these programs, which are made once.
IMPORTS = (
    "fastapi",
    "jinja2",
    "pgsession.cli.commands",
    "psycopg_pool",
    "python_multipart",
    "starlette.templating",
    "uvicorn.lifespan.on",
    "uvicorn.main",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.auto",
    "uvloop",
)


def serve(said: Connection, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Do what `python -m uvicorn` does with these arguments and this environment."""
    for standard in (1, 2):
        os.dup2(said.fileno(), standard)
    said.close()
    _become("uvicorn", arguments, environment)

    from uvicorn.main import main  # noqa: PLC0415 - the tests' own process needs no uvicorn

    main()


def command(said: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Do what `python -m pgsession` does, and write its output to files in the folder `said`."""
    for standard, name in ((1, "stdout"), (2, "stderr")):
        with (said / name).open("wb") as file:
            os.dup2(file.fileno(), standard)
    _become("pgsession", arguments, environment)

    from pgsession.__main__ import main  # noqa: PLC0415 - as above

    measuring = process_startup() if "COVERAGE_PROCESS_CONFIG" in environment else None
    try:
        main()
    finally:
        if measuring is not None:  # a forked process runs nothing at its exit
            measuring.stop()
            measuring.save()


def _become(program: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [program, *arguments]
