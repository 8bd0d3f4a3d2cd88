"""``pgsession devices``: the living sessions of one user."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import click
from rich.text import Text

from pgsession.cli import options
from pgsession.cli.exits import NO_SHORT_HELP, Command, run
from pgsession.cli.output import (
    NOTHING,
    count_of,
    is_terminal,
    iso,
    print_json,
    print_plain,
    print_table,
    relative,
    shown,
)
from pgsession.core.devices import Device
from pgsession.settings import SessionSettings

#: Characters of a handle that a table shows, or more if two handles begin alike.
SHORT: Final = 8

_HEADINGS: Final = (
    "HANDLE",
    "SIGNED_IN",
    "LAST_SEEN",
    "EXPIRES",
    "BOUND",
    "ACTOR",
    "ADDRESS",
    "LABEL",
    "USER_AGENT",
)


@dataclass(frozen=True, slots=True)
class ListedSession:
    """One session, as ``--json`` prints it."""

    handle: str
    signed_in_at: datetime
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    label: str | None
    actor_id: str | None
    address: str | None
    user_agent: str | None
    is_bound: bool


@dataclass(frozen=True, slots=True)
class Listing:
    """The document that ``--json`` prints."""

    user_id: str
    sessions: list[ListedSession]


@click.command(
    "devices",
    cls=Command,
    context_settings=NO_SHORT_HELP,
    short_help="List the living sessions of a user.",
)
@click.argument("user", callback=options.check_user)
@options.database_url
@options.schema
@options.table
@options.wait
@options.as_json
def devices(  # noqa: PLR0917 - click passes them by name
    user: str,
    database_url: str,
    schema: str | None,
    table: str,
    wait: float,
    as_json: bool,  # noqa: FBT001 - a flag
) -> None:
    """List the living sessions of USER, those seen last first.

    Give it the SESSION_ variables of the application: they say how long sessions
    live at most. Exits 0 also if there are none.
    """
    settings = options.settings_of(database_url, schema, table, wait=wait)
    found = run(devices_of(settings, user))
    if as_json:
        print_json(Listing(user, [_as_listed(device) for device in found]))
    elif is_terminal():
        _print_for_people(user, found)
    else:
        print_plain(_HEADINGS, map(_plain, found))


async def devices_of(settings: SessionSettings, user: str) -> list[Device]:
    """Return the living sessions of a user, those seen last first."""
    async with options.store_of(settings) as store:
        return await store.devices(user)


def short_handles(handles: Collection[str]) -> dict[str, str]:
    """Return the beginning of each handle that names it among these."""
    length = SHORT
    while len({handle[:length] for handle in handles}) < len(handles):
        length += 1
    return {handle: handle[:length] for handle in handles}


def _print_for_people(user: str, found: Sequence[Device]) -> None:
    if not found:
        click.echo(f"User {shown(user)} has no living session.")
        return
    now, short = datetime.now(UTC), short_handles([device.handle for device in found])
    print_table(
        ("Handle", "Signed in", "Last seen", "Expires", "Client"),
        [
            (
                Text(short[it.handle], style="cyan"),
                relative(it.authenticated_at, now),
                relative(it.last_seen_at, now),
                relative(it.expires_at, now),
                _client(it),
            )
            for it in found
        ],
    )
    click.echo(f"\n{count_of(len(found))} of user {shown(user)}.")


def _client(device: Device) -> Text:
    lines = []
    if device.actor_id is not None:
        lines.append(Text(f"signed in by {shown(device.actor_id)}", style="bold yellow"))
    if device.label is not None:
        lines.append(Text(shown(device.label), style="bold"))
    lines += [Text(shown(it)) for it in (device.address, device.agent) if it is not None]
    if device.is_bound:
        lines.append(Text("bound to its device", style="green"))
    return Text("\n").join(lines) if lines else Text(NOTHING)


def _plain(device: Device) -> Sequence[str]:
    return (
        device.handle,
        iso(device.authenticated_at),
        iso(device.last_seen_at),
        iso(device.expires_at),
        "yes" if device.is_bound else "no",
        *map(shown, (device.actor_id, device.address, device.label, device.agent)),
    )


def _as_listed(device: Device) -> ListedSession:
    return ListedSession(
        handle=device.handle,
        signed_in_at=device.authenticated_at,
        created_at=device.created_at,
        last_seen_at=device.last_seen_at,
        expires_at=device.expires_at,
        label=device.label,
        actor_id=device.actor_id,
        address=device.address,
        user_agent=device.agent,
        is_bound=device.is_bound,
    )
