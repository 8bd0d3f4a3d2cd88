"""Checks whether a correct store could have produced a history.

Each key with its number, and each member of each session, is checked separately, in
polynomial time. A member is either a *register*, which is written any number of times with
different values and never removed, or a *token*, which is written once and removed
or taken any number of times. The generation of a session always writes its
registers. An operation with an unknown outcome may take effect at any time after
its call, or never.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations, product

from tests.concurrency.history import Action, Key, Life, Operation, Outcome

_BEFORE_ALL = -1.0

#: The content of a register that was never written.
_ABSENT = None


def violations(operations: Iterable[Operation]) -> list[str]:
    """Return a sentence for each key and each member whose history is impossible."""
    by_key: dict[Key, list[Operation]] = defaultdict(list)
    by_session: dict[int, list[Operation]] = defaultdict(list)
    for operation in operations:
        by_key[operation.key].append(operation)
        by_session[operation.key.session].append(operation)
    found = [
        f"{key}: {fault}"
        for key, own in by_key.items()
        for judge in (_judge_key, _judge_numbers)
        if (fault := judge(own))
    ]
    for session, own in by_session.items():
        tokens = {name for operation in own for name in operation.removed}
        names = {name for operation in own for name in [*operation.wrote, *(operation.saw or {})]}
        for name in sorted(names):
            judge = _judge_token if name in tokens else _judge_register
            if fault := judge(name, own):
                found.append(f"session {session}, {name}: {fault}")
    return found


def _judge_key(operations: Sequence[Operation]) -> str | None:
    """Look for a time at which the key ended that fits all observations of it."""
    killers = [
        operation
        for operation in operations
        if operation.action in {Action.CLEAR, Action.RENEW} and _may_count(operation)
    ]
    heirs = [killer for killer in killers if _is_ok(killer) and killer.action is Action.RENEW]
    if len(heirs) > 1:
        return "one key was renewed twice"
    after = max(_invocations(operations, Life.LIVING), default=-math.inf)
    before = min(
        (operation.returned for operation in operations if operation.life is Life.DEAD),
        default=math.inf,
    )
    if any(_is_ok(killer) and killer.returned < after for killer in killers):
        return "a key that was cleared or renewed lived again"
    moments = [(max(k.invoked, after), min(k.returned, before)) for k in heirs or killers]
    if any(start < end for start, end in moments):
        return None
    if before == math.inf and not heirs:
        return None
    return "a key was found dead before its end, or living after it"


def _judge_numbers(operations: Sequence[Operation]) -> str | None:
    """Check that the number of a key only rises, each time from a number that was shown."""
    numbered = [operation for operation in operations if operation.number is not None]
    for one, other in permutations(numbered, 2):
        if one.returned < other.invoked and (one.number or 0) > (other.number or 0):
            return f"the number went back from {one.number} to {other.number}"
    for operation in numbered:
        before = (operation.number or 0) - 1
        for cause in (Action.SHOW, Action.ROTATE) if before >= 0 else ():
            if not any(
                o.action is cause
                and o.offered == before
                and _may_count(o)
                and o.invoked < operation.returned
                for o in operations
            ):
                return f"{operation.number} was found before a {cause.value} of {before}"
    return None


def _judge_register(name: str, operations: Sequence[Operation]) -> str | None:
    """Check a register by the zones of its values (Gibbons and Korach, 1997).

    The zone of a value extends from the first return to the last invocation of the
    operations that wrote or read it. Between the two, the register had this value. If
    the order is reversed, the register had this value at some moment between the two.
    """
    zones: dict[str | None, _Zone] = {_ABSENT: _Zone(_BEFORE_ALL, _BEFORE_ALL)}
    began: dict[str | None, float] = {_ABSENT: _BEFORE_ALL}
    for operation in operations:
        if name in operation.wrote and _may_count(operation):
            zones[operation.wrote[name]] = _Zone(operation.returned, operation.invoked)
            began[operation.wrote[name]] = operation.invoked
    for read in operations:
        if read.action is not Action.GET or read.saw is None:
            continue
        value = read.saw.get(name, _ABSENT)
        if value not in zones:
            return f"a read returned {value!r}, which nobody wrote"
        if read.returned < began[value]:
            return f"a read returned {value!r} before it was written"
        zone = zones[value]
        zones[value] = _Zone(min(zone.first, read.returned), max(zone.last, read.invoked))
    return _judge_zones(zones)


@dataclass(frozen=True, slots=True)
class _Zone:
    first: float
    last: float

    @property
    def is_forward(self) -> bool:
        return self.first < self.last


def _judge_zones(zones: dict[str | None, _Zone]) -> str | None:
    forward = sorted(
        ((value, zone) for value, zone in zones.items() if zone.is_forward),
        key=lambda member: member[1].first,
    )
    for (one, earlier), (other, later) in pairwise(forward):
        if later.first < earlier.last:
            return f"{one!r} and {other!r} were both the content for a while"
    for (lasting, over), (value, zone) in product(forward, zones.items()):
        if not zone.is_forward and over.first < zone.last and zone.first < over.last:
            return f"{lasting!r} was read on, though {value!r} was the content meanwhile"
    return None


def _judge_token(name: str, operations: Sequence[Operation]) -> str | None:
    """Look for a time of the write and a time of the removal that fit all observations."""
    writes = [o for o in operations if name in o.wrote]
    if len(writes) > 1:
        raise ValueError(f"{name} is removed, so it may be written only once.")
    seen = [o for o in operations if o.saw is not None and name in o.saw]
    values = {write.wrote[name] for write in writes if _may_count(write)}
    if any(o.saw is not None and o.saw[name] not in values for o in seen):
        return "a value came from nowhere"
    takers = [o for o in seen if o.action is Action.TAKE]
    if len(takers) > 1:
        return "two takers got the same value"
    removals = takers or [o for o in operations if name in o.removed and _may_remove(o)]
    present = [o for o in seen if o.action is Action.GET]
    absent = [o for o in operations if _found_absent(name, o, operations)]
    settings = [write for write in writes if _may_count(write)]
    if any(
        all(max(o.invoked, start) < min(o.returned, end) for o in present)
        and all(o.invoked < start or end < o.returned for o in absent)
        for start in _moments(settings, seen, absent, never=not any(map(_is_ok, writes)))
        for end in _moments(removals, seen, absent, never=not takers, later=0.2)
        if start < end or start == math.inf
    ):
        return None
    return "what was read fits no moment of setting and removal"


def _found_absent(name: str, operation: Operation, all_of_session: Sequence[Operation]) -> bool:
    """Return whether an operation found, or left, the session without the member."""
    if not _is_ok(operation):
        return False
    match operation.action:
        case Action.GET:
            return operation.saw is not None and name not in operation.saw
        case Action.MERGE:
            return name in operation.removed
        case Action.TAKE:
            # A take that got nothing may have found that the key had ended.
            return name in operation.removed and not any(
                other.key == operation.key
                and other.action in {Action.CLEAR, Action.RENEW}
                and _may_count(other)
                and other.invoked < operation.returned
                for other in all_of_session
            )
        case _:
            return False


def _moments(
    causes: Sequence[Operation],
    present: Sequence[Operation],
    absent: Sequence[Operation],
    *,
    never: bool,
    later: float = 0.0,
) -> list[float]:
    """Return the times to try: one in each gap between ticks in which a cause was in flight.

    Ticks are integers, so one time in each gap is enough. For removals, `later` is
    added, because a write and its removal may be in the same gap.
    """
    ticks = {t for o in [*causes, *present, *absent] for t in (o.invoked, o.returned)}
    moments = {gap + 0.4 + later for t in ticks - {math.inf} for gap in (t - 1, t)}
    within = [m for m in sorted(moments) if any(c.invoked < m < c.returned for c in causes)]
    return [*within, math.inf] if never else within


def _invocations(operations: Sequence[Operation], life: Life) -> list[float]:
    return [operation.invoked for operation in operations if operation.life is life]


def _may_count(operation: Operation) -> bool:
    return operation.outcome is not Outcome.FAILED


def _may_remove(operation: Operation) -> bool:
    """Return whether it may have removed its member; a take that got nothing did not."""
    is_take = operation.action is Action.TAKE
    return operation.outcome is Outcome.UNKNOWN or (_is_ok(operation) and not is_take)


def _is_ok(operation: Operation) -> bool:
    return operation.outcome is Outcome.OK
