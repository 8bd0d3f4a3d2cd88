"""One run of the matrix: its cells, one after the other, and their logs."""

from __future__ import annotations

import re
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, TypeAlias

from tests.matrix.table import NOTHING, Outcome, Part, Result, Row

#: Tries something on the database of a URL, with a log for its output.
Work: TypeAlias = Callable[[str, Path], Result]

#: How much of an error's text the table takes.
_LENGTH: Final = 80


class Run:
    """Runs cells, prints how each of them ended, and keeps the logs in a folder."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        logs.mkdir(exist_ok=True)

    def add_row(
        self,
        part: Part,
        names: tuple[str, ...],
        place: AbstractContextManager[str],
        works: Sequence[Work | None],
    ) -> None:
        """Run the cells of a row in one place; None is a cell with nothing to try.

        If the place cannot be made, or cannot be left, all its cells have failed.
        """
        names_of_cells = (part.names[0], *names)
        log = self.log(*names_of_cells, "place")
        try:
            with place as database_url:
                results = [
                    self._try((*names_of_cells, column), work, database_url)
                    for column, work in zip(part.columns, works, strict=True)
                ]
        except Exception as error:  # noqa: BLE001 - the edge: the other rows are to run
            results = [_failed(error, log)] * len(works)
            _print(" ".join(names_of_cells), results[0], 0)
        part.rows.append(Row(names, tuple(results)))

    def _try(self, names: tuple[str, ...], work: Work | None, database_url: str) -> Result:
        if work is None:
            return NOTHING
        log, begun = self.log(*names), time.monotonic()
        try:
            result = work(database_url, log)
        except Exception as error:  # noqa: BLE001 - the edge: the other cells are to run
            result = _failed(error, log)
        _print(" ".join(names), result, time.monotonic() - begun)
        return result

    def log(self, *names: str) -> Path:
        """Return the path of a log, which is not there yet."""
        name = re.sub(r"[^a-z0-9.]+", "-", " ".join(names).lower()).strip("-")
        log = self._logs / f"{name}.log"
        log.unlink(missing_ok=True)
        return log


def _failed(error: Exception, log: Path) -> Result:
    """Write an error to the log of its cell."""
    with log.open("a") as output:
        traceback.print_exception(error, file=output)
    said = str(error).partition("\n")[0] or type(error).__name__
    return Result(Outcome.FAILED, said[:_LENGTH], log)


def _print(name: str, result: Result, seconds: float) -> None:
    where = f" (see {result.log})" if result.log else ""
    print(f"{name}: {result}, {seconds:.0f} s{where}", flush=True)
