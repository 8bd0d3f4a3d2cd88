"""How the commands end: their exit codes, and their errors as text or as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final, NoReturn, TypeVar

import click

from pgsession.cli.output import shown
from pgsession.errors import (
    SessionError,
    StoreBusyError,
    StoreRejectedError,
    StoreUnavailableError,
)
from pgsession.printable import printable

_T = TypeVar("_T")

#: The exit codes besides 0.
WRONG: Final = 1
USAGE: Final = 2
NOT_REACHABLE: Final = 3
INTERRUPTED: Final = 130

#: The settings of a command that takes a HANDLE, which may begin with ``-h``.
NO_SHORT_HELP: Final[dict[str, list[str]]] = {"help_option_names": ["--help"]}

#: Where a command leaves a function that tells what it has done so far.
_DONE: Final = "pgsession.cli.done"

_DASH: Final = (
    "If a USER or a HANDLE begins with a dash, write -- before it, after all options: "
    "`pgsession {name} … -- -ann`."
)


class Command(click.Command):
    """A command whose errors are one line on stderr, and its exit code says what kind.

    With ``--json`` the line is a JSON object: ``error`` and ``exit_code``.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if not any(isinstance(it, click.Argument) for it in self.params):
                raise
            said = f"{shown(error.format_message())} {_DASH.format(name=self.name)}"
            raise click.UsageError(said, ctx) from error

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - as click has it
        as_json = bool(ctx.params.get("as_json"))
        try:
            return super().invoke(ctx)
        except SessionError as error:
            code = NOT_REACHABLE if _may_pass(error) else WRONG
            _fail(" ".join(str(error).split()), code, as_json=as_json)
        except click.ClickException as error:
            if not as_json:
                raise
            _fail(error.format_message(), error.exit_code, as_json=True)
        except (KeyboardInterrupt, click.Abort):
            done: Callable[[], str] | None = ctx.meta.get(_DONE)
            said = "" if done is None else f" {done()}"
            _fail(f"Interrupted.{said}", INTERRUPTED, as_json=as_json)


def note_done(done: Callable[[], str]) -> None:
    """Leave a function that tells what the command has done, in case it is interrupted."""
    click.get_current_context().meta[_DONE] = done


def wrong(text: str) -> click.ClickException:
    """Return the error for what the user asked for and cannot be done."""
    return click.ClickException(shown(text))


def run(work: Coroutine[Any, Any, _T]) -> _T:
    """Run `work` in an event loop that psycopg supports: on Windows, the default is not one."""
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(work)


def _may_pass(error: SessionError) -> bool:
    return isinstance(error, StoreUnavailableError) and not isinstance(
        error, StoreBusyError | StoreRejectedError
    )


def _fail(text: str, code: int, *, as_json: bool) -> NoReturn:
    if as_json:
        click.echo(json.dumps({"error": text, "exit_code": code}), err=True)
    else:
        click.echo(f"Error: {printable(text)}", err=True)
    sys.exit(code)
