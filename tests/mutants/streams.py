"""Mutants of the watching of streams."""

from typing import Final

from tests.mutants.mutant import Edit, Mutant

_WATCHING: Final = "tests/asgi/test_watching.py"
_STREAMS: Final = "tests/asgi/test_streams.py"
_OWN: Final = "tests/asgi/test_own_changes.py"
_SOCKETS: Final = "tests/asgi/test_closing_sockets.py"

STREAMS: Final = (
    Mutant(
        "streams: an answer from before a stream began ends it",
        (Edit("asgi/watching.py", " and each.asked_before < asked", ""),),
        (f"{_WATCHING}::test_answer_from_before",),
    ),
    Mutant(
        "streams: a login elsewhere ends none",
        (
            Edit(
                "asgi/watching.py",
                "now is None or now.login_number != before.login_number:",
                "now is None:",
            ),
        ),
        (f"{_STREAMS}::test_ended", f"{_STREAMS}::test_lasting"),
    ),
    Mutant(
        "streams: what is overdue waits for its turn",
        (
            Edit(
                "asgi/watching.py",
                "            at = min(at, next(iter(self._watched.values())).due)\n",
                "            pass\n",
            ),
        ),
        (f"{_WATCHING}::test_burst",),
    ),
    Mutant(
        "streams: an outage is retried without a pause",
        (Edit("asgi/watching.py", "if not self._is_failing:  # else", "if True:  # else"),),
        (f"{_WATCHING}::test_outage",),
    ),
    Mutant(
        "streams: an outage ends them",
        (
            Edit(
                "asgi/watching.py",
                "except StoreUnavailableError as error:\n",
                "except StoreUnavailableError as error:\n            self._judge(handles, {})\n",
            ),
        ),
        (f"{_WATCHING}::test_outage", "tests/faults/test_streams.py::test_database_away"),
    ),
    Mutant(
        "streams: a cancelled statement was the last one",
        (
            Edit(
                "asgi/watching.py",
                "        if self._watched:\n            self._plan()\n",
                "        if self._watched and not _.cancelled():\n            self._plan()\n",
            ),
        ),
        (f"{_WATCHING}::test_survives_cancellation",),
    ),
    Mutant(
        "streams: statements run in the context of a request",
        (
            Edit("asgi/watching.py", "self._begin, context=Context())", "self._begin)"),
            Edit(
                "asgi/watching.py", "self._ask(handles), context=Context())", "self._ask(handles))"
            ),
        ),
        (f"{_WATCHING}::test_context",),
    ),
    Mutant(
        "streams: a request stays registered when it is over",
        (
            Edit(
                "asgi/streams.py",
                "if self._waiter is not None and self._is_left:",
                "if False:",
            ),
        ),
        (f"{_WATCHING}::test_two_tabs", f"{_WATCHING}::test_ten_thousand"),
    ),
    Mutant(
        "streams: a block that outlives its request is watched no more",
        (
            Edit(
                "asgi/streams.py",
                "in self._futures - self._blocks.keys():",
                "in tuple(self._futures):",
            ),
        ),
        (f"{_STREAMS}::test_block_outlives_request", f"{_OWN}::test_block_outlives_request"),
    ),
    Mutant(
        "streams: a logout cancels the task that sends its own response",
        (Edit("asgi/streams.py", " and future not in self._spared:", ":"),),
        (f"{_STREAMS}::test_around_own_logout",),
    ),
    Mutant(
        "streams: a login of their own request ends them",
        (
            Edit(
                "asgi/streams.py",
                "    {Change.CREATE, Change.LOGIN, Change.LOGOUT, Change.DESTROY, Change.DRAIN}\n",
                "    {Change.CREATE, Change.LOGOUT, Change.DESTROY, Change.DRAIN}\n",
            ),
        ),
        (f"{_STREAMS}::test_own_login",),
    ),
    Mutant(
        "streams: a retired key ends them",
        (
            Edit(
                "asgi/row.py",
                "        self._lost = True\n",
                "        self._lost = True\n        self._tell()\n",
            ),
        ),
        (f"{_STREAMS}::test_retired", f"{_STREAMS}::test_retired_then_ended"),
    ),
    Mutant(
        "streams: a retired key is watched no more",
        (Edit("asgi/streams.py", "            key = self._lost_key\n", "            pass\n"),),
        (f"{_STREAMS}::test_retired_then_ended",),
    ),
    Mutant(
        "streams: an interruption comes after its block",
        (
            Edit(
                "asgi/interruption.py",
                "was_told, self._is_told = self._is_told, True",
                "was_told = self._is_told",
            ),
        ),
        (f"{_STREAMS}::test_block_done_first",),
    ),
    Mutant(
        "streams: an interruption hides a cancellation by others",
        (Edit("asgi/interruption.py", "self._task.uncancel() <= self._before", "True"),),
        (f"{_STREAMS}::test_cancelled_from_outside",),
    ),
    Mutant(
        "streams: a socket that waits for its client is not interrupted",
        (Edit("asgi/sockets.py", "            each.interrupt()\n", "            pass\n"),),
        (f"{_SOCKETS}::test_receiving",),
    ),
    Mutant(
        "streams: a closed socket can be written to",
        (Edit("asgi/sockets.py", "            raise SocketClosedError(self._end.reason)\n", ""),),
        (f"{_SOCKETS}::test_sending",),
    ),
    Mutant(
        "streams: a socket is closed that the application has closed",
        (Edit("asgi/sockets.py", "        if kind in _ENDS:\n            self._leave()\n", ""),),
        (f"{_SOCKETS}::test_closed_by_application",),
    ),
    Mutant(
        "streams: a wait that begins beside a commit is for the row before",
        (Edit("asgi/streams.py", "if self._is_moving or self._is_left:", "if self._is_left:"),),
        (f"{_OWN}::test_beside_commit",),
    ),
    Mutant(
        "streams: a request that is over registers again",
        (Edit("asgi/streams.py", "if self._is_moving or self._is_left:", "if self._is_moving:"),),
        (f"{_OWN}::test_request_over",),
    ),
    Mutant(
        "streams: a logout in a block is told before its commit",
        (Edit("asgi/streams.py", "if store is self._policy.store:", "if True:"),),
        (f"{_OWN}::test_exclusive_login", f"{_OWN}::test_exclusive_logout"),
    ),
    Mutant(
        "streams: a visitor's request that empties its session ends them",
        (Edit("asgi/streams.py", "self._has_ended = self._is_ending", "self._has_ended = True"),),
        (f"{_OWN}::test_emptied",),
    ),
    Mutant(
        "streams: a block that does not suspend goes on after the end",
        (Edit("asgi/streams.py", "            if future.done():\n", "            if False:\n"),),
        (f"{_STREAMS}::test_block_without_suspension",),
    ),
)
