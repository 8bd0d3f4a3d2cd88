"""Edits of one session that leave in one statement do what they would have done one by one."""

import json
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pgsession.row import Edit

NAMES = st.sampled_from("abcd")
MEMBERS = st.dictionaries(NAMES, st.integers(0, 3), max_size=3)
PERIODS = st.none() | st.integers(1, 9).map(lambda days: timedelta(days=days))


@st.composite
def edits(draw: st.DrawFn) -> Edit:
    """Draw an edit as a store makes them: a merge, a whole value or a touch."""
    edit = Edit(session_key="k")
    if draw(st.booleans()):
        members = draw(MEMBERS)
        edit = Edit(
            session_key="k",
            text=json.dumps(members).encode(),
            removed=tuple(draw(st.sets(NAMES)) - members.keys()),
            replaced=draw(st.booleans()),
        )
    return edit.sliding(draw(PERIODS), granted=draw(st.none() | st.booleans()))


State = tuple[dict[str, Any], timedelta | None, timedelta | None]


def applied(state: State, edit: Edit) -> State:
    """Return what the UPDATE makes of a row: its value, the last period, the session's own."""
    value, period, own = state
    if edit.text is not None:
        kept = {} if edit.replaced else {n: value[n] for n in value if n not in set(edit.removed)}
        value = kept | json.loads(edit.text)
    if edit.period is not None:
        period = edit.period
    return value, period, edit.own if edit.granted else own


@given(MEMBERS, st.lists(edits(), min_size=1, max_size=5))
def test_composition(value: dict[str, int], several: list[Edit]) -> None:
    """A row ends the same, whether edits come one by one or composed in order."""
    start: State = (value, None, timedelta(days=30))
    one_by_one = start
    composed = several[0]
    for edit in several:
        one_by_one = applied(one_by_one, edit)
    for edit in several[1:]:
        composed = composed.then(edit)

    assert applied(start, composed) == one_by_one
