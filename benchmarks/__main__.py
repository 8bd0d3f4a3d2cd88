"""`make bench`, or `python -m benchmarks`: compare pgsession with its peers in one run."""

import asyncio
import gc
import signal
import sys
import time
from collections.abc import Awaitable, Callable

import psutil
import uvloop

from benchmarks.measure import Part
from benchmarks.options import Options, parse
from benchmarks.parts import (
    growth,
    importing,
    in_process,
    large,
    mapping,
    over_http,
    store_alone,
    sweeping,
    table,
    telemetry,
)
from benchmarks.report import Results
from benchmarks.servers import Places, servers, settle

MEASURES: dict[str, Callable[[Places, Options], Awaitable[Part]]] = {
    "apps": in_process.measure,
    "http": over_http.measure,
    "store": store_alone.measure,
    "growth": growth.measure,
    "table": table.measure,
    "sweep": sweeping.measure,
    "mapping": mapping.measure,
    "telemetry": telemetry.measure,
    "large": large.measure,
    "import": importing.measure,
}

_ONLY_A_CHECK = "This short run is only a check: its figures and verdicts mean nothing."


def main() -> None:
    """Measure each part, then print and write the results."""
    # SIGTERM stops the servers that were started here, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    options = parse()
    if options.output is None:
        print(_ONLY_A_CHECK)
    results = Results.load(options.output)
    with servers(options.data) as places:
        for name in options.parts:
            print(f"Measuring {name} ...", flush=True)
            busy = psutil.cpu_percent(interval=2)
            start = time.monotonic()
            part = uvloop.run(_measured(name, places, options))
            print(f"  {time.monotonic() - start:.0f} s", flush=True)
            results.add(name, part, places, busy=busy)
            results.save(options.output)
    print(results.text())
    if options.output is None:
        print(_ONLY_A_CHECK)


async def _measured(name: str, places: Places, options: Options) -> Part:
    await settle(places.postgres)
    gc.collect()
    gc.freeze()
    try:
        return await MEASURES[name](places, options)
    finally:
        gc.unfreeze()
        await asyncio.sleep(0)


if __name__ == "__main__":
    main()
