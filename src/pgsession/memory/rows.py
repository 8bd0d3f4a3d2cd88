"""The rows of the store in memory."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta

from pgsession.core.comparison import differs
from pgsession.core.login import Client
from pgsession.core.value import JSON, check_size, decode_value, encode_value, printed_size
from pgsession.errors import SessionNotFoundError


@dataclass(frozen=True, slots=True)
class User:
    """The user of a row, and their last sign-in."""

    user_id: str = field(repr=False)
    login_number: int
    #: When they last proved who they are, by the monotonic clock.
    proved_at: float
    stamp: str | None = field(default=None, repr=False)
    label: str | None = field(default=None, repr=False)
    actor_id: str | None = field(default=None, repr=False)
    client: Client = field(default=Client(), repr=False)
    #: The key of the device that the session is bound to, and whether that is in force.
    device_key: str | None = None
    is_bound: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """What the table would hold. Times are seconds of this process's monotonic clock."""

    text: bytes | None = field(repr=False)
    #: Which of the sessions of this store it is: the later, the larger.
    place: int
    created_at: float
    #: When it was generated or last extended.
    seen_at: float
    expire_at: float
    granted: timedelta | None = None
    #: The digest of the verifier, once the session was renewed.
    verifier: str | None = None
    #: The number that the cookie carries, and when the browser first showed it.
    number: int = 0
    shown_at: float | None = None
    #: How often the whole value was replaced.
    replaced: int = 0
    #: The user, and when the key was last renewed.
    user: User | None = None
    renewed_at: float | None = None


def rebased(row: Row, before: Row, now: Row, *, limit: float) -> Row:
    """Return `now` with the changes that led from `before` to `row`.

    Raises `ValueTooLargeError` if both together make the value larger than `limit`.
    """
    mine = {each.name: getattr(row, each.name) for each in fields(row)}
    changed = {name: it for name, it in mine.items() if it != getattr(before, name)}
    if now.verifier != before.verifier:
        raise SessionNotFoundError  # renewed meanwhile: the block's key is dead
    if "text" in changed and "replaced" not in changed:
        kept, found, members = (members_of(each) for each in (now, before, row))
        for name in found.keys() - members.keys():
            kept.pop(name, None)
        for name, member in members.items():
            if name not in found or differs(name, member, found[name]):
                kept[name] = member
        text = changed["text"] = encode_value(kept, limit=math.inf)
        size = 0 if now.text is None else printed_size(now.text)
        check_size(printed_size(text), limit=limit, before=size)
    if "expire_at" in changed and "granted" not in changed and now.granted != before.granted:
        # Another has set the session's own period meanwhile: it is extended by that.
        changed["expire_at"] = row.seen_at + now.expire_at - now.seen_at
    return replace(now, **changed)


def members_of(row: Row) -> dict[str, JSON]:
    """Return the decoded value of a row."""
    return {} if row.text is None else decode_value(row.text)


def moment(at: float) -> datetime:
    """Return a time of the monotonic clock as a `datetime`."""
    return datetime.now(UTC) + timedelta(seconds=at - time.monotonic())
