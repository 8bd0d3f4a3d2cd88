"""Part 7: what it costs to look something up in the mapping, which records that it was used."""

import time
from collections.abc import Callable
from typing import Any

from starlette.middleware.sessions import Session as StarletteSession

from benchmarks.measure import Part, Sample, Trial, alternate, said
from benchmarks.options import Options
from benchmarks.servers import Places
from benchmarks.values import VALUE
from pgsession import Session

NAME = next(iter(VALUE))

#: Each is done so often at once, that the clock is read rarely.
TIMES = range(1000)


def _subscript(session: dict[str, Any]) -> None:
    for _ in TIMES:
        session[NAME]


def _get(session: dict[str, Any]) -> None:
    for _ in TIMES:
        session.get(NAME)


def _contains(session: dict[str, Any]) -> None:
    for _ in TIMES:
        NAME in session  # noqa: B015 - only its time counts


def _assign(session: dict[str, Any]) -> None:
    for _ in TIMES:
        session["new"] = 1


def _copy(session: dict[str, Any]) -> None:
    for _ in TIMES:
        dict(session)


WORKS: dict[str, Callable[[dict[str, Any]], None]] = {
    "session[name]": _subscript,
    "session.get(name)": _get,
    "name in session": _contains,
    "session[name] = 1": _assign,
    "dict(session)": _copy,
}


async def measure(_places: Places, options: Options) -> Part:
    """Use a dict, the session of Starlette's own middleware and ours in turn."""
    subjects: dict[str, dict[str, Any]] = {
        "dict": dict(VALUE),
        "Starlette": StarletteSession(VALUE),
        "pgsession": Session(dict(VALUE)),
    }
    trials = [
        Trial(subject, name, 1, _timed(work, session))
        for name, work in WORKS.items()
        for subject, session in subjects.items()
    ]
    seconds = options.seconds / 10
    cells = await alternate(trials, rounds=options.rounds, seconds=seconds)
    return Part(cells, rounds=said(options.rounds, seconds))


def _timed(work: Callable[[dict[str, Any]], None], session: dict[str, Any]) -> Any:  # noqa: ANN401
    async def run(seconds: float) -> Sample:
        start = now = time.perf_counter()
        done = 0
        while now < start + seconds:
            work(session)
            done += len(TIMES)
            now = time.perf_counter()
        each = (now - start) / done * 1e6
        return Sample(rate=1e6 / each, p50=each, p99=each)

    return run
