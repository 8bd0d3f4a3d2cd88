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
from pgsession.errors import SessionError
from pgsession.postgres.schema import migrate
from pgsession.postgres.store import PostgresStore
from pgsession.postgres.sweeping.sweep import Swept

_T = TypeVar("_T")

_database_url = click.option(
    "--database-url",
    envvar="SESSION_DATABASE_URL",
    show_envvar=True,
    required=True,
    help="URL or conninfo. Prefer the variable: other users can read a command line.",
)
_schema = click.option(
    "--schema",
    envvar="SESSION_SCHEMA",
    show_envvar=True,
    help="Where the table is.  [default: the search_path decides]",
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
    help="Where the table is or goes, created if missing.  [default: the search_path decides]",
)
def apply(database_url: str, schema: str | None) -> None:
    """Bring the session table to this version, keeping what is in it."""
    with _failing():
        applied = migrate(database_url, schema=schema)
    for name in applied:
        click.echo(f"Applied {name}")
    if not applied:
        click.echo("Nothing to do: the database is up to date.")


@command.command()
@_database_url
@_schema
def check(database_url: str, schema: str | None) -> None:
    """Tell whether all is in order, and what to do if not.

    Looks at the settings, the server, the table and its sweeping. Exits 1 if
    anything is wrong; a warning is none.
    """
    found = _run(examine(database_url, schema=schema, environment=os.environ))
    width = max(len(finding.subject) for finding in found)
    for finding in found:
        _show(finding, width)
    if any(finding.verdict is Verdict.WRONG for finding in found):
        sys.exit(1)


@command.command(short_help="Remove expired sessions.")
@_database_url
@_schema
def sweep(database_url: str, schema: str | None) -> None:
    """Remove expired sessions, a few at a time, while the application runs.

    Shows how far it is on a terminal. Exits 0 also if another sweep is
    under way, which then does the rest.
    """
    with _failing(), _bar() as progress:
        store = PostgresStore(database_url, schema=schema, sweep_every=None)
        swept = _run(store.sweep(progress=progress))
    click.echo(
        f"Removed {swept.rows} expired sessions in {swept.seconds:.1f} s "
        f"({swept.pages} pages looked at)."
    )
    if not swept.is_whole:
        click.echo("Another sweep is under way, which does the rest.")


@command.command()
def secret() -> None:
    """Print a fresh secret for SESSION_SECRET_KEY."""
    click.echo(secrets.token_urlsafe(48))


@contextmanager
def _failing() -> Iterator[None]:
    """Turn an error of ours into one line on stderr, and exit code 1."""
    try:
        yield
    except SessionError as error:
        raise click.ClickException(" ".join(str(error).split())) from error


@contextmanager
def _bar() -> Iterator[Callable[[Swept], None] | None]:
    """Yield what shows how far a sweep is, on a terminal; else None."""
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
    """Run it in an event loop that psycopg can use, which that of Windows is not."""
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(work)


def _show(finding: Finding, width: int) -> None:
    click.echo(f"{finding.verdict.value:7}  {finding.subject:{width}}  {finding.text}")
    if finding.remedy:
        click.echo(f"{'':7}  {'':{width}}  {finding.remedy}")
