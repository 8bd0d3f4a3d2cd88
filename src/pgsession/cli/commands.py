"""The commands of `pgsession`, for people and for deployment scripts."""

import os
import secrets
import sys
from collections.abc import Sequence
from contextlib import suppress

import click

from pgsession.cli import options
from pgsession.cli.check import examine
from pgsession.cli.devices import devices
from pgsession.cli.exits import NOT_REACHABLE, WRONG, Command, Commands, note_done, run
from pgsession.cli.findings import Finding, Verdict
from pgsession.cli.output import count_of, print_json
from pgsession.cli.revoke import revoke
from pgsession.cli.stats import stats
from pgsession.errors import SessionError
from pgsession.postgres.attempts import LOCK_TIMEOUT, TRIES
from pgsession.postgres.connections.startup import connect
from pgsession.postgres.schema import migrate
from pgsession.postgres.sweeping.sweep import Swept
from pgsession.printable import printable


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pgsession")
def command() -> None:
    """Server-side sessions in PostgreSQL.

    Exit codes: 0 done, 1 something is wrong, 2 wrong usage, 3 the database
    cannot be reached now, 130 interrupted, 143 terminated.
    """


for _command in (devices, revoke, stats):
    command.add_command(_command)


@command.command("migrate", cls=Command)
@options.database_url
@click.option(
    "--schema",
    envvar="SESSION_SCHEMA",
    show_envvar=True,
    help="The schema of the table, created if missing.  [default: as the search_path says]",
)
@options.table
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
@options.wait
@options.as_json
def apply(
    database_url: str,
    *,
    schema: str | None,
    table: str,
    lock_timeout: float,
    tries: int,
    wait: float,
    as_json: bool,
) -> None:
    """Create the session table, or upgrade it to this version. Its rows are kept.

    If other transactions use the table, try again a few times, and exit 1
    after the last try. Exits 3 if the database cannot be reached. Exits 0 on
    a newer database if this version may run on it, and 1 if not.
    """
    note_done(
        lambda: "Each migration is applied as a whole or not at all: run it again.",
        before_errors=False,
    )
    applied = migrate(
        database_url,
        schema=schema,
        table=table,
        lock_timeout=lock_timeout,
        tries=tries,
        wait=wait,
        report=options.report,
    )
    if as_json:
        print_json({"applied": applied})
        return
    for name in applied:
        click.echo(f"Applied {name}")
    if not applied:
        click.echo("Nothing to do: the database has all migrations of this version.")


@command.command(cls=Command)
@options.database_url
@options.schema
@options.table
@options.wait
@options.as_json
def check(database_url: str, *, schema: str | None, table: str, wait: float, as_json: bool) -> None:
    """Check the settings, the server, the table and its sweeping.

    Prints each finding, and what to do about it. Exits 1 if anything is
    wrong, 3 if only the database cannot be reached, and 0 if there are only
    warnings.
    """
    if wait:
        # The checks report what is wrong with the connection.
        with suppress(SessionError), connect(database_url, wait=wait, report=options.report):
            pass
    found = run(examine(database_url, schema=schema, table=table, environment=os.environ))
    if as_json:
        print_json({"findings": [document_of(finding) for finding in found]})
    else:
        _show(found)
    if wrong := [finding for finding in found if finding.verdict is Verdict.WRONG]:
        sys.exit(NOT_REACHABLE if all(finding.may_pass for finding in wrong) else WRONG)


@command.command(cls=Command, short_help="Remove expired sessions.")
@options.database_url
@options.schema
@options.table
@options.wait
@options.as_json
def sweep(database_url: str, *, schema: str | None, table: str, wait: float, as_json: bool) -> None:
    """Remove expired sessions, a few at a time, while the application runs.

    Give it the SESSION_ variables of the application: they say how long sessions
    live at most. With SESSION_RECORD_CLIENT=false it also erases the addresses and
    user agents of sign-ins.

    Shows its progress on a terminal. If another sweep is running, that one
    removes the rest, and this one exits 0.
    """
    settings = options.settings_of(database_url, schema, table, wait=wait)
    so_far = Swept()

    def tell() -> str:
        return f"At least {count_of(so_far.rows, 'expired session')} had been removed."

    note_done(tell, before_errors=False)
    with options.progress_bar("Sweeping") as show:

        def progress(swept: Swept) -> None:
            nonlocal so_far
            so_far = swept
            if swept.rows:
                note_done(tell)
            if show is not None:
                show(swept.pages, swept.total, f"{swept.rows} removed")

        swept = run(settings.make_store().sweep(progress=progress))
    if as_json:
        print_json(
            {
                "removed": swept.rows,
                "pages": swept.pages,
                "seconds": round(swept.seconds, 3),
                "is_whole": swept.is_whole,
            }
        )
        return
    click.echo(
        f"Removed {swept.rows} expired sessions in {swept.seconds:.1f} s "
        f"({swept.pages} {'page' if swept.pages == 1 else 'pages'} looked at)."
    )
    if not swept.is_whole:
        click.echo("Another sweep is running and removes the rest.")


@command.command(cls=Command)
def secret() -> None:
    """Print a fresh secret for SESSION_SECRET_KEY."""
    click.echo(secrets.token_urlsafe(48))


def _show(found: Sequence[Finding]) -> None:
    width = max(len(finding.subject) for finding in found)
    for finding in found:
        click.echo(
            f"{finding.verdict.value:7}  {finding.subject:{width}}  {printable(finding.text)}"
        )
        if finding.remedy:
            click.echo(f"{'':7}  {'':{width}}  {printable(finding.remedy)}")


def document_of(finding: Finding) -> dict[str, str]:
    """Return a finding as ``check --json`` prints it."""
    return {
        "code": finding.code,
        "subject": finding.subject,
        "verdict": finding.verdict.value,
        "text": finding.text,
        "remedy": finding.remedy,
    }
