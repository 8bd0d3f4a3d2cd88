"""The table as statements, which make it faster than the migrations do."""

import subprocess
from typing import Final

from pgsession.postgres import embedded

#: What is of no use where the statements run as one message: settings, comments, psql's commands.
_NEEDLESS: Final = ("SET ", "SELECT pg_catalog.set_config", "CREATE SCHEMA", "--", "\\")


def dumped(database_url: str, schema: str) -> str:
    """Return the statements that make what a schema contains, in a schema of the same name."""
    program = embedded._binaries() / "pg_dump"  # noqa: SLF001 - the server's own program
    dump = subprocess.run(
        [program, f"--schema={schema}", "--no-owner", "--inserts", database_url],
        capture_output=True,
        check=True,
        text=True,
    )
    lines = [it for it in dump.stdout.splitlines() if it and not it.startswith(_NEEDLESS)]
    return "\n".join(lines)
