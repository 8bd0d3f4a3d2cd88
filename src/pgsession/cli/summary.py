"""The statistics as lines of text, with remarks on what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from pgsession.cli.holding import Holder
from pgsession.cli.output import count_of, iso, lasting, number_of, relative, shown, size_of
from pgsession.cli.statistics import Statistics
from pgsession.cli.storage import Activity

#: A row that expired so long ago shows that nobody sweeps.
_NEGLECTED: Final = timedelta(days=1)

#: The fill factor leaves a third of each page free. From this share on, and from this size on,
#: free space is worth a remark.
MUCH: Final = 0.6
LARGE: Final = 64 * 1024 * 1024

#: Something that has held VACUUM back for so many seconds is worth a remark.
LONG: Final = 3600.0

_NOT_VISIBLE: Final = "not visible"

_Time = Callable[[datetime | None], str]


class Line(NamedTuple):
    """A line of the output, in its section."""

    section: str
    name: str
    text: str
    #: It says that something is wrong, and what to do.
    is_remark: bool = False


def summarize(found: Statistics, *, is_for_people: bool = False) -> list[Line]:
    """Return the lines: for people with round times, for programs with exact ones."""
    now = datetime.now(UTC)

    def time(moment: datetime | None) -> str:
        if moment is None:
            return "never"
        return relative(moment, now) if is_for_people else iso(moment)

    return [
        *_counted(found, time, now),
        *_top(found, time),
        *_stored(found),
        *([] if found.activity is None else _vacuumed(found.activity, time)),
        *_held(found.holders, sees_others=found.sees_others),
    ]


def _counted(found: Statistics, time: _Time, now: datetime) -> Iterator[Line]:
    counts = found.counts
    if counts is None:
        if found.activity is not None:
            rows = number_of(found.activity.estimated_rows)
            yield Line("sessions", "rows, as of the last ANALYZE", rows)
        if not found.is_quick:
            yield Line("sessions", "not counted", f"{found.not_counted}", is_remark=True)
        return
    for name, number in (
        ("living", counts.living),
        ("of signed-in users", counts.signed_in),
        ("of visitors", counts.visitors),
        ("bound to a device", counts.bound),
        ("signed in by another", counts.impersonated),
        ("users", counts.users),
        ("expired, not yet removed", counts.expired),
        ("markers of adopted sessions", counts.adopted),
    ):
        yield Line("sessions", name, number_of(number))
    if counts.oldest_created_at is not None:
        yield Line("sessions", "oldest living", time(counts.oldest_created_at))
    if (longest := counts.longest_expired_at) is not None:
        yield Line("sessions", "longest expired", time(longest))
        if now - longest > _NEGLECTED:
            remedy = "nobody sweeps: run `pgsession sweep` from cron, or leave sweep_every on"
            yield Line("sessions", "remark", remedy, is_remark=True)


def _top(found: Statistics, time: _Time) -> Iterator[Line]:
    for user in found.top or ():
        text = f"{count_of(user.sessions)}, last seen {time(user.last_seen_at)}"
        yield Line("users", shown(user.user_id), text)


def _stored(found: Statistics) -> Iterator[Line]:
    sizes = found.sizes
    yield Line("size", "whole table", size_of(sizes.total_bytes))
    yield Line("size", "rows", size_of(sizes.rows_bytes))
    yield Line("size", "large values (TOAST)", size_of(sizes.toast_bytes))
    yield Line("size", "indexes", size_of(sizes.indexes_bytes))
    for index in found.indexes:
        yield Line("size", f"index {shown(index.name)}", size_of(index.bytes))
    if found.free_share is None:
        return
    yield Line("size", "free in the rows' pages", f"about {found.free_share:.0%}")
    if found.free_share > MUCH and sizes.rows_bytes > LARGE:
        remedy = (
            "new sessions fill the free space. VACUUM FULL (it locks the table) or pg_repack (it "
            "does not) gives it back to the disk"
        )
        yield Line("size", "remark", remedy, is_remark=True)


def _vacuumed(activity: Activity, time: _Time) -> Iterator[Line]:
    if activity.hot_share is not None:
        yield Line("vacuum", "HOT updates", f"{activity.hot_share:.1%}")
    if activity.dead_rows is not None:
        yield Line("vacuum", "dead rows", number_of(activity.dead_rows))
    yield Line("vacuum", "last autovacuum", time(activity.last_autovacuum_at))
    yield Line("vacuum", "last VACUUM by hand", time(activity.last_vacuum_at))


def _held(holders: list[Holder], *, sees_others: bool) -> Iterator[Line]:
    for holder in holders:
        yield Line("held back by", _name(holder), _describe(holder, sees_others=sees_others))
    if not holders:
        yield Line("held back by", "nothing", "no transaction, slot or standby")
    oldest = max((it.age_seconds for it in holders if it.age_seconds is not None), default=0.0)
    if oldest > LONG:
        remedy = "VACUUM cannot remove rows that died since: end the oldest of these"
        yield Line("held back by", "remark", remedy, is_remark=True)
    if not sees_others:
        remedy = "GRANT pg_read_all_stats shows what other roles do"
        yield Line("held back by", "remark", remedy, is_remark=True)


def _name(holder: Holder) -> str:
    return f"{holder.kind} {shown(holder.name) if holder.pid is None else holder.pid}"


def _describe(holder: Holder, *, sees_others: bool) -> str:
    """Return who it is, what it does, and since when."""
    hidden = not sees_others and holder.kind in {"transaction", "standby"} and holder.state is None
    parts = []
    if holder.name is not None and holder.pid is not None:
        parts.append(shown(holder.name))
    if holder.user is not None:
        parts.append(f"role {shown(holder.user)}")
    if holder.application_name:
        parts.append(shown(holder.application_name))
    parts.append(_NOT_VISIBLE if hidden else shown(holder.state))
    if holder.age_seconds is not None:
        parts.append(f"for {lasting(holder.age_seconds)}")
    parts.append(count_of(holder.transactions, "transaction"))
    return ", ".join(parts)
