"""Mutants of the connections: what happens to one while a prepared statement is under way."""

from typing import Final

from tests.mutants.mutant import Edit, Mutant

_EXECUTION: Final = "tests/postgres/connections/test_execution.py"

CONNECTIONS: Final = (
    Mutant(
        "a connection is used again after a statement that was cancelled",
        (
            Edit(
                "postgres/connections/execution.py",
                "        await cancel(connection)\n        raise\n",
                "        raise\n",
            ),
        ),
        (
            f"{_EXECUTION}::test_cancelled[asyncio]",
            f"{_EXECUTION}::test_cancelled_at_any_moment[asyncio]",
        ),
    ),
    Mutant(
        "a statement that goes on after its cancellation keeps its connection",
        (
            Edit(
                "postgres/connections/execution.py",
                "            finish(connection)\n",
                "            pass\n",
            ),
        ),
        (f"{_EXECUTION}::test_cancelled_twice[asyncio]",),
    ),
    Mutant(
        "the reader stays in the event loop while psycopg waits",
        (
            Edit(
                "postgres/connections/connection.py",
                "        self.listener.stop()\n        return await super().wait(",
                "        return await super().wait(",
            ),
        ),
        (f"{_EXECUTION}::test_alternating[asyncio]",),
    ),
    Mutant(
        "the reader stays in the event loop after the connection was closed",
        (
            Edit(
                "postgres/connections/connection.py",
                "        connection.listener.stop()\n    connection.pgconn.finish()\n",
                "        pass\n    connection.pgconn.finish()\n",
            ),
        ),
        (f"{_EXECUTION}::test_reused_number[asyncio-finish]",),
    ),
    Mutant(
        "the reader reads what comes to an idle connection",
        (
            Edit(
                "postgres/connections/listener.py",
                "            self.stop()  # it stays unread, so that `has_hung_up` sees it\n",
                "            self._pgconn.consume_input()\n",
            ),
        ),
        (f"{_EXECUTION}::test_notified_while_idle[asyncio]",),
    ),
    Mutant(
        "an error of the commit is not seen behind the statement's own result",
        (
            Edit(
                "postgres/connections/listener.py",
                "if self._result is None or result.status == ExecStatus.FATAL_ERROR:",
                "if self._result is None:",
            ),
        ),
        (f"{_EXECUTION}::test_error_of_commit[asyncio]",),
    ),
)
