"""Mutants of the limits of sessions, and of what becomes of the calls of a batch."""

from typing import Final

from tests.mutants.mutant import Edit, Mutant

LIMITS: Final = (
    Mutant(
        "a session outlives its inactivity",
        (
            Edit(
                "postgres/statements/text.py",
                '            ("seen_on", self.max_inactivity),\n',
                "",
            ),
        ),
        (
            "tests/postgres/test_limits.py::test_written",
            "tests/postgres/test_limits.py::test_read",
        ),
    ),
    Mutant(
        "a sweep leaves what was not used",
        (
            Edit(
                "postgres/sweeping/statements.py",
                "_expired(created_on=max_lifetime, seen_on=max_inactivity)",
                "_expired(created_on=max_lifetime)",
            ),
        ),
        ("tests/postgres/test_limits.py::test_swept",),
    ),
    Mutant(
        "a merge counts as activity",
        (
            Edit(
                "postgres/statements/editing.py",
                "CASE WHEN o.seconds IS NULL THEN s.seen_on ELSE o.seen_on END",
                "o.seen_on",
            ),
        ),
        ("tests/postgres/test_limits.py::test_activity",),
    ),
    Mutant(
        "a request undoes the period that another has shortened",
        (
            Edit(
                "postgres/statements/editing.py",
                "        WHEN o.is_exact OR s.period IS NULL\n",
                "        WHEN true\n",
            ),
        ),
        ("tests/contract/test_inactivity.py::test_shortened_stays",),
    ),
    Mutant(
        "a session past the limit takes no change",
        (
            Edit(
                "postgres/statements/editing.py",
                "OPERATOR(pg_catalog.<=) greatest(\n          {limit},\n"
                "          pg_catalog.octet_length(s.session_data::pg_catalog.text)\n      )",
                "OPERATOR(pg_catalog.<=) {limit}",
            ),
        ),
        ("tests/postgres/test_value_limits.py::test_past_the_limit_changed",),
    ),
    Mutant(
        "many members are removed one by one",
        (
            Edit(
                "postgres/statements/editing.py",
                "        WHEN o.many_removed IS NOT NULL THEN (\n",
                "        WHEN false THEN (\n",
            ),
        ),
        ("tests/postgres/test_value_limits.py::test_many_removals",),
    ),
    Mutant(
        "a call waits for a locked row as long as it is held",
        (
            Edit(
                "postgres/calls_apart.py",
                "for _, answer, since, _ in self._waiting:",
                "for _ in ():",
            ),
            Edit(
                "postgres/calls_apart.py",
                "if caller[2] <= loop.time() - self._timeout:",
                "if not loop:",
            ),
        ),
        ("tests/postgres/test_coalescer_locked.py::test_timeout",),
    ),
    Mutant(
        "a caller is told that its row is held while its call may still succeed",
        (
            Edit(
                "postgres/calls_apart.py",
                "            if since <= oldest - _GRACE:\n                fail(answer, late)\n",
                "            if since <= oldest:\n                fail(answer, _HELD)\n",
            ),
        ),
        ("tests/postgres/test_coalescer_locked.py::test_timeout_under_way",),
    ),
    Mutant(
        "a call is sent again when its time is over",
        (
            Edit(
                "postgres/calls_apart.py",
                "if caller[2] <= loop.time() - self._timeout:",
                "if not loop:",
            ),
        ),
        ("tests/postgres/test_coalescer_locked.py::test_timeout_after_attempt",),
    ),
    Mutant(
        "verifiers are compared by another role's operator",
        (
            Edit(
                "postgres/statements/editing.py",
                "coalesce(s.verifier, '') OPERATOR(pg_catalog.=) coalesce(o.verifier, '')",
                "s.verifier IS NOT DISTINCT FROM o.verifier",
            ),
        ),
        ("tests/postgres/test_shadowing.py::test_shadowed",),
    ),
)
