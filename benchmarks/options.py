"""The options of the command line."""

import argparse
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
PARTS = (
    "apps",
    "http",
    "large",
    "store",
    "growth",
    "table",
    "sweep",
    "mapping",
    "telemetry",
    "import",
)


@dataclass(frozen=True, slots=True)
class Options:
    """How long and how much to measure."""

    rounds: int
    seconds: float
    parts: tuple[str, ...]
    #: Number of sessions that the requests use.
    sessions: int
    #: Rows of the table in part 5, and how often each is touched and merged.
    rows: int
    renewals: int
    #: Number of expired rows to sweep.
    expired: int
    #: Table sizes to compare, in rows.
    sizes: tuple[int, ...]
    data: Path
    #: The folder for the results; None: do not write them.
    output: Path | None


def parse(arguments: list[str] | None = None) -> Options:
    """Return the options of a command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, help="rounds of each measurement (default: 7)")
    parser.add_argument("--seconds", type=float, help="length of a measurement (default: 0.5)")
    parser.add_argument(
        "--only", action="append", choices=PARTS, help="measure this part; repeatable"
    )
    parser.add_argument("--large", action="store_true", help="add a table of 10 million rows")
    parser.add_argument("--quick", action="store_true", help="short check without results")
    parser.add_argument("--data", type=Path, default=FOLDER / ".data", help="folder of PostgreSQL")
    parser.add_argument("--output", type=Path, help="folder of results (default: results/)")
    said = parser.parse_args(arguments)
    quick: bool = said.quick
    sizes = (10_000, 50_000) if quick else (10_000, 1_000_000)
    return Options(
        rounds=said.rounds or (1 if quick else 7),
        seconds=said.seconds or (0.05 if quick else 0.5),
        parts=tuple(said.only or PARTS),
        sessions=500 if quick else 10_000,
        rows=5_000 if quick else 200_000,
        renewals=3 if quick else 10,
        expired=20_000 if quick else 1_000_000,
        sizes=(*sizes, 10_000_000) if said.large else sizes,
        data=said.data,
        output=said.output or (None if quick else FOLDER / "results"),
    )
