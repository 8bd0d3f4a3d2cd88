"""`pgsession check` on a distributed table."""

import re

import psycopg

from pgsession.postgres.schema import migrate
from tests.cli.test_check import ROWS, Command, command, lines, variables
from tests.distributed.cluster import distribute

__all__ = ["command", "variables"]  # fixtures


def test_in_order(command: Command) -> None:
    """`pgsession check` says that the table is distributed, and finds nothing wrong."""
    checked = command("check")

    assert checked.returncode == 0
    assert re.search(r"^ok +distribution +by Citus$", checked.stdout, re.MULTILINE)
    assert lines(checked.stdout, "warning") == []


def test_remains(database_url: str, schema: str, command: Command) -> None:
    """`pgsession check` tells how to remove the rows that the coordinator keeps."""
    migrate(database_url, schema=schema)
    options = f"-csearch_path={schema}"
    with psycopg.connect(database_url, options=options, autocommit=True) as connection:
        connection.execute(ROWS)
        distribute(database_url, schema)
        before = command("check", SESSION_SCHEMA=schema)
        [remedy] = re.findall(r"SELECT truncate_local.*;", before.stdout)
        connection.execute(remedy)
        after = command("check", SESSION_SCHEMA=schema)

    assert lines(before.stdout, "warning") == ["distribution"]
    assert lines(after.stdout, "warning") == []
