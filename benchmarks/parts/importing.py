"""Part 10: what the import of pgsession adds to the start of an application's process."""

import os
import sys

from benchmarks.measure import Part
from benchmarks.options import Options
from benchmarks.servers import Places

#: What every application on Starlette and psycopg imports.
BASE = """
import psycopg, psycopg_pool
import starlette.middleware, starlette.requests, starlette.responses, starlette.websockets
from starlette.applications import Starlette
from starlette.middleware import Middleware
"""

PROGRAMS = {
    "base": BASE + "Starlette().build_middleware_stack()",
    "import": BASE
    + """
Starlette().build_middleware_stack()
from pgsession import PostgresStore, SessionMiddleware, SessionSettings
""",
    "application": BASE
    + """
from pgsession import PostgresStore, SessionMiddleware, SessionSettings
store = PostgresStore("postgresql://localhost/app", telemetry=False)
secret_key = "6cB0zOGsXH2uDCkBDJUdhW9I5b1lDr7lSnu2yVvhq0s"
settings = SessionSettings(secret_key=secret_key, telemetry=False)
site = [Middleware(SessionMiddleware, store=store, settings=settings)]
Starlette(middleware=site).build_middleware_stack()
""",
    "start": BASE
    + """
Starlette().build_middleware_stack()
from pgsession import PostgresStore, SessionMiddleware, SessionSettings, rare
rare.finish_import()
""",
}


async def measure(_places: Places, options: Options) -> Part:
    """Start processes in turn. The least time counts: other work can only add to it."""
    processes = 8 * options.rounds
    least = dict.fromkeys(PROGRAMS, float("inf"))
    for _ in range(processes):
        for name, program in PROGRAMS.items():
            least[name] = min(least[name], _milliseconds(program))
    added = {
        name: round(least[name] - least["base"], 1) for name in ("import", "application", "start")
    }
    facts = {"base": round(least["base"], 1), "processes": processes, **added}
    return Part(facts=facts, rounds=f"{processes} processes")


def _milliseconds(program: str) -> float:
    """Return the CPU time of a fresh process."""
    command = [sys.executable, "-c", program]
    process = os.posix_spawn(sys.executable, command, os.environ)
    _, status, used = os.wait4(process, 0)
    if status:
        raise RuntimeError(f"A process has failed with status {status}.")
    return (used.ru_utime + used.ru_stime) * 1000
