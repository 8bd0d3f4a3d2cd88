"""The load if wrk is not installed: `python -m benchmarks.load PORT PATH COOKIES LOAD SECONDS`."""

import asyncio
import json
import sys
import time
from itertools import count
from pathlib import Path

import uvloop


async def main(port: int, path: str, cookies: list[str], load: int, seconds: float) -> None:
    """Keep `load` connections busy for some seconds, and print the result as JSON."""
    lines = [f"Cookie: {line}\r\n" for line in cookies] or [""]
    requests = [f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{it}\r\n".encode() for it in lines]
    numbers = count()
    latencies: list[float] = []
    failed = 0
    clock = time.perf_counter
    begin = clock()

    async def visit() -> None:
        nonlocal failed
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (start := clock()) < begin + seconds:
            writer.write(requests[next(numbers) % len(requests)])
            head = await reader.readuntil(b"\r\n\r\n")
            failed += not head.startswith(b"HTTP/1.1 200")
            length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
            await reader.readexactly(int(length))
            latencies.append(clock() - start)
        writer.close()

    await asyncio.gather(*(visit() for _ in range(load)))
    ordered = sorted(latencies)
    found = {
        "requests": len(ordered),
        "microseconds": (clock() - begin) * 1e6,
        "p50": ordered[len(ordered) // 2] * 1e6,
        "p99": ordered[len(ordered) * 99 // 100] * 1e6,
        "failed": failed,
    }
    print("RESULT", json.dumps(found))


if __name__ == "__main__":
    _, port, path, cookies, load, seconds = sys.argv
    lines = Path(cookies).read_text().splitlines()
    uvloop.run(main(int(port), path, lines, int(load), float(seconds)))
