"""Measurements: a closed loop of callers, alternating rounds, medians and ratios."""

import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import count
from typing import Any

Call = Callable[[int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Sample:
    """The result of one round. Times are in microseconds."""

    rate: float
    p50: float
    p99: float
    #: CPU time of the application's process, for each call.
    cpu: float | None = None
    #: CPU time of the database server's processes, for each call.
    server: float | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """One measurement: its subject, work and load, and a function that runs it for some seconds."""

    subject: str
    work: str
    load: int
    run: Callable[[float], Awaitable[Sample]]


@dataclass(slots=True)
class Cell:
    """The samples of one trial, one for each round."""

    subject: str
    work: str
    load: int
    samples: list[Sample] = field(default_factory=list)

    def median(self, figure: str) -> float | None:
        """Return the median of a figure over the rounds, None if it was not measured."""
        found = [value for one in self.samples if (value := getattr(one, figure)) is not None]
        return statistics.median(found) if found else None

    def least(self, figure: str) -> float | None:
        """Return the least of a figure over the rounds, None if it was not measured.

        This is how CPU time is compared: other work on the machine can only add to it.
        """
        found = [value for one in self.samples if (value := getattr(one, figure)) is not None]
        return min(found) if found else None


def said(rounds: int, seconds: float) -> str:
    """Return how the results say so many rounds of so many seconds."""
    return f"{rounds} of {seconds:g} s"


@dataclass(slots=True)
class Part:
    """The results of one part of the benchmarks."""

    cells: list[Cell] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    #: What was measured how often, such as ``7 of 0.5 s``.
    rounds: str = ""

    def cell(self, subject: str, work: str, load: int) -> Cell | None:
        """Return a cell, None if it was not measured."""
        for cell in self.cells:
            if (cell.subject, cell.work, cell.load) == (subject, work, load):
                return cell
        return None

    def ratios(
        self, work: str, load: int, ours: str, theirs: str, figure: str = "rate"
    ) -> list[float]:
        """Return the ratio in each round, or nothing if either was not measured."""
        one, other = self.cell(ours, work, load), self.cell(theirs, work, load)
        if one is None or other is None:
            return []
        return [
            getattr(a, figure) / getattr(b, figure)
            for a, b in zip(one.samples, other.samples, strict=True)
        ]

    def as_json(self) -> dict[str, Any]:
        """Return the part as a document for `from_json`."""
        return {"facts": self.facts, "cells": [asdict(cell) for cell in self.cells]}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Part":
        """Return the part that `as_json` wrote."""
        cells = [
            Cell(
                cell["subject"],
                cell["work"],
                cell["load"],
                [Sample(**sample) for sample in cell["samples"]],
            )
            for cell in document["cells"]
        ]
        return cls(cells, document["facts"])


async def alternate(trials: Sequence[Trial], *, rounds: int, seconds: float) -> list[Cell]:
    """Run every trial in every round; trials that are compared run one after the other.

    A short first round warms everything up; its results are dropped. Each round
    begins with another subject, so that no subject always follows the same one.
    The sessions and cookies of all subjects are hidden from the garbage
    collector, so that no subject pays for those of the others.
    """
    cells = {id(trial): Cell(trial.subject, trial.work, trial.load) for trial in trials}
    groups: dict[tuple[str, int], list[Trial]] = {}
    for trial in trials:
        groups.setdefault((trial.work, trial.load), []).append(trial)
    for trial in trials:
        await trial.run(seconds / 4)
    gc.collect()
    gc.freeze()
    for number in range(rounds):
        for group in groups.values():
            first = number % len(group)
            for trial in group[first:] + group[:first]:
                cells[id(trial)].samples.append(await trial.run(seconds))
    return list(cells.values())


async def closed_loop(
    call: Call,
    *,
    in_flight: int,
    seconds: float,
    server: Callable[[], float] | None = None,
    most: int | None = None,
) -> Sample:
    """Keep `in_flight` callers busy, each with one call after the other, and time them.

    Before each call a caller yields to the event loop once, as a server does
    between reading a request and serving it; this wait is part of the latency.
    `server` returns the CPU seconds that the server has used so far. At most
    `most` calls are made, each with its own number.
    """
    clock = time.perf_counter
    numbers = count() if most is None else iter(range(most))
    latencies: list[float] = []

    async def work() -> None:
        for number in numbers:
            start = clock()
            if start >= end and latencies:  # else the process was stopped for all of the time
                break
            await asyncio.sleep(0)
            await call(number)
            latencies.append(clock() - start)

    server_before = server() if server else 0.0
    cpu, begin = time.process_time(), clock()
    end = begin + seconds
    await asyncio.gather(*(work() for _ in range(in_flight)))
    elapsed, cpu = clock() - begin, time.process_time() - cpu
    used = server() - server_before if server else None
    return sample(latencies, elapsed, cpu=cpu, server=used)


def sample(
    latencies: Iterable[float], elapsed: float, *, cpu: float, server: float | None
) -> Sample:
    """Return the sample of some calls, given in seconds."""
    ordered = sorted(latencies)
    calls = len(ordered)
    return Sample(
        rate=round(calls / elapsed, 1),
        p50=round(ordered[calls // 2] * 1e6, 1),
        p99=round(ordered[calls * 99 // 100] * 1e6, 1),
        cpu=round(cpu / calls * 1e6, 1),
        server=None if server is None else round(server / calls * 1e6, 1),
    )
