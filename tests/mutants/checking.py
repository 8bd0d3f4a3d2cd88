"""Mutants of `pgsession check`: what it takes for passing, and what it prints as a remedy."""

from typing import Final

from tests.mutants.mutant import Edit, Mutant

CHECKING: Final = (
    Mutant(
        "the printed grants leave the schema out",
        (Edit("cli/access.py", "if not self.may_enter:", "if False:"),),
        ("tests/cli/test_table_findings.py::test_grants",),
    ),
    Mutant(
        "a name in a remedy is not quoted",
        (
            Edit(
                "postgres/quoting.py",
                "        return sql.Identifier(name).as_string()\n",
                "        return name\n",
            ),
        ),
        ("tests/cli/test_reasons.py::test_rejected",),
    ),
    Mutant(
        "a rejection by one host counts although another may answer later",
        (
            Edit(
                "postgres/connections/failures.py",
                "[*passing, *rejected, *attempts]",
                "[*rejected, *passing, *attempts]",
            ),
        ),
        ("tests/postgres/connections/test_failures.py::test_unreachable",),
    ),
    Mutant(
        "the parameters of the TOAST table are not looked at",
        (Edit("cli/findings.py", '("toast.", relation.toast_options)', '("", relation.options)'),),
        ("tests/cli/test_table_findings.py::test_brought_back",),
    ),
)
