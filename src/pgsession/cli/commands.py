"""The commands of `pgsession`, for people and for deployment scripts."""

import asyncio
import os
import secrets
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar

import click

from pgsession.cli.check import examine, with_secret
from pgsession.cli.findings import Finding, Verdict
from pgsession.core.hidden import Hidden
from pgsession.errors import (
    SessionError,
    StoreBusyError,
    StoreRejectedError,
    StoreUnavailableError,
)
from pgsession.postgres.attempts import LOCK_TIMEOUT, TRIES
from pgsession.postgres.connections.startup import connect
from pgsession.postgres.schema import migrate
from pgsession.postgres.sweeping.sweep import Swept
from pgsession.postgres.table_name import DEFAULT_TABLE
from pgsession.settings import SessionSettings

_T = TypeVar("_T")

#: The exit codes besides 0 and those of click: 2 for wrong usage.
_WRONG: Final = 1
_NOT_REACHABLE: Final = 3

#: Prints a line while a command goes on.
_report: Final = partial(click.echo, err=True)


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

_wait = click.option(
    "--wait",
    type=click.FloatRange(min=0, max=86_400),
    default=0,
    show_default=True,
    metavar="SECONDS",
    help="If the database cannot be reached, try again for so long.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pgsession")
def command() -> None:
    """Server-side sessions in PostgreSQL.

    Exit codes: 0 done, 1 something is wrong, 2 wrong usage, 3 the database
    cannot be reached now.
    """


@command.command("migrate")
@_database_url
@click.option(
    "--schema",
    envvar="SESSION_SCHEMA",
    show_envvar=True,
    help="The schema of the table, created if missing.  [default: as the search_path says]",
)
@_table
@click.option(
    "--lock-timeout",
    type=click.FloatRange(min=0.001, max=86_400),
    default=LOCK_TIMEOUT,
    show_default=True,
    metavar="SECONDS",
    help="How long a try may wait for the table, and sessions with it.",
)
@click.option(
    "--tries",
    type=click.IntRange(min=1),
    default=TRIES,
    show_default=True,
    help="How many times to try while the table is in use.",
)
@_wait
def apply(
    database_url: str,
    *,
    schema: str | None,
    table: str,
    lock_timeout: float,
    tries: int,
    wait: float,
) -> None:
    """Create the session table, or upgrade it to this version. Its rows are kept.

    If other transactions use the table, try again a few times, and exit 1
    after the last try. Exits 3 if the database cannot be reached. Exits 0 on
    a newer database if this version may run on it, and 1 if not.
    """
    with _reporting_errors():
        applied = migrate(
            database_url,
            schema=schema,
            table=table,
            lock_timeout=lock_timeout,
            tries=tries,
            wait=wait,
            report=_report,
        )
    for name in applied:
        click.echo(f"Applied {name}")
    if not applied:
        click.echo("Nothing to do: the database has all migrations of this version.")


@command.command()
@_database_url
@_schema
@_table
@_wait
def check(database_url: str, *, schema: str | None, table: str, wait: float) -> None:
    """Check the settings, the server, the table and its sweeping.

    Prints each finding, and what to do about it. Exits 1 if anything is
    wrong, 3 if only the database cannot be reached, and 0 if there are only
    warnings.
    """
    if wait:
        # The checks report what is wrong with the connection.
        with suppress(SessionError), connect(database_url, wait=wait, report=_report):
            pass
    found = _run(examine(database_url, schema=schema, table=table, environment=os.environ))
    width = max(len(finding.subject) for finding in found)
    for finding in found:
        _show(finding, width)
    if wrong := [finding for finding in found if finding.verdict is Verdict.WRONG]:
        sys.exit(_NOT_REACHABLE if all(finding.may_pass for finding in wrong) else _WRONG)


@command.command(short_help="Remove expired sessions.")
@_database_url
@_schema
@_table
def sweep(database_url: str, schema: str | None, table: str) -> None:
    """Remove expired sessions, a few at a time, while the application runs.

    Give it the SESSION_ variables of the application: they say how long sessions
    live at most. With SESSION_RECORD_CLIENT=false it also erases the addresses and
    user agents of sign-ins.

    Shows its progress on a terminal. If another sweep is running, that one
    removes the rest, and this one exits 0.
    """
    with _reporting_errors(), _progress_bar() as progress:
        settings = replace(
            SessionSettings.from_env(with_secret(os.environ)),
            database_url=database_url,
            schema=schema,
            table=table,
            sweep_every=None,
        )
        swept = _run(settings.make_store().sweep(progress=progress))
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


class _NotReachable(click.ClickException):
    exit_code = _NOT_REACHABLE


@contextmanager
def _reporting_errors() -> Iterator[None]:
    """Print a `SessionError` as one line on stderr, and exit with its code."""
    try:
        yield
    except SessionError as error:
        text = " ".join(str(error).split())
        may_pass = isinstance(error, StoreUnavailableError) and not isinstance(
            error, StoreBusyError | StoreRejectedError
        )
        raise (_NotReachable(text) if may_pass else click.ClickException(text)) from error


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
