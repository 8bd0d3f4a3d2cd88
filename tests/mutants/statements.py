"""Mutants of the statements."""

from typing import Final

from tests.mutants.mutant import Edit, Mutant

STATEMENTS: Final = (
    Mutant(
        "a merge forgets its removals",
        (
            Edit(
                "postgres/statements/editing.py",
                " OPERATOR(pg_catalog.-) o.removed)",
                ")",
            ),
        ),
        (
            "tests/contract/test_merge.py::test_members",
            "tests/concurrency/test_history.py::test_history",
        ),
    ),
    Mutant(
        "SELECT finds expired sessions",
        (
            Edit(
                "postgres/statements/reading.py",
                'WHERE s.session_key {is_wanted}\n  AND {living}\n"""',
                'WHERE s.session_key {is_wanted}\n"""',
            ),
        ),
        ("tests/contract/test_dead_keys.py::test_reading",),
    ),
    Mutant(
        "UPDATE revives expired sessions",
        (
            Edit(
                "postgres/statements/editing.py",
                '  AND {living}"""',
                '"""',
            ),
        ),
        (
            "tests/contract/test_dead_keys.py::test_writing[postgres-born_expired-touch]",
            "tests/contract/test_dead_keys.py::test_writing[postgres-born_expired-renew]",
        ),
    ),
    Mutant(
        "an UPDATE that has waited revives a session that expired meanwhile",
        (
            Edit(
                "postgres/statements/text.py",
                "LONGEST_WAIT: Final = 1.0",
                "LONGEST_WAIT: Final = 0.0",
            ),
        ),
        (
            "tests/concurrency/test_races.py::test_expired_meanwhile[merge-plain]",
            "tests/concurrency/test_races.py::test_expired_meanwhile[login-plain]",
        ),
    ),
    Mutant(
        "an exclusive block that has waited revives a session that expired meanwhile",
        (
            Edit(
                "postgres/tables.py",
                "longest_wait=timeout + wording.longest_wait",
                "longest_wait=0.0",
            ),
        ),
        (
            "tests/concurrency/test_races.py::test_expired_meanwhile[merge-exclusive]",
            "tests/concurrency/test_races.py::test_expired_meanwhile[login-exclusive]",
        ),
    ),
    Mutant(
        "TAKE finds members of expired sessions",
        (
            Edit(
                "postgres/statements/removing.py",
                "      AND {living}\n      AND s.session_data OPERATOR(pg_catalog.?) ",
                "      AND s.session_data OPERATOR(pg_catalog.?) ",
            ),
            Edit(
                "postgres/statements/removing.py",
                "  AND {living}\nRETURNING o.taken",
                "RETURNING o.taken",
            ),
        ),
        ("tests/concurrency/test_laws.py::test_take_expired",),
    ),
    Mutant(
        "a batch of reads may scan the whole table",
        (Edit("postgres/statements/reading.py", "({select}OFFSET 0\n)", "({select})"),),
        ("tests/postgres/test_read_plans.py::test_lookups",),
    ),
    Mutant(
        "a number of a visitor's session is not read",
        (
            Edit(
                "postgres/statements/reading.py",
                "\n        OR s.key_number OPERATOR(pg_catalog.<>) 0",
                "",
            ),
        ),
        ("tests/postgres/test_reading.py::test_kinds",),
    ),
    Mutant(
        "an old key reads the renewed session",
        (
            Edit(
                "postgres/statements/reading.py",
                "if rows and rows[0][1] == verifier else None",
                "if rows else None",
            ),
        ),
        ("tests/contract/test_renew.py::test_old_key",),
    ),
    Mutant(
        "an old key changes the renewed session",
        (
            Edit(
                "postgres/statements/editing.py",
                "  AND coalesce(s.verifier, '') OPERATOR(pg_catalog.=) coalesce(o.verifier, '')\n",
                "",
            ),
        ),
        (
            "tests/contract/test_renew.py::test_one_heir",
            "tests/postgres/test_verifiers.py::test_old_key[1-merge]",
        ),
    ),
    Mutant(
        "an old key removes the renewed session",
        (
            Edit(
                "postgres/statements/removing.py",
                "  AND {whole_key} OPERATOR(pg_catalog.=) %(keys)s::pg_catalog.text",
                "",
            ),
        ),
        ("tests/postgres/test_verifiers.py::test_old_key[1-clear]",),
    ),
    Mutant(
        "of two keys of one session in a batch the first counts",
        (
            Edit(
                "postgres/edits.py",
                "current[selector] if selector in current else next(iter(keys))",
                "next(iter(keys))",
            ),
        ),
        ("tests/postgres/test_verifiers.py::test_two_verifiers_in_one_batch",),
    ),
    Mutant(
        "a row that was skipped is answered as dead",
        (
            Edit(
                "postgres/edits.py",
                "if made[edit.session_key] is None]",
                "if made[edit.session_key] is None and edit.size]",
            ),
        ),
        ("tests/postgres/test_locked_rows.py::test_answered_after_release[touch]",),
    ),
    Mutant(
        "statements wait for locked rows as long as they like",
        (
            Edit(
                "postgres/statements/text.py",
                "        if not self.is_patient or self.is_distributed:\n",
                "        if self.is_patient:\n",
            ),
            Edit(
                "postgres/statements/text.py",
                "        if wording.is_patient:\n            self._patience",
                "        if wording is None:\n            self._patience",
            ),
        ),
        ("tests/postgres/test_locked_rows.py::test_held_in_every_batch",),
    ),
    Mutant(
        "an edit that has waited for the table uses the time before",
        (
            Edit(
                "postgres/statements/editing.py",
                '_PRESENT: Final = "pg_catalog.clock_timestamp()"',
                '_PRESENT: Final = "pg_catalog.now()"',
            ),
        ),
        ("tests/concurrency/test_races.py::test_expired_behind_table_lock",),
    ),
    Mutant(
        "sessions that end soon are extended one by one",
        (
            Edit(
                "postgres/statements/editing.py",
                "        return not self._wording.is_distributed\n",
                "        return False\n",
            ),
        ),
        ("tests/postgres/test_locked_rows.py::test_many_end_soon",),
    ),
    Mutant(
        "nothing ends a statement that waits for the table",
        (
            Edit(
                "postgres/statements/text.py",
                "        if wording.is_patient:\n            self._patience",
                "        if wording is None:\n            self._patience",
            ),
        ),
        ("tests/postgres/test_locked_rows.py::test_table_held",),
    ),
    Mutant(
        "parallel merges pass the limit",
        (
            Edit(
                "postgres/statements/editing.py",
                "      OR {bound} OPERATOR(pg_catalog.<=) {limit}\n",
                "      OR true\n",
            ),
        ),
        ("tests/postgres/test_value_limits.py::test_merged[parallel]",),
    ),
    Mutant(
        "TAKE reads without locking",
        (
            Edit(
                "postgres/statements/removing.py",
                "    FOR NO KEY UPDATE{skip_locked}\n",
                "",
            ),
        ),
        ("tests/concurrency/test_races.py::test_take_take",),
    ),
    Mutant(
        "a session outlives its lifetime",
        (
            Edit(
                "postgres/statements/text.py",
                '            ("created_on", self.max_lifetime),\n',
                "",
            ),
        ),
        ("tests/postgres/test_limits.py::test_written",),
    ),
    Mutant(
        "the application's clock judges the expiry",
        (
            Edit(
                "postgres/statements/reading.py",
                'WHERE s.session_key {is_wanted}\n  AND {living}\n"""',
                'WHERE s.session_key {is_wanted}\n  AND s.expire_date > to_timestamp(%s)\n"""',
            ),
            Edit(
                "postgres/statements/reading.py",
                "self._select_one, (selector,)",
                'self._select_one, (selector, __import__("time").time())',
            ),
        ),
        ("tests/concurrency/test_laws.py::test_wrong_clock",),
    ),
    Mutant(
        "an emptied session is cleared without locking",
        (
            Edit(
                "postgres/statements/removing.py",
                "    FOR UPDATE{skip_locked}\n), gone AS (",
                "), gone AS (",
            ),
        ),
        ("tests/concurrency/test_races.py::test_merge_clear_empty",),
    ),
    Mutant(
        "a logout whose row is kept is reported as done",
        (
            Edit(
                "postgres/statements/removing.py",
                "if is_empty and not is_gone:",
                "if is_empty and is_gone is None:",
            ),
            Edit(
                "postgres/statements/removing.py",
                "if left and (not skipping or None in left):",
                "if not statement:",
            ),
        ),
        (
            "tests/postgres/test_surroundings.py::test_kept_later",
            "tests/postgres/test_surroundings.py::test_kept_empty",
            "tests/postgres/test_surroundings.py::test_hidden_later",
        ),
    ),
    Mutant(
        "prepared statements are numbered",
        (
            Edit(
                "postgres/connections/connection.py",
                "self._prepared = self._named",
                "pass",
            ),
        ),
        ("tests/postgres/connections/test_pool.py::test_names_of_statements",),
    ),
    Mutant(
        "a migration adopts any table",
        (
            Edit(
                "postgres/trust.py",
                "if not is_trusted:",
                "if is_trusted is None:",
            ),
        ),
        ("tests/postgres/test_migrations.py::test_planted",),
    ),
)
