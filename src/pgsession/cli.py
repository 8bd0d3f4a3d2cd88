"""The commands of `pgsession`, for people and for deployment scripts."""

import secrets

import click

from pgsession.errors import SessionError
from pgsession.schema import migrate


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pgsession")
def command() -> None:
    """Server-side sessions in PostgreSQL."""


@command.command("migrate")
@click.option(
    "--database-url",
    envvar="SESSION_DATABASE_URL",
    show_envvar=True,
    required=True,
    help="URL or conninfo. Prefer the variable: other users can read a command line.",
)
@click.option(
    "--schema",
    envvar="SESSION_SCHEMA",
    show_envvar=True,
    help="Where the table is or goes, created if missing.  [default: the search_path decides]",
)
def apply(database_url: str, schema: str | None) -> None:
    """Bring the session table to this version, keeping what is in it."""
    try:
        applied = migrate(database_url, schema=schema)
    except SessionError as error:
        raise click.ClickException(" ".join(str(error).split())) from error
    for name in applied:
        click.echo(f"Applied {name}")
    if not applied:
        click.echo("Nothing to do: the database is up to date.")


@command.command()
def secret() -> None:
    """Print a fresh secret for SESSION_SECRET_KEY."""
    click.echo(secrets.token_urlsafe(48))
