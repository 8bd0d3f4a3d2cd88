"""``pgsession revoke``: ends sessions of one user, or of everybody."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import click

from pgsession.cli import options
from pgsession.cli.devices import devices_of
from pgsession.cli.exits import NO_SHORT_HELP, WRONG, Command, code_of, note_done, run, wrong
from pgsession.cli.output import count_of, print_json, shown
from pgsession.cli.statistics import estimate
from pgsession.core.devices import Device
from pgsession.errors import SessionError
from pgsession.postgres.clearance import RowsHeldError, RowsKeptError
from pgsession.postgres.revocation import Revocation
from pgsession.settings import SessionSettings

#: How many of the sessions that were named are ended at once. Those that are held wait together.
_AT_ONCE: Final = 100


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
    no other session of the user begins alike; if one does, nothing ends. If one is
    not found, the others end all the same. Either way the exit code is 1.

    Asks first, on a terminal. Requests in flight and open streams end with their
    sessions.

    --everyone ends the sessions of visitors too, in small batches beside the
    requests. Sessions that begin meanwhile may end or stay. Old cookies of a
    predecessor that have not come yet can still be adopted: remove the
    predecessor from the settings for that. If a secret has leaked, change
    SESSION_SECRET_KEY too: anyone who has it can sign cookies.
    """
    _check_usage(user, handles, is_for_all=is_for_all, everyone=everyone)
    if not (is_sure or sys.stdin.isatty()):
        raise click.UsageError("There is no terminal to ask on: add --yes to end the sessions.")
    note_done(lambda: "Nothing was ended.")
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
        everything = Revocation(user)
        run(_end(settings, [everything]))
        return everything.ended, 0
    wanted, missing = _resolve(found, handles)
    if not wanted:
        raise wrong(f"{_not_found(missing)} Nothing was ended. See `pgsession devices USER`.")
    told = f" ({len(missing)} not found)" if missing else ""
    _confirm(f"End {count_of(len(wanted))} of user {shown(user)}{told}?", is_sure=is_sure)
    return _end_named(settings, [Revocation(user, handle) for handle in wanted], missing)


def _end_named(
    settings: SessionSettings, named: Sequence[Revocation], missing: Sequence[str]
) -> tuple[int, int]:
    """End sessions, as many as can be; say what has ended if that is not all that was wanted."""
    failed = run(_end(settings, named))
    ended = _ended(named)
    if failed or missing:
        told = [f"Ended {count_of(ended)}."]
        told += [f"Not {handles}: {error}" for handles, error in _by_text(failed).items()]
        if missing:
            told.append(f"{_not_found(missing)} See `pgsession devices USER`.")
        code = code_of(*failed.values()) if failed and not missing else WRONG
        raise wrong(" ".join(told), code)
    return ended, len(named) - ended


def _resolve(found: Sequence[Device], handles: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the handles that are meant, and those that no session has."""
    wanted: dict[str, None] = {}
    missing: dict[str, None] = {}
    for given in handles:
        meant = [device.handle for device in found if device.handle.startswith(given)]
        if given not in meant and len(meant) > 1:
            raise wrong(
                f"{len(meant)} sessions of this user have a handle that begins with {given}. "
                "Nothing was ended. Write more of it."
            )
        if meant:
            wanted[given if given in meant else meant[0]] = None
        else:
            missing[given] = None
    return list(wanted), list(missing)


def _not_found(missing: Sequence[str]) -> str:
    return f"No living session of this user has the handle {' or '.join(missing)}."


def _by_text(failed: Mapping[str, SessionError]) -> dict[str, str]:
    """Return the handles of each error together."""
    texts: dict[str, list[str]] = {}
    for handle, error in failed.items():
        texts.setdefault(str(error), []).append(handle)
    return {", ".join(handles): text for text, handles in texts.items()}


def _confirm(question: str, *, is_sure: bool) -> None:
    """Ask, unless the user is sure. Exits 1 if the answer is no."""
    if not is_sure and not click.confirm(question, err=True):
        raise wrong("Nothing was ended.")


async def _end(
    settings: SessionSettings, revocations: Sequence[Revocation]
) -> dict[str, SessionError]:
    """Carry them out, and return the errors of those with a handle, each with its handle."""
    failed: dict[str, SessionError] = {}

    async def end(revocation: Revocation) -> None:
        try:
            await store.end_sessions(revocation)
        except SessionError as error:
            if revocation.handle is None:
                raise
            failed[revocation.handle] = error

    async with options.store_of(settings) as store:
        note_done(lambda: f"At least {count_of(_ended(revocations))} had ended by then.")
        for place in range(0, len(revocations), _AT_ONCE):
            await asyncio.gather(*map(end, revocations[place : place + _AT_ONCE]))
    return failed


def _ended(revocations: Iterable[Revocation]) -> int:
    return sum(revocation.ended for revocation in revocations)


def _end_everyone(settings: SessionSettings, *, is_sure: bool) -> int:
    """End all sessions, with a progress bar on a terminal; return how many ended."""
    total = 0
    if sys.stderr.isatty() or not is_sure:
        total, is_exact = run(estimate(settings))
        about = "all" if is_exact else "about"
        _confirm(f"End {about} {count_of(total)}, those of visitors too?", is_sure=is_sure)
    with options.progress_bar("Ending sessions") as show:

        def progress(so_far: int) -> None:
            if show is not None:
                show(so_far, total, f"{so_far} ended")

        return run(_clear(settings, progress))


async def _clear(settings: SessionSettings, show: Callable[[int], None]) -> int:
    ended = 0

    def progress(so_far: int) -> None:
        nonlocal ended
        ended = so_far
        show(so_far)

    def tell() -> str:
        return f"At least {count_of(ended)} had ended; run it again for the others."

    async with options.store_of(settings) as store:
        note_done(tell)
        try:
            return await store.revoke_everyone(progress=progress)
        except (RowsHeldError, RowsKeptError):
            note_done(tell, before_errors=False)
            raise
