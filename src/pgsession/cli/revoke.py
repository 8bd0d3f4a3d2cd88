"""``pgsession revoke``: ends sessions of one user, or of everybody."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import click

from pgsession.cli import options
from pgsession.cli.devices import devices_of
from pgsession.cli.exits import NO_SHORT_HELP, Command, note_done, run, wrong
from pgsession.cli.output import count_of, print_json, shown
from pgsession.cli.statistics import estimate
from pgsession.core.users import Device
from pgsession.settings import SessionSettings


@dataclass(frozen=True, slots=True)
class Revoked:
    """The document that ``--json`` prints."""

    #: How many living sessions have ended.
    ended: int
    #: How many had ended by themselves before.
    ended_before: int
    seconds: float


@click.command(
    "revoke",
    cls=Command,
    context_settings=NO_SHORT_HELP,
    short_help="End sessions of a user, or of everybody.",
)
@click.argument("user", required=False, callback=options.check_user)
@click.argument("handles", nargs=-1, metavar="[HANDLE]...")
@click.option("--all", "is_for_all", is_flag=True, help="End all sessions of USER.")
@click.option("--everyone", is_flag=True, help="End all sessions there are, of visitors too.")
@click.option("--yes", "is_sure", is_flag=True, help="Do not ask. Needed without a terminal.")
@options.database_url
@options.schema
@options.table
@options.wait
@options.as_json
def revoke(
    *,
    user: str | None,
    handles: Sequence[str],
    is_for_all: bool,
    everyone: bool,
    is_sure: bool,
    database_url: str,
    schema: str | None,
    table: str,
    wait: float,
    as_json: bool,
) -> None:
    """End sessions of USER: those with a HANDLE, or --all. Or end --everyone.

    `pgsession devices USER` lists the handles. The beginning of one is enough if
    no other session of the user begins alike. If one is not found, nothing ends
    and the exit code is 1.

    Asks first, on a terminal. Requests in flight and open streams end with their
    sessions.

    --everyone ends the sessions of visitors too, in small batches beside the
    requests. Sessions that begin meanwhile may end or stay. Old cookies of a
    predecessor that have not come yet can still be adopted: remove the
    predecessor from the settings for that. If a secret has leaked, change
    SESSION_SECRET_KEY too: whoever has it can sign cookies.
    """
    _check_usage(user, handles, is_for_all=is_for_all, everyone=everyone)
    if not (is_sure or sys.stdin.isatty()):
        raise click.UsageError("There is no terminal to ask on: add --yes to end the sessions.")
    settings = options.settings_of(database_url, schema, table, wait=wait)
    begin = time.monotonic()
    if user is None:
        ended, ended_before = _end_everyone(settings, is_sure=is_sure), 0
    else:
        ended, ended_before = _end_some(settings, user, handles, is_sure=is_sure)
    if as_json:
        print_json(Revoked(ended, ended_before, round(time.monotonic() - begin, 3)))
        return
    click.echo(f"Ended {count_of(ended)}.")
    if ended_before:
        click.echo(f"{count_of(ended_before)} had ended before.")


def _check_usage(
    user: str | None, handles: Sequence[str], *, is_for_all: bool, everyone: bool
) -> None:
    """Raise `click.UsageError` for what makes no sense, and say what to write."""
    if everyone:
        if user is not None or is_for_all:
            raise click.UsageError(
                "--everyone takes no USER, HANDLE or --all: write `pgsession revoke --everyone` "
                "for all sessions there are, or `pgsession revoke USER --all` for those of a user."
            )
    elif user is None:
        raise click.UsageError(
            "Say whose sessions end: write `pgsession revoke USER HANDLE`, `pgsession revoke USER "
            "--all` or `pgsession revoke --everyone`."
        )
    elif is_for_all and handles:
        raise click.UsageError("Write either HANDLE or --all, not both.")
    elif not is_for_all and not all(handles or [""]):
        raise click.UsageError(
            "Say which sessions end: write `pgsession revoke USER HANDLE`, with handles from "
            "`pgsession devices USER`, or `pgsession revoke USER --all`."
        )


def _end_some(
    settings: SessionSettings, user: str, handles: Sequence[str], *, is_sure: bool
) -> tuple[int, int]:
    """End sessions of a user; return how many ended, and how many had before."""
    found = run(devices_of(settings, user))
    if not handles:
        if not found:
            return 0, 0
        _confirm(f"End {count_of(len(found))} of user {shown(user)}?", is_sure=is_sure)
        return run(_end_all(settings, user)), 0
    wanted = list(dict.fromkeys(_resolve(found, given) for given in handles))
    _confirm(f"End {count_of(len(wanted))} of user {shown(user)}?", is_sure=is_sure)
    ended = run(_end_each(settings, user, wanted))
    return ended, len(wanted) - ended


def _resolve(found: Sequence[Device], given: str) -> str:
    """Return the one handle that is meant."""
    meant = [device.handle for device in found if device.handle.startswith(given)]
    if given in meant:
        return given
    match meant:
        case [handle]:
            return handle
        case []:
            raise wrong(
                f"No living session of this user has the handle {given}. Nothing was ended. See "
                "`pgsession devices USER`."
            )
        case _:
            raise wrong(
                f"{len(meant)} sessions of this user have a handle that begins with {given}. "
                "Nothing was ended. Write more of it."
            )


def _confirm(question: str, *, is_sure: bool) -> None:
    """Ask, unless the user is sure. Exits 1 if the answer is no."""
    if is_sure:
        return
    note_done(lambda: "Nothing was ended.")
    if not click.confirm(question, err=True):
        raise wrong("Nothing was ended.")


async def _end_all(settings: SessionSettings, user: str) -> int:
    async with options.store_of(settings) as store:
        return await store.revoke_all(user)


async def _end_each(settings: SessionSettings, user: str, handles: Sequence[str]) -> int:
    ended = 0
    note_done(lambda: f"At least {count_of(ended)} had ended by then.")
    async with options.store_of(settings) as store:
        for handle in handles:
            ended += await store.revoke(user, handle)
    return ended


def _end_everyone(settings: SessionSettings, *, is_sure: bool) -> int:
    """End all sessions, with a progress bar on a terminal; return how many ended."""
    total = 0
    if sys.stderr.isatty() or not is_sure:
        total, is_exact = run(estimate(settings))
        about = "all" if is_exact else "about"
        _confirm(f"End {about} {count_of(total)}, those of visitors too?", is_sure=is_sure)
    ended = 0
    note_done(lambda: f"At least {count_of(ended)} had ended; run it again for the others.")
    with options.progress_bar("Ending sessions") as show:

        def progress(so_far: int) -> None:
            nonlocal ended
            ended = so_far
            if show is not None:
                show(so_far, total, f"{so_far} ended")

        return run(_clear(settings, progress))


async def _clear(settings: SessionSettings, progress: Callable[[int], object]) -> int:
    async with options.store_of(settings) as store:
        return await store.revoke_everyone(progress=progress)
