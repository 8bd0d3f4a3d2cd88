"""The options that several commands have, and the store that they name."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Protocol, TypeVar

import click

from pgsession.cli.check import with_secret
from pgsession.core.hidden import Hidden
from pgsession.core.login import checked_user_id
from pgsession.postgres.connections.startup import connect
from pgsession.postgres.store import PostgresStore
from pgsession.postgres.table_name import DEFAULT_TABLE
from pgsession.printable import printable
from pgsession.settings import SessionSettings

_FC = TypeVar("_FC", bound=Callable[..., object] | click.Command)


class Option(Protocol):
    """What gives a command an option."""

    def __call__(self, function: _FC, /) -> _FC: ...


def report(text: str) -> None:
    """Print a line while a command goes on."""
    click.echo(printable(text), err=True)


def _hide(_context: click.Context, _parameter: click.Parameter, given: str) -> Hidden:
    return Hidden(given)


def check_user(
    _context: click.Context, _parameter: click.Parameter, given: str | None
) -> str | None:
    """Return a user id, or None if there is none; else say what is wrong with it."""
    if given is None:
        return None
    try:
        return checked_user_id(given, named="USER")
    except ValueError as error:
        raise click.UsageError(str(error)) from error


database_url: Option = click.option(
    "--database-url",
    envvar="SESSION_DATABASE_URL",
    show_envvar=True,
    required=True,
    callback=_hide,
    help="URL or conninfo. Prefer the variable: other users can read a command line.",
)

schema: Option = click.option(
    "--schema",
    envvar="SESSION_SCHEMA",
    show_envvar=True,
    help="The schema of the table.  [default: as the search_path says]",
)

table: Option = click.option(
    "--table",
    envvar="SESSION_TABLE",
    show_envvar=True,
    default=DEFAULT_TABLE,
    show_default=True,
    help="The name of the table.",
)

wait: Option = click.option(
    "--wait",
    type=click.FloatRange(min=0, max=86_400),
    default=0,
    show_default=True,
    metavar="SECONDS",
    help="If the database cannot be reached, try again for so long.",
)

as_json: Option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def settings_of(
    database_url: str, schema: str | None, table: str, *, wait: float = 0
) -> SessionSettings:
    """Return the application's settings for one table, once the database can be reached.

    They say how long sessions live at most. Raises `SessionError`.
    """
    if wait:
        with connect(database_url, wait=wait, report=report):
            pass
    return replace(
        SessionSettings.from_env(with_secret(os.environ)),
        database_url=database_url,
        schema=schema,
        table=table,
        sweep_every=None,
        pool_size=1,
    )


@asynccontextmanager
async def store_of(settings: SessionSettings) -> AsyncIterator[PostgresStore]:
    """Yield the store of these settings, open. If the command is interrupted, so are its calls."""
    async with settings.make_store() as store:
        try:
            yield store
        except asyncio.CancelledError:
            # Else closing the store would wait for their answers.
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            raise


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int, str], None] | None]:
    """Yield what shows how many of how many are done, on a terminal; None without one."""
    if not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(length=1, label=label, file=sys.stderr, item_show_func=_as_it_is) as bar:

        def show(done: int, total: int, said: str) -> None:
            bar.length = max(total, done, 1)
            bar.update(done - bar.pos, said)

        yield show


def _as_it_is(said: str | None) -> str | None:
    return said
