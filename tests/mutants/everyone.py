"""Mutants of ending everybody's sessions, and of the commands of operators."""

from typing import Final

from tests.mutants.mutant import Edit, Mutant

EVERYONE: Final = (
    Mutant(
        "the end of all sessions removes the markers of adopted ones",
        (
            Edit(
                "postgres/statements/clearing.py",
                "  AND coalesce(s.verifier, '') OPERATOR(pg_catalog.<>) '{marker}'\n",
                "",
            ),
        ),
        (
            "tests/contract/test_everyone.py::test_adopted[postgres]",
            "tests/cli/test_revoke.py::test_everyone",
        ),
    ),
    Mutant(
        "the end of all sessions leaves out rows that are held",
        (
            Edit(
                "postgres/clearance.py",
                "self._held |= await self._end(found)",
                "await self._end(found)",
            ),
        ),
        (
            "tests/postgres/test_clearance.py::test_held[plain]",
            "tests/postgres/test_clearance.py::test_held_too_long",
        ),
    ),
    Mutant(
        "the end of all sessions counts what another has ended",
        (
            Edit(
                "postgres/clearance.py",
                "sum(found[handle] for handle in gone)",
                "sum(found[handle] for handle in found.keys() - left)",
            ),
        ),
        ("tests/postgres/test_clearance.py::test_two_at_once",),
    ),
    Mutant(
        "a command that SIGTERM ends does not say what it has done",
        (Edit("cli/termination.py", "signal.signal(signal.SIGTERM, self._end)", "pass"),),
        ("tests/cli/test_revoke.py::test_all_interrupted[SIGTERM]",),
    ),
    Mutant(
        "a command that ends all sessions of a user does not say what it has done",
        (
            Edit(
                "cli/revoke.py",
                'note_done(lambda: f"At least {count_of(_ended(revocations))} had ended by then.")',
                "pass",
            ),
        ),
        (
            "tests/cli/test_revoke.py::test_held[all]",
            "tests/cli/test_revoke.py::test_all_interrupted[SIGINT]",
        ),
    ),
    Mutant(
        "one odd date keeps sessions from being read",
        (
            Edit(
                "postgres/statements/reading.py",
                'return _PAST.replace("{moment}", moment)',
                "return moment",
            ),
        ),
        (
            "tests/postgres/test_overview.py::test_odd_dates",
            "tests/cli/test_stats.py::test_odd_dates",
        ),
    ),
    Mutant(
        "what a command shows is interpreted by the terminal",
        (Edit("core/shown.py", 'printable(text.replace("\\\\", r"\\\\"))', "text"),),
        (
            "tests/cli/test_output.py::test_shown[escape]",
            "tests/cli/test_devices.py::test_hostile",
            "tests/cli/test_stats.py::test_hostile",
        ),
    ),
    Mutant(
        "sessions are ended without a question where there is no terminal",
        (Edit("cli/revoke.py", "if not (is_sure or sys.stdin.isatty()):", "if False:"),),
        ("tests/cli/test_revoke.py::test_without_terminal",),
    ),
    Mutant(
        "markers of adopted sessions count as sessions",
        (
            Edit(
                "cli/counting.py",
                "\"coalesce(s.verifier, '') OPERATOR(pg_catalog.<>) '{marker}'\"",
                '"true"',
            ),
        ),
        ("tests/cli/test_stats.py::test_counts",),
    ),
)
