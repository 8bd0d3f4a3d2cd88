"""A real PostgreSQL 18 on a folder of yours; see `pgsession.postgres.embedded`.

``python -m pgsession.embedded FOLDER`` runs it until Ctrl-C or SIGTERM.
"""

import argparse
import shlex
import signal
import sys
from typing import Final

from pgsession.errors import SessionError
from pgsession.postgres.embedded import embedded_server

__all__ = ["embedded_server"]

#: What ends the command.
_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_INTERRUPTED: Final = 130


def main() -> int:
    """Run the server on the folder that the command line names, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m pgsession.embedded",
        description="Run a PostgreSQL on a folder, until Ctrl-C or SIGTERM.",
        epilog="The first line of the output is its URL.",
    )
    parser.add_argument("folder", metavar="FOLDER", help="keeps the databases; made if missing")
    folder: str = parser.parse_args().folder
    if not folder:
        parser.error("FOLDER is empty.")
    try:
        return _serve(folder)
    except SessionError as error:
        said = " ".join(str(error).split())
    except OSError as error:
        said = f"{error.filename or folder} cannot be used: {error.strerror}."
    sys.stderr.write(f"Error: {said}\n")
    return 1


def _serve(folder: str) -> int:
    """Run the server until a signal comes. The start and the stop are not interrupted."""
    # nohup, and a shell that starts it in the background, ignore some on purpose.
    ending = [number for number in _ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    signal.pthread_sigmask(signal.SIG_BLOCK, ending)
    with embedded_server(folder) as url:
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        sys.stderr.write(
            f"Use it in another terminal:\n\n    export SESSION_DATABASE_URL={shlex.quote(url)}\n\n"
            "Ctrl-C stops it.\n"
        )
        number = signal.sigwait(ending)
    return _INTERRUPTED if number == signal.SIGINT else 0


if __name__ == "__main__":
    sys.exit(main())
