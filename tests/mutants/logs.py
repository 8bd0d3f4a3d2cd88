"""Mutants of the log: how often a line comes, and whose lines of psycopg's pool are left out."""

from typing import Final

from tests.mutants.mutant import Edit, Mutant

LOGS: Final = (
    Mutant(
        "log: each request of an outage is a line",
        (
            Edit(
                "asgi/unavailable.py",
                "        elif now - self._last_line >= INTERVAL:\n",
                "        else:\n",
            ),
        ),
        (
            "tests/asgi/test_outage_log.py::test_storm",
            "tests/asgi/test_outage_log.py::test_a_minute",
        ),
    ),
    Mutant(
        "log: a line that recurs is always due",
        (
            Edit(
                "core/logs.py",
                "        if now - self._last_line < INTERVAL:\n",
                "        if False:\n",
            ),
        ),
        ("tests/core/test_logs.py::test_pace", "tests/asgi/test_outage_log.py::test_a_minute"),
    ),
    Mutant(
        "log: a request that fails because of a privilege is not logged",
        (
            Edit(
                "asgi/failing.py",
                "            if isinstance(each, SchemaError):\n",
                "            if False:\n",
            ),
        ),
        ("tests/asgi/test_unfit.py::test_privilege",),
    ),
    Mutant(
        "log: a table that is missing when a session is loaded is not logged",
        (
            Edit(
                "asgi/loading.py",
                "            self.report_unfit(error)\n            raise\n        else:\n",
                "            raise\n        else:\n",
            ),
        ),
        ("tests/asgi/test_unfit.py::test_table",),
    ),
    Mutant(
        "log: psycopg's pool warns of each attempt to connect",
        (
            Edit(
                "postgres/connections/connection_log.py",
                "    if record.levelno != logging.WARNING or ",
                "    if True or ",
            ),
        ),
        (
            "tests/postgres/connections/test_connection_log.py::test_not_reached",
            "tests/postgres/connections/test_connection_log.py::test_closed",
        ),
    ),
    Mutant(
        "log: what a handler raises is raised where a line is logged",
        (Edit("core/logs.py", "    except Exception:  # noqa", "    except SystemError:  # noqa"),),
        (
            "tests/core/test_logs.py::test_raising_handler",
            "tests/postgres/connections/test_connection_log.py::test_raising",
        ),
    ),
    Mutant(
        "log: the lines of psycopg's own tasks can lose a connection",
        (
            Edit(
                "postgres/connections/connection_log.py",
                "    return _IS_OURS.get() or any(",
                "    return any(",
            ),
        ),
        ("tests/postgres/connections/test_connection_log.py::test_raising",),
    ),
    Mutant(
        "connections: one whose observer raises is lost",
        (
            Edit(
                "postgres/connections/observed_pool.py",
                "            self.release(connection)\n            raise\n",
                "            raise\n",
            ),
        ),
        ("tests/postgres/connections/test_observed_pool.py::test_raising",),
    ),
    Mutant(
        "errors: a server's text is passed on with its escape sequences",
        (Edit("printable.py", 'return "".join(map(_visible, text))', "return text"),),
        ("tests/test_errors.py::test_printable",),
    ),
    Mutant(
        "log: the application's pools are silent",
        (
            Edit(
                "postgres/connections/connection_log.py",
                "isinstance(each, OwnName | OwnConnection)",
                'each == "pgsession"',
            ),
        ),
        ("tests/postgres/connections/test_connection_log.py::test_theirs",),
    ),
    Mutant(
        "log: the first line of an outage does not say why",
        (
            Edit(
                "postgres/batching.py",
                "            reason=self._runner.unreachable,\n",
                "",
            ),
        ),
        ("tests/faults/test_log.py::test_logged",),
    ),
)
