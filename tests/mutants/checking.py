"""Mutants of `pgsession check`: what it takes for passing, and what it prints as a remedy."""

from typing import Final

from tests.mutants.mutant import Edit, Mutant

CHECKING: Final = (
    Mutant(
        "readiness: a privilege on one column is enough",
        (
            Edit(
                "postgres/validation.py",
                "NOT pg_catalog.has_column_privilege(c.oid, a.attnum, w.privilege)",
                "NOT pg_catalog.has_any_column_privilege(c.oid, w.privilege)",
            ),
        ),
        ("tests/postgres/test_checking.py::test_no_privilege",),
    ),
    Mutant(
        "the printed grants leave the schema out",
        (Edit("cli/access.py", "if not self.may_enter:", "if False:"),),
        ("tests/cli/test_table_findings.py::test_grants",),
    ),
    Mutant(
        "the primary key's index counts as the one that large tables need",
        (
            Edit(
                "cli/index_findings.py",
                "(index.method, index.first) == (self.method, self.column)",
                "index.first == self.column",
            ),
        ),
        (
            "tests/cli/test_findings.py::test_other_index_on_key",
            "tests/cli/test_table_findings.py::test_brought_back[keys]",
        ),
    ),
    Mutant(
        "an index that is not valid counts as one",
        (
            Edit("cli/index_findings.py", "if not index.is_valid]", "if False]"),
            Edit("cli/index_findings.py", " and (index.is_valid or index.may_be_built)", ""),
        ),
        (
            "tests/cli/test_findings.py::test_indexes[not valid]",
            "tests/cli/test_table_findings.py::test_invalid_index",
        ),
    ),
    Mutant(
        "an index that is being built is to be dropped",
        (
            Edit(
                "cli/index_findings.py",
                "if any(index.may_be_built for index in indexes):",
                "if not indexes:",
            ),
        ),
        ("tests/cli/test_table_findings.py::test_index_under_construction",),
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
        "a pooler's own words are kept back",
        (
            Edit(
                "postgres/connections/failures.py",
                "    if is_of_pooler(error):\n        return unreachable(error)\n",
                "",
            ),
        ),
        ("tests/faults/test_pooled_outage.py::test_first_client",),
    ),
    Mutant(
        "any error with the SQLSTATE of PgBouncer's is taken for one of its own",
        (
            Edit(
                "postgres/connections/failures.py",
                ' and error.diag.severity == "FATAL"',
                "",
            ),
        ),
        ("tests/faults/test_pooled_outage.py::test_text_of_function",),
    ),
    Mutant(
        "a pooler that accepts connections without a server is no failure of the pool",
        (
            Edit(
                "postgres/connections/own_pool.py",
                "            self._note_failure(error)\n            raise\n",
                "            raise\n",
            ),
        ),
        ("tests/faults/test_pooled_outage.py::test_down",),
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
    Mutant(
        "the check advises the table of any role",
        (Edit("cli/surroundings.py", "if each.is_trusted and", "if"),),
        ("tests/cli/test_names_of_others.py::test_advised",),
    ),
    Mutant(
        "the check advises a temporary table",
        (
            Edit("cli/access.py", "  AND c.relpersistence <> 't'\n", ""),
            Edit("cli/access.py", "  AND NOT starts_with(n.nspname::text, 'pg_')\n", ""),
        ),
        ("tests/cli/test_names_of_others.py::test_temporary",),
    ),
    Mutant(
        "a printed name keeps its control characters",
        (Edit("postgres/quoting.py", "    if shown(name) == name:\n", "    if True:\n"),),
        ("tests/postgres/test_quoting.py::test_identifier",),
    ),
    Mutant(
        "the index of a constraint is not looked at",
        (Edit("cli/indexes.py", "a.attnum = ANY (x.indkey)", "false"),),
        ("tests/cli/test_table_findings.py::test_brought_back",),
    ),
)
