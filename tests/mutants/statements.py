"""Mutants of the statements."""

from typing import Final

from tests.mutants.mutant import Edit, Mutant

#: The condition that the session is alive, as three-line statements contain it.
_ALIVE: Final = "  AND s.expire_date OPERATOR(pg_catalog.>) pg_catalog.now()\n"

#: The same of a table without an alias.
_NOW: Final = "expire_date OPERATOR(pg_catalog.>) pg_catalog.now()"

#: The condition that a row is that of an edit.
_SAME: Final = "WHERE s.session_key OPERATOR(pg_catalog.=) o.session_key\n"

STATEMENTS: Final = (
    Mutant(
        "a merge forgets its removals",
        (
            Edit(
                "postgres/statements.py",
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
                "postgres/statements.py",
                f'WHERE session_key {{is_wanted}}\n  AND {_NOW}\n"""\n\n# Of several',
                'WHERE session_key {is_wanted}\n"""\n\n# Of several',
            ),
        ),
        ("tests/contract/test_dead_keys.py::test_reading",),
    ),
    Mutant(
        "UPDATE revives expired sessions",
        (
            Edit(
                "postgres/statements.py",
                f"{_SAME}{_ALIVE}RETURNING s.session_key",
                f"{_SAME}RETURNING s.session_key",
            ),
        ),
        ("tests/contract/test_dead_keys.py::test_writing[postgres-born_expired-touch]",),
    ),
    Mutant(
        "RENEW gives an expired session a new key",
        (
            Edit(
                "postgres/statements.py",
                f"    {_ALIVE}    RETURNING\n        s.session_key,",
                "    RETURNING\n        s.session_key,",
            ),
        ),
        ("tests/contract/test_dead_keys.py::test_writing[postgres-born_expired-renew]",),
    ),
    Mutant(
        "TAKE finds members of expired sessions",
        (
            Edit(
                "postgres/statements.py",
                f"      AND {_NOW}\n      AND session_data OPERATOR(pg_catalog.?) ",
                "      AND session_data OPERATOR(pg_catalog.?) ",
            ),
            Edit(
                "postgres/statements.py",
                f"{_ALIVE}RETURNING o.taken",
                "RETURNING o.taken",
            ),
        ),
        ("tests/concurrency/test_laws.py::test_take_expired",),
    ),
    Mutant(
        "RENEW leaves the old key alive",
        (
            Edit(
                "postgres/statements.py",
                "    DELETE FROM {table} AS s\n"
                "    USING offered AS o\n"
                f"    {_SAME}"
                f"    {_ALIVE}"
                "    RETURNING\n"
                "        s.session_key, s.session_data, s.expire_date, s.created_on, s.period, "
                "s.final_date,\n"
                "        s.user_id\n",
                "    SELECT s.*\n"
                "    FROM {table} AS s\n"
                "    JOIN offered AS o USING (session_key)\n"
                f"    WHERE s.{_NOW}\n",
            ),
        ),
        (
            "tests/contract/test_renew.py::test_old_key",
            "tests/concurrency/test_history.py::test_history",
        ),
    ),
    Mutant(
        "TAKE reads without locking",
        (
            Edit(
                "postgres/statements.py",
                "(pg_catalog.?) %(name)s::pg_catalog.text\n    FOR UPDATE\n",
                "(pg_catalog.?) %(name)s::pg_catalog.text\n",
            ),
        ),
        ("tests/concurrency/test_races.py::test_take_take",),
    ),
    Mutant(
        "a touch goes past the end of the lifetime",
        (
            Edit(
                "postgres/statements.py",
                "ELSE least(o.expire_date, s.final_date)",
                "ELSE o.expire_date",
            ),
        ),
        ("tests/contract/test_lifetime.py::test_touch",),
    ),
    Mutant(
        "the application's clock judges the expiry",
        (
            Edit(
                "postgres/statements.py",
                f'WHERE session_key {{is_wanted}}\n  AND {_NOW}\n"""\n\n# Of several',
                "WHERE session_key {is_wanted}\n  AND expire_date > to_timestamp(%s)\n"
                '"""\n\n# Of several',
            ),
            Edit(
                "postgres/statements.py",
                "self._select_one, (digests[0],)",
                'self._select_one, (digests[0], __import__("time").time())',
            ),
        ),
        ("tests/concurrency/test_laws.py::test_wrong_clock",),
    ),
    Mutant(
        "an emptied session is cleared without locking",
        (
            Edit(
                "postgres/statements.py",
                f"      AND {_NOW}\n    FOR UPDATE\n), gone AS (",
                f"      AND {_NOW}\n), gone AS (",
            ),
        ),
        ("tests/concurrency/test_races.py::test_merge_clear_empty",),
    ),
    Mutant(
        "a renewal begins a new lifetime",
        (
            Edit(
                "postgres/statements.py",
                "    s.final_date,\n    s.user_id\nFROM",
                "    NULL,\n    s.user_id\nFROM",
            ),
        ),
        ("tests/contract/test_lifetime.py::test_renew",),
    ),
    Mutant(
        "a logout whose row is kept is reported as done",
        (
            Edit(
                "postgres/statements.py",
                "if is_empty and not is_gone:",
                "if is_empty and is_gone is None:",
            ),
            Edit(
                "postgres/statements.py",
                "if await self._rows(connection, statement, (gone,)):",
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
                "self._prepared = NamedByText()",
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
