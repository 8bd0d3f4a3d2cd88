"""Mutants of `exclusive` blocks: what they undo, commit, take, and leave to others."""

from typing import Final

from tests.mutants.mutant import Edit, Mutant

BLOCKS: Final = (
    Mutant(
        "exclusive: a row that another transaction holds is an outage",
        (
            Edit(
                "postgres/connections/locks.py",
                "lock_timeout = {row};\nSET LOCAL statement",
                "lock_timeout = 0;\nSET LOCAL statement",
            ),
        ),
        (
            "tests/postgres/test_locked_rows.py::test_times_out_in_a_block",
            "tests/concurrency/test_exclusive.py::test_locked_row",
        ),
    ),
    Mutant(
        "exclusive: after a wait for the lock, a held row is an outage",
        (
            Edit(
                "postgres/connections/locks.py",
                'SET LOCAL lock_timeout = {row};\n""")\n\n#: The part',
                '""")\n\n#: The part',
            ),
        ),
        ("tests/postgres/test_locked_rows.py::test_times_out_after_a_wait",),
    ),
    Mutant(
        "exclusive: the limit for rows is that for the lock",
        (
            Edit(
                "postgres/connections/locks.py",
                "SET LOCAL lock_timeout = 0;\nSELECT",
                "SET LOCAL lock_timeout = 50;\nSELECT",
            ),
        ),
        ("tests/concurrency/test_blocks.py::test_waits_of_the_role",),
    ),
    Mutant(
        "a block that raised puts back what it took",
        (
            Edit(
                "asgi/operations.py",
                "            self._before = self._before.without(name)\n",
                "            pass\n",
            ),
        ),
        ("tests/concurrency/test_undo.py::test_taken_unsaved",),
    ),
    Mutant(
        "a block that raised puts back the whole content",
        (
            Edit(
                "core/content.py",
                '            changes.encoded or b"{}",\n',
                "            encode_text(dict(content)),\n",
            ),
        ),
        ("tests/concurrency/test_undo.py::test_reloaded",),
    ),
    Mutant(
        "a save in a block that raised is undone in the session",
        (
            Edit(
                "asgi/operations.py",
                "            self._before = Snapshot(granted)\n",
                "            pass\n",
            ),
        ),
        (
            "tests/concurrency/test_undo.py::test_saved",
            "tests/concurrency/test_undo.py::test_period",
        ),
    ),
    Mutant(
        "a cancelled block leaves a save under way",
        (
            Edit(
                "asgi/operations.py",
                "return finished(self._execute_within(decision, store, extend=extend))",
                "return self._execute_within(decision, store, extend=extend)",
            ),
        ),
        ("tests/concurrency/test_undo.py::test_cancelled_write[save]",),
    ),
    Mutant(
        "a store outlives its block",
        (
            Edit(
                "postgres/connections/dedicated.py",
                "        if self._is_over:\n",
                "        if 0:\n",
            ),
            Edit("memory/uncommitted.py", "        if self._is_over:\n", "        if 0:\n"),
        ),
        ("tests/concurrency/test_blocks.py::test_over",),
    ),
    Mutant(
        "a take in a block is rolled back with it",
        (
            Edit(
                "postgres/blocks.py",
                "return await self._plain.take(call)",
                "return await self._held.take(call)",
            ),
        ),
        ("tests/concurrency/test_blocks.py::test_take[postgres]",),
    ),
    Mutant(
        "a lock is waited for before it is tried",
        (
            Edit(
                "postgres/connections/locks.py",
                "        progress.enter(_Stage.ASKING, self._timeout)\n",
                "",
            ),
        ),
        ("tests/concurrency/test_blocks.py::test_no_time[postgres-0]",),
    ),
    Mutant(
        "a block that swallows its cancellation is committed",
        (
            Edit(
                "postgres/connections/locks.py",
                "        if self._is_overdue:\n            raise TimeoutError\n",
                "        if False:\n            raise TimeoutError\n",
            ),
        ),
        ("tests/concurrency/test_blocks.py::test_too_long[postgres-swallowed]",),
    ),
    Mutant(
        "blocks in blocks wait for the connections of outer blocks",
        (
            Edit(
                "postgres/connections/locks.py",
                "self._slots[min(depth, len(self._slots) - 1)]",
                "self._slots[0]",
            ),
        ),
        ("tests/concurrency/test_blocks.py::test_nested[postgres]",),
    ),
    Mutant(
        "a block forgets all keys that were not found",
        (
            Edit(
                "postgres/store.py",
                "        for each in written:\n            self._dead.forget(each)\n",
                "        self._dead.forget()\n",
            ),
        ),
        ("tests/concurrency/test_blocks.py::test_dead_keys_stay_known",),
    ),
    Mutant(
        "a WebSocket function fails because its client left",
        (
            Edit(
                "asgi/middleware.py", "            if has_left(error):\n", "            if False:\n"
            ),
        ),
        ("tests/asgi/test_websocket.py::test_client_left",),
    ),
)
