"""How the commands end: their exit codes, and their errors as text or as JSON."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import click

from pgsession.cli.output import escape_unprintable, shown
from pgsession.cli.termination import Termination
from pgsession.errors import (
    SessionError,
    StoreBusyError,
    StoreRejectedError,
    StoreUnavailableError,
)
from pgsession.postgres.validation import ReadOnlyError
from pgsession.printable import printable

_T = TypeVar("_T")

#: The exit codes besides 0.
WRONG: Final = 1
USAGE: Final = 2
NOT_REACHABLE: Final = 3
INTERRUPTED: Final = 130
TERMINATED: Final = 143

#: The settings of a command that takes a HANDLE, which may begin with ``-h``.
NO_SHORT_HELP: Final[dict[str, list[str]]] = {"help_option_names": ["--help"]}

#: Where a command leaves a function that tells what it has done so far: for an end from outside,
#: and for an error.
_DONE: Final = "pgsession.cli.done"
_DONE_BEFORE: Final = "pgsession.cli.done-before"

_DASH: Final = (
    "If a USER or a HANDLE begins with a dash, write -- before it, after all options: "
    "`pgsession {name} … -- -ann`."
)

_Done = Callable[[], str]


class Commands(click.Group):
    """All commands. What the encoding of the output lacks is printed as escapes."""

    def main(self, *args: Any, **extra: Any) -> Any:  # noqa: ANN401 - as click has it
        if sys.stdout is None:  # as Python has it if the descriptor is closed
            _fail("stdout is closed. Nothing was done. Redirect it to /dev/null.", WRONG)
        escape_unprintable(sys.stdout)
        try:
            return super().main(*args, **extra)
        except OSError as error:
            _fail(_unwritten(error), WRONG)


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
        termination = Termination()
        try:
            with termination:
                return super().invoke(ctx)
        except SessionError as error:
            said = _with_done(ctx, " ".join(str(error).split()), _DONE_BEFORE)
            _fail(said, code_of(error), as_json=as_json)
        except click.ClickException as error:
            if not as_json:
                raise
            _fail(error.format_message(), error.exit_code, as_json=True)
        except (KeyboardInterrupt, click.Abort):
            said, code = "Interrupted.", INTERRUPTED
            if termination.has_come:
                said, code = "Terminated.", TERMINATED
            _fail(_with_done(ctx, said), code, as_json=as_json)
        except OSError as error:
            if error.errno == errno.EPIPE and _DONE not in ctx.meta:
                raise
            _fail(_with_done(ctx, _unwritten(error)), WRONG, as_json=as_json)


class _NotReachable(click.ClickException):
    exit_code = NOT_REACHABLE


def note_done(done: _Done, *, before_errors: bool = True) -> None:
    """Leave a function that tells what the command has done, in case it does not end well.

    Without `before_errors`, errors tell it themselves, or nothing can have been done.
    """
    meta = click.get_current_context().meta
    meta[_DONE] = done
    meta[_DONE_BEFORE] = done if before_errors else None


def wrong(text: str, code: int = WRONG) -> click.ClickException:
    """Return the error for what the user asked for and cannot be done."""
    kind = _NotReachable if code == NOT_REACHABLE else click.ClickException
    return kind(shown(text))


def run(work: Coroutine[Any, Any, _T]) -> _T:
    """Run `work` in an event loop that psycopg supports: on Windows, the default is not one."""
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(work)


def code_of(*errors: SessionError) -> int:
    """Return the exit code for errors: `NOT_REACHABLE` if waiting may help, else `WRONG`."""
    return NOT_REACHABLE if all(map(_may_pass, errors)) else WRONG


def _may_pass(error: SessionError) -> bool:
    return isinstance(error, StoreUnavailableError) and not isinstance(
        error, StoreBusyError | StoreRejectedError | ReadOnlyError
    )


def _with_done(ctx: click.Context, text: str, place: str = _DONE) -> str:
    done: _Done | None = ctx.meta.get(place)
    return text if done is None else f"{text} {done()}"


def _unwritten(error: OSError) -> str:
    """Give up the output, which would fail again at exit; return what to say."""
    if error.errno in {errno.EMFILE, errno.ENFILE}:
        return "This command has used up its file descriptors: raise their limit (`ulimit -n`)."
    if sys.stdout is not None:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
    return f"The output cannot be written: {error.strerror}."


def _fail(text: str, code: int, *, as_json: bool = False) -> NoReturn:
    if as_json:
        click.echo(json.dumps({"error": text, "exit_code": code}), err=True)
    else:
        click.echo(f"Error: {printable(text)}", err=True)
    sys.exit(code)
