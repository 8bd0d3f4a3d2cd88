"""Mutants of the probes, and of the lifetime of connections."""

from typing import Final

from tests.mutants.mutant import Edit, Mutant

PROBES: Final = (
    Mutant(
        "a server that takes no writes passes the check",
        (Edit("postgres/checking.py", "        if is_read_only:\n", "        if False:\n"),),
        ("tests/postgres/test_checking.py::test_read_only",),
    ),
    Mutant(
        "each probe makes its own check",
        (Edit("postgres/checking.py", "        if self._task is None:\n", "        if True:\n"),),
        ("tests/postgres/test_checking.py::test_shared",),
    ),
    Mutant(
        "a check does not read the table",
        (
            Edit(
                "postgres/checking.py",
                "        await cursor.execute(self._read, prepare=False)\n",
                "",
            ),
        ),
        ("tests/postgres/test_checking.py::test_broken",),
    ),
    Mutant(
        "once=True is ready before the database has answered",
        (
            Edit(
                "asgi/probes.py",
                "if self._once and self._is_ready:",
                "if self._once and self._is_ready is not None:",
            ),
        ),
        ("tests/asgi/test_probes.py::test_once",),
    ),
    Mutant(
        "each request to the endpoint asks the database",
        (Edit("asgi/probes.py", "        if not self._is_fresh():\n", "        if True:\n"),),
        ("tests/asgi/test_probes.py::test_fresh",),
    ),
    Mutant(
        "an outage soon after another is never told",
        (
            Edit(
                "asgi/probes.py",
                "if not self._is_told and self._pace.count():",
                "if self._is_ready is not False and self._pace.count():",
            ),
        ),
        ("tests/asgi/test_probes.py::test_log_of_a_second_outage",),
    ),
    Mutant(
        "an endpoint in two applications answers for one store",
        (Edit("asgi/probes.py", "number, known = id(store),", "number, known = 0,"),),
        ("tests/asgi/test_probes.py::test_two_stores",),
    ),
    Mutant(
        "idle connections never grow too old",
        (
            Edit(
                "postgres/connections/own_pool.py",
                "        await super().open(wait, timeout)\n        self._look_later()\n",
                "        await super().open(wait, timeout)\n",
            ),
        ),
        ("tests/postgres/connections/test_lifetime.py::test_idle",),
    ),
    Mutant(
        "the lifetime of the settings is not the pool's",
        (
            Edit(
                "postgres/store.py",
                "                lifetime=as_lifetime(connection_lifetime).total_seconds(),\n",
                "",
            ),
        ),
        ("tests/postgres/connections/test_lifetime.py::test_under_load",),
    ),
)
