"""Edits of one session that share a statement have the same result as separate edits."""

import json
from typing import Any, NamedTuple

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from pgsession.core.value import printed_bound
from pgsession.postgres.rows import Edit

NAMES = st.sampled_from("abcd")
MEMBERS = st.dictionaries(NAMES, st.integers(0, 3), max_size=3)
SECONDS = st.none() | st.integers(-1, 9).map(float)


@st.composite
def edits(draw: st.DrawFn) -> Edit:
    """Draw an edit as the store makes them: a merge, a whole value, a touch or a renewal."""
    members = draw(st.none() | MEMBERS)
    text = json.dumps(members, separators=(",", ":")).encode()
    replaced = members is not None and draw(st.booleans())
    seconds = draw(SECONDS)
    granted = seconds is not None and draw(st.booleans())
    return Edit(
        "k",
        "v",
        changed=None if members is None else Raw(text),
        removed=() if members is None else tuple(draw(st.sets(NAMES)) - members.keys()),
        replaced=replaced,
        size=printed_bound(text) if members or replaced else 0,
        seconds=seconds,
        granted=granted,
        own=seconds if granted and draw(st.booleans()) else None,
        heir=draw(st.none() | st.just("heir")),
    )


class State(NamedTuple):
    """What a row has: its value, the bound of its size, and three more columns."""

    value: dict[str, Any]
    bound: int
    lives: float | None = None
    own: float | None = None
    verifier: str = "v"


def applied(state: State, edit: Edit) -> State:
    """Return what the UPDATE makes of a row."""
    value, bound, lives, own, verifier = state
    if edit.verifier != verifier or (lives is not None and lives <= 0):
        return state  # the key is dead
    if edit.changed is not None:
        kept = {} if edit.replaced else {n: value[n] for n in value if n not in set(edit.removed)}
        value = kept | json.loads(bytes(edit.changed))
    bound = edit.size if edit.replaced else bound + edit.size
    if edit.seconds is not None:
        is_exact = edit.granted or edit.seconds <= 0 or own is None
        lives = edit.seconds if is_exact else own
    return State(value, bound, lives, edit.own if edit.granted else own, edit.heir or verifier)


@given(MEMBERS, st.none() | st.just(30.0), st.lists(edits(), min_size=1, max_size=5))
def test_composition(value: dict[str, int], own: float | None, several: list[Edit]) -> None:
    """Edits composed in order, up to one that ends the key, give the same row as one by one."""
    start = State(value, len(json.dumps(value)), own=own)
    one_by_one = start
    for edit in several:
        one_by_one = applied(one_by_one, edit)
    composed = several[0]
    for edit in several[1:]:
        if composed.is_last:
            break
        composed = composed.then(edit)

    assert applied(start, composed) == one_by_one


@given(MEMBERS, st.lists(edits(), min_size=1, max_size=5))
def test_size(value: dict[str, int], several: list[Edit]) -> None:
    """After any edits the bound of the size is no less than the bytes that PostgreSQL prints."""
    state = State(value, len(json.dumps(value)))
    for edit in several:
        state = applied(state, edit)

    assert len(json.dumps(state.value)) <= state.bound
