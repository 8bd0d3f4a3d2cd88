"""The results as tables in Markdown."""

import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.measure import Part
from benchmarks.parts.large import named
from benchmarks.required import required

WORKS = {"none": "No session touched", "read": "Read", "write": "Write"}

APPS_NOTE = """\
The first columns are requests per second, one for each number of requests in flight. The other
columns are at 64 in flight: latency and CPU time per request in microseconds, statements per
request, and the ratio of the rates. "-" was not measured.
"""

RATIOS_NOTE = """\
A rate or a latency is the median of all rounds, a CPU time the least: other work on the machine can
only add to it. A ratio is the median of the ratios of all rounds, not the ratio of two medians. The
README in the parent folder describes the parts, the peers and what limits the figures.
"""

TWO_NOTE = """\
The two share a port, and the kernel shares out the connections. CPU is that of both together.
"""

REQUIRED_NOTE = """\
The figures are medians of all rounds, but the import takes the least time. An aim is not a
requirement. HOT updates change no index. The heap is the table without its indexes.
"""


def document(parts: dict[str, Part], runs: dict[str, dict[str, Any]]) -> str:
    """Return all tables, with the environment of each part."""
    writers = {
        "apps": apps,
        "http": over_http,
        "large": large,
        "store": store,
        "growth": growth,
        "table": table_growth,
        "sweep": sweep,
        "mapping": mapping,
        "telemetry": telemetry,
        "import": importing,
    }
    texts = ["# Benchmark results", _runs(runs), RATIOS_NOTE]
    texts += [write(parts[name]) for name, write in writers.items() if name in parts]
    if judged := required(parts):
        texts += ["## Required, measured\n", REQUIRED_NOTE]
        rows = [(one.figure, one.required, one.measured, one.verdict) for one in judged]
        head = ("figure", "required", "measured (worst to best round)", "")
        texts.append(table(head, rows))
    return "\n".join(texts)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table: the first column is left-aligned, the others right-aligned."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first, *others = (
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "| " + " | ".join([first, *others]) + " |"

    rule = [
        ("-" * width) if not column else "-" * (width - 1) + ":"
        for column, width in enumerate(widths)
    ]
    return "\n".join([line(head), line(rule), *(line(row) for row in rows), ""])


def figure(value: float | None, digits: int = 0) -> str:
    """Return a number with separators between thousands."""
    return "-" if value is None else f"{value:,.{digits}f}"


def ratio(values: Sequence[float]) -> str:
    """Return the median of ratios."""
    return f"{statistics.median(values):.2f}" if values else "-"


def _runs(runs: dict[str, dict[str, Any]]) -> str:
    rows = [
        (
            name,
            run["date"],
            str(run["rounds"]),  # a number, in the results of older versions
            run["python"],
            f"{run['postgres']['server_version']}, fsync {run['postgres']['fsync']}",
            str(run["cores"]),
            f"{run['busy_before']:.0f} %",
        )
        for name, run in runs.items()
    ]
    head = ("part", "date", "rounds", "Python", "PostgreSQL", "cores", "busy just before")
    packages = [run["packages"] for run in runs.values()]
    said = ", ".join(f"{name} {number}" for name, number in packages[-1].items())
    return f"{table(head, rows)}\n{said}\n"


def apps(part: Part) -> str:
    """Return a table for each kind of request."""
    texts = [
        "## In process: requests a second, whole applications\n",
        APPS_NOTE,
    ]
    titles: dict[str, str] = part.facts["titles"]
    loads = sorted({cell.load for cell in part.cells})
    head = [*(f"{load}" for load in loads), "p50", "p99", "CPU", "server's CPU", "statements"]
    for work, title in WORKS.items():
        rows = []
        for name, peer in titles.items():
            cell = part.cell(name, work, 64)
            if cell is None:
                continue
            rates = [part.cell(name, work, load) for load in loads]
            counts = part.facts["statements"].get(name, {})
            rows.append(
                (
                    peer,
                    *(figure(one.median("rate") if one else None) for one in rates),
                    *(figure(cell.median(it)) for it in ("p50", "p99")),
                    *(figure(cell.least(it)) for it in ("cpu", "server")),
                    figure(counts.get(f"{work}/64"), 2),
                    ratio(part.ratios(work, 64, "ours", name)),
                )
            )
        texts.append(table((title, *head, "pgsession ÷ it"), rows))
    return "\n".join(texts)


def over_http(part: Part) -> str:
    """Return a table for one server process and one for two, with columns for each request."""
    head = ["", *(f"{work}{it}" for work in WORKS for it in ("/s", " p99", " CPU", " ratio"))]
    generator = part.facts["generator"]
    texts = [
        "## Over HTTP: one server process each, 64 connections, loopback\n",
        f"Load from {generator} on the same cores. Times in microseconds; ratio: pgsession ÷ it.\n",
        table(head, _served(part, list(WORKS))),
    ]
    if rows := _served(part, [f"{work}, 2 workers" for work in WORKS]):
        texts += ["### Two server processes each\n", TWO_NOTE, table(head, rows)]
    return "\n".join(texts)


def _served(part: Part, works: list[str]) -> list[list[str]]:
    """Return a row for each peer that was measured with these kinds of requests."""
    rows = []
    for name, peer in part.facts["titles"].items():
        row = [peer]
        for work in works:
            if (cell := part.cell(name, work, 64)) is not None:
                row += [figure(cell.median(it)) for it in ("rate", "p99")]
                row += [figure(cell.least("cpu")), ratio(part.ratios(work, 64, "ours", name))]
        if len(row) > 1:
            rows.append(row)
    return rows


def large(part: Part) -> str:
    """Return a table for each size, with columns for each kind of request."""
    works = ("read", "write")
    texts = ["## Large sessions: whole applications in process, 64 in flight\n"]
    for size in part.facts["bytes"]:
        rows = []
        for name, peer in part.facts["titles"].items():
            row = [peer]
            for work in (named(work, size) for work in works):
                if (cell := part.cell(name, work, 64)) is not None:
                    row += [figure(cell.median(it)) for it in ("rate", "p99")]
                    row += [figure(cell.least(it)) for it in ("cpu", "server")]
                    row.append(ratio(part.ratios(work, 64, "ours", name)))
            rows.append(row)
        columns = ("/s", " p99", " CPU", " server's CPU", " ratio")
        head = [f"{size // 1000} kB", *(f"{work}{it}" for work in works for it in columns)]
        texts.append(table(head, rows))
    return "\n".join(texts)


def store(part: Part) -> str:
    """Return a table of rates and one of CPU times for each load."""
    titles: dict[str, str] = part.facts["titles"]
    works = list(dict.fromkeys(cell.work for cell in part.cells))
    texts = ["## The store alone: calls a second\n"]
    for load in sorted({cell.load for cell in part.cells}):
        rows, times = [], []
        for name, title in titles.items():
            cells = [part.cell(name, work, load) for work in works]
            if any(cells):
                used = (figure(cell.least("cpu") if cell else None) for cell in cells)
                times.append((title, *used))
                rates = (figure(cell.median("rate") if cell else None) for cell in cells)
                ratios = (ratio(part.ratios(work, load, "ours", name)) for work in works)
                rows.append((title, *rates, *ratios))
        head = (f"{load} in flight", *works, *(f"÷ {work}" for work in works))
        texts.append(table(head, rows))
        texts.append(table((f"CPU of this process, µs a call, {load} in flight", *works), times))
    return "\n".join(texts)


def growth(part: Part) -> str:
    """Return a table for each dimension that grows."""
    texts = ["## Growth: sessions a second, and this process's CPU for each, in µs\n"]
    for kind in ("rows", "values", "batches", "pools"):
        cells = [cell for cell in part.cells if cell.work.startswith(kind)]
        columns = list(dict.fromkeys((cell.work, cell.load) for cell in cells))
        rows = [
            (
                subject,
                *(
                    text
                    for column in columns
                    for cell in [part.cell(subject, *column)]
                    for text in (
                        figure(cell.median("rate") if cell else None),
                        figure(cell.least("cpu") if cell else None),
                    )
                ),
            )
            for subject in dict.fromkeys(cell.subject for cell in cells)
        ]
        head = [
            text
            for work, load in columns
            for text in (f"{work.partition(' ')[2]}, {load} in flight", "CPU")
        ]
        texts.append(table((kind, *head), rows))
    return "\n".join(texts)


def table_growth(part: Part) -> str:
    """Return the table's size and its updates."""
    facts = part.facts
    rows = [
        ("updates", figure(facts["updates"])),
        ("of them HOT", f"{facts['hot']:.2%}"),
        ("heap before, MB", figure(facts["heap_before"] / 1e6, 1)),
        ("heap after ÷ before", figure(facts["heap_growth"], 3)),
        ("indexes after ÷ before", figure(facts["indexes_growth"], 3)),
        ("all after ÷ before", figure(facts["total_growth"], 3)),
        ("autovacuums meanwhile", figure(facts["autovacuums"])),
        ("updates a second", figure(facts["updates_per_second"])),
    ]
    head = f"{facts['sessions']:,} sessions, each touched and merged {facts['rounds']} times"
    return f"## The table\n\n{table((head, ''), rows)}"


def sweep(part: Part) -> str:
    """Return the figures of a sweep, and its effect on the requests."""
    facts = part.facts
    rows = [
        ("seconds", figure(facts["seconds"], 1)),
        ("rows removed a second", figure(facts["rows_per_second"])),
        ("statements", figure(facts["batches"])),
        ("the longest, ms", figure(facts["longest_ms"], 1)),
        ("reads a second before", figure(facts["rate_before"])),
        ("reads a second meanwhile", figure(facts["rate_during"])),
        ("p99 before, ms", figure(facts["p99_before"] / 1000, 2)),
        ("p99 meanwhile, ms", figure(facts["p99_during"] / 1000, 2)),
    ]
    head = f"{facts['rows']:,} expired rows, {facts['in_flight']} reads in flight"
    return f"## A sweep\n\n{table((head, ''), rows)}"


def mapping(part: Part) -> str:
    """Return what each use of the mapping costs, in nanoseconds."""
    return f"## The mapping, ns for each use\n\n{_times(part, 1000, digits=0)}"


def telemetry(part: Part) -> str:
    """Return what a request costs without telemetry and with it, in microseconds."""
    return f"## Telemetry, µs for each request\n\n{_times(part, 1, digits=1)}"


def importing(part: Part) -> str:
    """Return how much CPU time pgsession adds to the start of a process."""
    facts = part.facts
    rows = [
        ("Starlette, psycopg and an application without sessions", figure(facts["base"], 1)),
        ("the import of pgsession adds", figure(facts["import"], 1)),
        ("the import and an application with sessions add", figure(facts["application"], 1)),
        ("the import and what the first call imports add", figure(facts.get("start"), 1)),
    ]
    head = (f"least of {facts['processes']} processes each", "ms of CPU")
    return f"## The import\n\n{table(head, rows)}"


def _times(part: Part, factor: float, *, digits: int) -> str:
    """Return the medians of the times of each subject, one row for each work."""
    subjects = list(dict.fromkeys(cell.subject for cell in part.cells))
    rows = []
    for work in dict.fromkeys(cell.work for cell in part.cells):
        cells = [part.cell(subject, work, 1) for subject in subjects]
        times = [cell.median("p50") if cell else None for cell in cells]
        rows.append([work, *(figure(None if it is None else it * factor, digits) for it in times)])
    return table(["", *subjects], rows)
