"""Edits of one session that share a statement have the same result as separate edits."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from pgsession.postgres.rows import Edit

NAMES = st.sampled_from("abcd")
MEMBERS = st.dictionaries(NAMES, st.integers(0, 3), max_size=3)
SECONDS = st.none() | st.integers(1, 9).map(float)


@st.composite
def edits(draw: st.DrawFn) -> Edit:
    """Draw an edit as the store makes them: a merge, a whole value or a touch."""
    members = draw(st.none() | MEMBERS)
    granted = draw(st.booleans())
    return Edit(
        "k",
        changed=None if members is None else Raw(json.dumps(members).encode()),
        removed=() if members is None else tuple(draw(st.sets(NAMES)) - members.keys()),
        replaced=members is not None and draw(st.booleans()),
        seconds=draw(SECONDS),
        granted=granted,
        own=draw(SECONDS) if granted else None,
    )


State = tuple[dict[str, Any], float | None, float | None]


def applied(state: State, edit: Edit) -> State:
    """Return what the UPDATE stores in a row: the value, the last period, the
    session's own period.
    """
    value, seconds, own = state
    if edit.changed is not None:
        kept = {} if edit.replaced else {n: value[n] for n in value if n not in set(edit.removed)}
        value = kept | json.loads(bytes(edit.changed))
    if edit.seconds is not None:
        seconds = edit.seconds
    return value, seconds, edit.own if edit.granted else own


@given(MEMBERS, st.lists(edits(), min_size=1, max_size=5))
def test_composition(value: dict[str, int], several: list[Edit]) -> None:
    """Edits composed in order give the same row as edits applied one by one."""
    start: State = (value, None, 30.0)
    one_by_one = start
    composed = several[0]
    for edit in several:
        one_by_one = applied(one_by_one, edit)
    for edit in several[1:]:
        composed = composed.then(edit)

    assert applied(start, composed) == one_by_one
