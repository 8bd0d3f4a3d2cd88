"""Mutants of the connections: what happens to one while a prepared statement is under way, also
without a task.
"""

from typing import Final

from tests.mutants.mutant import Edit, Mutant

_EXECUTION: Final = "tests/postgres/connections/test_execution.py"
_ALONE: Final = "tests/postgres/test_coalescer_alone.py"
_LONE: Final = "tests/postgres/test_lone_reads.py"

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
    Mutant(
        "the first of several calls of one turn is sent alone",
        (Edit("postgres/lone_calls.py", "_QUIET: Final = 8", "_QUIET: Final = 0"),),
        (f"{_ALONE}::test_no_smaller_batches[20]",),
    ),
    Mutant(
        "a call without a lane takes no place of one",
        (
            Edit(
                "postgres/coalescer.py",
                "len(self._busy) + self._lone.has_no_lane < self._lanes",
                "len(self._busy) < self._lanes",
            ),
        ),
        (f"{_ALONE}::test_lanes", f"{_ALONE}::test_cancelled"),
    ),
    Mutant(
        "a lane that has ended fails those that wait for a call without a lane",
        (
            Edit(
                "postgres/coalescer.py",
                "while self._waiting and not self._busy and not self._lone.has_no_lane:",
                "while self._waiting and not self._busy:",
            ),
        ),
        (f"{_ALONE}::test_others_meanwhile[1]",),
    ),
    Mutant(
        "those that wait for a call without a lane stay without one",
        (
            Edit(
                "postgres/lone_calls.py",
                "            self._free()\n",
                "",
            ),
        ),
        (f"{_ALONE}::test_cancelled",),
    ),
    Mutant(
        "a call without a lane is not stopped after its timeout",
        (Edit("postgres/lone_calls.py", "            self._under_way.stop()\n", ""),),
        (
            f"{_ALONE}::test_timeout[waiting]",
            f"{_LONE}::test_timeout[asyncio-waiting]",
        ),
    ),
    Mutant(
        "a call without a lane is not stopped if its caller was cancelled",
        (
            Edit(
                "postgres/lone_calls.py",
                "            return since\n",
                "            return None if answer.done() else since\n",
            ),
        ),
        (f"{_LONE}::test_timeout[asyncio-cancelled]",),
    ),
    Mutant(
        "closing does not wait for a call without a lane",
        (
            Edit(
                "postgres/coalescer.py",
                "(self._apart.lane, self._lone.ended())",
                "(self._apart.lane,)",
            ),
        ),
        (
            f"{_ALONE}::test_close[cancelled]",
            f"{_LONE}::test_close[asyncio-cancelled]",
        ),
    ),
    Mutant(
        "a call that fails without a lane fails its caller",
        (
            Edit(
                "postgres/lone_calls.py",
                "if may_retry and not self._caller[1].done():",
                "if self._begin is None:",
            ),
        ),
        (f"{_ALONE}::test_failed", f"{_LONE}::test_lost[asyncio]"),
    ),
    Mutant(
        "a call is made again though another attempt does not help",
        (
            Edit(
                "postgres/connections/lone.py",
                "Retries(idempotent=True).pause(judge(error)) is not None",
                "judge(error) is not None",
            ),
        ),
        (f"{_LONE}::test_canceled_by_server[asyncio]",),
    ),
    Mutant(
        "a call that is made again has a time of its own",
        (
            Edit(
                "postgres/lone_calls.py",
                "            self._lane.cancel()  # the call; it goes on as a lane\n",
                "",
            ),
        ),
        (f"{_LONE}::test_time_of_retry[asyncio]",),
    ),
    Mutant(
        "a call waits for ever whose lane was cancelled before its first step",
        (
            Edit(
                "postgres/lone_calls.py",
                "            lane.add_done_callback(self._end_lane)\n",
                "",
            ),
        ),
        (
            f"{_ALONE}::test_interrupted_before_it_began[closed]",
            f"{_ALONE}::test_interrupted_before_it_began[open]",
        ),
    ),
    Mutant(
        "no lane for locked rows follows one that was cancelled before its first step",
        (
            Edit(
                "postgres/calls_apart.py",
                "            self.lane.add_done_callback(self._end_lane)\n",
                "",
            ),
        ),
        ("tests/postgres/test_coalescer_locked.py::test_cancelled_before_it_began",),
    ),
    Mutant(
        "the reader of a connection keeps the context of the request that came first",
        (
            Edit(
                "postgres/connections/listener.py",
                "Context().run(loop.add_reader, self._socket, self._read)",
                "loop.add_reader(self._socket, self._read)",
            ),
        ),
        (f"{_LONE}::test_context[asyncio]", f"{_LONE}::test_context[uvloop]"),
    ),
    Mutant(
        "a connection that was used without a task is lost",
        (
            Edit(
                "postgres/connections/lone.py",
                "        self._pool.release(self._connection)\n"
                "        self._then(answer, may_retry)\n",
                "        self._then(answer, may_retry)\n",
            ),
        ),
        (f"{_LONE}::test_cancelled_at_any_moment[asyncio]",),
    ),
)
