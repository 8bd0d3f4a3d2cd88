"""Mutants of rotation."""

from typing import Final

from tests.mutants.mutant import Edit, Mutant

ROTATION: Final = (
    Mutant(
        "the number before dies when the next one is given out",
        (
            Edit(
                "core/rotation.py",
                "case -1 if shown_for is None or shown_for <= self.grace:",
                "case -1 if False:",
            ),
        ),
        (
            "tests/core/test_rotation.py::test_judge",
            "tests/asgi/test_rotation.py::test_lost_response",
            "tests/concurrency/test_rotation_simulation.py::test_honest",
        ),
    ),
    Mutant(
        "the number before lives for ever",
        (
            Edit(
                "core/rotation.py",
                "case -1 if shown_for is None or shown_for <= self.grace:",
                "case -1:",
            ),
        ),
        (
            "tests/asgi/test_rotation.py::test_grace",
            "tests/concurrency/test_hammer.py::test_rotation",
        ),
    ),
    Mutant(
        "a cookie carries the number that was loaded",
        (Edit("asgi/row.py", "        self._note_number(written.number)\n", ""),),
        ("tests/asgi/test_rotation.py::test_extension",),
    ),
    Mutant(
        "a page for everybody rotates, and a failed one",
        (
            Edit(
                "asgi/exchange.py",
                "return is_page and not may_be_shared(status, headers)",
                "return True",
            ),
        ),
        (
            "tests/asgi/test_rotation.py::test_no_rotation",
            "tests/asgi/test_rotation.py::test_websocket",
        ),
    ),
    Mutant(
        "a copy ends the session although the settings do not say so",
        (Edit("asgi/rotating.py", "if rotation.ends_on_reuse:", "if True:"),),
        ("tests/asgi/test_rotation.py::test_reuse_is_logged",),
    ),
    Mutant(
        "a copy of an older cookie opens its session",
        (
            Edit(
                "core/rotation.py",
                "return self not in {Verdict.REUSED, Verdict.UNKNOWN}",
                "return self is not Verdict.UNKNOWN",
            ),
        ),
        (
            "tests/asgi/test_rotation.py::test_reuse_is_logged",
            "tests/concurrency/test_hammer.py::test_rotation",
        ),
    ),
    Mutant(
        "a number counts as shown as soon as it is given out",
        (
            Edit(
                "postgres/statements/numbering.py",
                "OPERATOR(pg_catalog.+) 1, shown_on = NULL",
                "OPERATOR(pg_catalog.+) 1",
            ),
        ),
        (
            "tests/contract/test_rotate.py::test_rotate[postgres]",
            "tests/concurrency/test_hammer.py::test_rotation",
            "tests/concurrency/test_history.py::test_history",
        ),
    ),
    Mutant(
        "a renewal keeps the number",
        (
            Edit(
                "postgres/statements/editing.py",
                "key_number = CASE WHEN o.heir IS NULL THEN s.key_number ELSE 0 END,",
                "key_number = s.key_number,",
            ),
        ),
        (
            "tests/contract/test_rotate.py::test_renewed[postgres]",
            "tests/concurrency/test_hammer.py::test_rotation",
            "tests/concurrency/test_history.py::test_history",
        ),
    ),
    Mutant(
        "a cookie is overtaken by one with the next number",
        (
            Edit(
                "asgi/binding.py",
                "                if not await self._announce_cookie():\n"
                "                    return None\n",
                "",
            ),
        ),
        (
            "tests/asgi/test_rotation.py::test_overtaken",
            "tests/asgi/test_rotation.py::test_slow_writer",
        ),
    ),
    Mutant(
        "a number is raised though the session was just extended",
        (
            Edit(
                "core/rotation.py",
                " and shown_for >= self.every and idle > self.grace",
                " and shown_for >= self.every",
            ),
            Edit(
                "postgres/statements/numbering.py",
                "\n  AND s.seen_on OPERATOR(pg_catalog.<) o.settled_on",
                "",
            ),
            Edit("memory/store.py", "is_shown and row.seen_at < settled_at", "is_shown"),
        ),
        (
            "tests/asgi/test_rotation.py::test_just_extended",
            "tests/concurrency/test_hammer.py::test_rotation",
        ),
    ),
    Mutant(
        "a key that was retired counts as reuse",
        (
            Edit(
                "asgi/loading.py",
                "                entry = await policy.store.get(found.key)\n",
                "                entry = await policy.store.get(found.key)\n"
                "                if entry is None:\n"
                "                    log = policy.reuse_log\n"
                "                    log.record(presented=0, number=0, is_ended=False)\n",
            ),
        ),
        (
            "tests/asgi/test_rotation.py::test_renewal_is_no_reuse",
            "tests/concurrency/test_hammer.py::test_rotation",
        ),
    ),
)
