"""Try pgsession with each PostgreSQL, PgBouncer, Python and web server that is on this machine.

    make matrix
    make matrix MATRIX_OPTIONS="--only postgresql --write"
    MATRIX_POSTGRES="/opt/pg14 /opt/pg15" MATRIX_PGBOUNCER=/opt/pgbouncer make matrix

Prints the tables, with --write also into docs/reference/compatibility.md. The exit code is 1 if a
cell failed; what is not here is no failure.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
from pathlib import Path

from pgsession.postgres import embedded
from tests.matrix import machine
from tests.matrix.machine import Program
from tests.matrix.parts import PARTS, Setting
from tests.matrix.processes import ROOT
from tests.matrix.run import Run
from tests.matrix.table import inserted, markdown

PAGE = ROOT / "docs" / "reference" / "compatibility.md"
LOGS = ROOT / ".matrix"


def main() -> None:
    """Run the chosen parts, all of them by default."""
    arguments = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends what was started, too
    for line in machine.missing(os.environ):
        print(line, file=sys.stderr)
    setting = Setting(
        run=Run(LOGS),
        environ=os.environ,
        python=Program(Path(sys.executable), platform.python_version()),
        embedded=machine.version_of(embedded._binaries() / "postgres") or "",  # noqa: SLF001
        servers=arguments.servers,
    )
    parts = [PARTS[name](setting) for name in PARTS if name in (arguments.only or PARTS)]
    tables = markdown(parts)
    print(f"\n{tables}")
    if arguments.write:
        PAGE.write_text(inserted(PAGE.read_text(encoding="utf-8"), tables), encoding="utf-8")
    failures = [failure for part in parts for failure in part.failures]
    for failure in failures:
        print(f"Failed: see {failure.log}", file=sys.stderr)
    sys.exit(1 if failures else 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.matrix",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", action="append", choices=PARTS, help="run only this part")
    parser.add_argument(
        "--servers",
        type=Path,
        default=Path(sys.executable),
        metavar="PYTHON",
        help="the Python in whose environment the web servers are",
    )
    parser.add_argument(
        "--write", action="store_true", help=f"put the tables into {PAGE.relative_to(ROOT)}"
    )
    return parser


if __name__ == "__main__":
    main()
