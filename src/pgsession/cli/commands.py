"""The commands of `pgsession`, for people and for deployment scripts."""

import asyncio
import os
import secrets
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from pgsession.cli.check import examine
from pgsession.cli.findings import Finding, Verdict
from pgsession.core.hidden import Hidden
from pgsession.errors import SessionError
from pgsession.postgres.schema import migrate
from pgsession.postgres.store import PostgresStore
from pgsession.postgres.sweeping.sweep import Swept
from pgsession.postgres.table_name import DEFAULT_TABLE

_T = TypeVar("_T")


def _hide(_context: click.Context, _parameter: click.Parameter, given: str) -> Hidden:
    return Hidden(given)


_database_url = click.option(
    "--database-url",
    envvar="SESSION_DATABASE_URL",
    show_envvar=True,
    required=True,
    callback=_hide,
    help="URL or conninfo. Prefer the variable: other users can read a command line.",
)
_schema = click.option(
    "--schema",
    envvar="SESSION_SCHEMA",
    show_envvar=True,
    help="The schema of the table.  [default: as the search_path says]",
)

_table = click.option(
    "--table",
    envvar="SESSION_TABLE",
    show_envvar=True,
    default=DEFAULT_TABLE,
    show_default=True,
    help="The name of the table.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pgsession")
def command() -> None:
    """Server-side sessions in PostgreSQL."""


@command.command("migrate")
@_database_url
@click.option(
    "--schema",
    envvar="SESSION_SCHEMA",
    show_envvar=True,
    help="The schema of the table, created if missing.  [default: as the search_path says]",
)
@_table
def apply(database_url: str, schema: str | None, table: str) -> None:
    """Create the session table, or upgrade it to this version. Its rows are kept."""
    with _reporting_errors():
        applied = migrate(database_url, schema=schema, table=table)
    for name in applied:
        click.echo(f"Applied {name}")
    if not applied:
        click.echo("Nothing to do: the database is up to date.")


@command.command()
@_database_url
@_schema
@_table
def check(database_url: str, schema: str | None, table: str) -> None:
    """Check the settings, the server, the table and its sweeping.

    Prints each finding, and what to do about it. Exits 1 if anything is
    wrong, and 0 if there are only warnings.
    """
    found = _run(examine(database_url, schema=schema, table=table, environment=os.environ))
    width = max(len(finding.subject) for finding in found)
    for finding in found:
        _show(finding, width)
    if any(finding.verdict is Verdict.WRONG for finding in found):
        sys.exit(1)


@command.command(short_help="Remove expired sessions.")
@_database_url
@_schema
@_table
def sweep(database_url: str, schema: str | None, table: str) -> None:
    """Remove expired sessions, a few at a time, while the application runs.

    Shows its progress on a terminal. If another sweep is running, that one
    removes the rest, and this one exits 0.
    """
    with _reporting_errors(), _progress_bar() as progress:
        store = PostgresStore(database_url, schema=schema, table=table, sweep_every=None)
        swept = _run(store.sweep(progress=progress))
    click.echo(
        f"Removed {swept.rows} expired sessions in {swept.seconds:.1f} s "
        f"({swept.pages} pages looked at)."
    )
    if not swept.is_whole:
        click.echo("Another sweep is running and removes the rest.")


@command.command()
def secret() -> None:
    """Print a fresh secret for SESSION_SECRET_KEY."""
    click.echo(secrets.token_urlsafe(48))


@contextmanager
def _reporting_errors() -> Iterator[None]:
    """Print a `SessionError` as one line on stderr, and exit with 1."""
    try:
        yield
    except SessionError as error:
        raise click.ClickException(" ".join(str(error).split())) from error


@contextmanager
def _progress_bar() -> Iterator[Callable[[Swept], None] | None]:
    """Yield a function that shows the progress of a sweep on a terminal, or None without one."""
    if not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(
        length=1,
        label="Sweeping",
        file=sys.stderr,
        item_show_func=_count,
    ) as bar:

        def show(swept: Swept) -> None:
            bar.length = swept.total
            bar.update(swept.pages - bar.pos, swept)

        yield show


def _count(swept: Swept | None) -> str | None:
    return None if swept is None else f"{swept.rows} removed"


def _run(work: Coroutine[Any, Any, _T]) -> _T:
    """Run `work` in an event loop that psycopg supports: on Windows, the default is not one."""
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(work)


def _show(finding: Finding, width: int) -> None:
    click.echo(f"{finding.verdict.value:7}  {finding.subject:{width}}  {finding.text}")
    if finding.remedy:
        click.echo(f"{'':7}  {'':{width}}  {finding.remedy}")
