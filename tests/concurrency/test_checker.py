"""The checker of histories: which it rejects, and which it accepts."""

import re

import pytest

from tests.concurrency.checker import violations
from tests.concurrency.handmade import (
    HEIR,
    clear,
    dead_read,
    failed,
    numbered,
    read,
    remove,
    renew,
    rotate,
    show,
    take,
    unknown,
    write,
)
from tests.concurrency.history import Operation


@pytest.mark.parametrize(
    ("history", "fault"),
    [
        pytest.param(
            [write(1, 2, "x"), read(3, 4, None)], "meanwhile|both the content", id="lost write"
        ),
        pytest.param(
            [write(1, 2, "x"), read(3, 4, "x"), write(5, 6, "y"), read(7, 8, "x")],
            "'x' was read on, though 'y'",
            id="write lost to an older one",
        ),
        pytest.param(
            [write(1, 2, "x"), write(3, 4, "y"), read(5, 6, "y"), read(7, 8, "x")],
            "both the content",
            id="stale read",
        ),
        pytest.param(
            [
                write(1, 10, "x"),
                write(2, 11, "y"),
                read(3, 4, "x"),
                read(5, 6, "y"),
                read(7, 8, "x"),
            ],
            "meanwhile",
            id="reads go back, though the writes overlap",
        ),
        pytest.param([read(1, 2, "x")], "nobody wrote", id="value from nowhere"),
        pytest.param(
            [failed(write(1, 2, "x")), read(3, 4, "x")], "nobody wrote", id="failed write seen"
        ),
        pytest.param(
            [read(1, 2, "x"), write(3, 4, "x")], "before it was written", id="read of the future"
        ),
        pytest.param(
            [unknown(write(1, 2, "x")), read(3, 4, "x"), read(5, 6, None)],
            "meanwhile",
            id="unknown write that took effect and was lost",
        ),
        pytest.param(
            [write(1, 2, "x"), clear(3, 4), read(5, 6, "x")], "lived again", id="read after clear"
        ),
        pytest.param([clear(1, 2), write(3, 4, "x")], "lived again", id="merge after clear"),
        pytest.param([renew(1, 2), read(3, 4, None)], "lived again", id="read after renewal"),
        pytest.param(
            [unknown(clear(1, 2)), dead_read(3, 4), read(5, 6, None)],
            "found dead",
            id="dead, then alive",
        ),
        pytest.param(
            [dead_read(1, 2), clear(3, 4)], "found dead", id="dead before anybody cleared it"
        ),
        pytest.param([dead_read(1, 2)], "found dead", id="session lost"),
        pytest.param(
            [failed(clear(1, 2)), dead_read(3, 4)], "found dead", id="failed clear took effect"
        ),
        pytest.param([renew(1, 4), renew(2, 3)], "renewed twice", id="two heirs"),
        pytest.param(
            [write(1, 2, "x"), renew(3, 4), read(5, 6, None, key=HEIR)],
            "meanwhile|both the content",
            id="write lost in a renewal",
        ),
        pytest.param(
            [write(1, 2, "x"), take(3, 6, "x"), take(4, 5, "x")], "two takers", id="double take"
        ),
        pytest.param(
            [write(1, 2, "x"), take(3, 4, "x"), read(5, 6, "x")], "fits no", id="taken, yet there"
        ),
        pytest.param(
            [write(1, 2, "x"), take(3, 4, None)], "fits no", id="take found nothing, wrongly"
        ),
        pytest.param(
            [write(1, 2, "x"), remove(3, 4), read(5, 6, "x")], "fits no", id="removal undone"
        ),
        pytest.param(
            [write(1, 2, "x"), read(3, 4, None), take(5, 6, "x")], "fits no", id="token came back"
        ),
        pytest.param([take(1, 2, "x")], "from nowhere", id="take from nowhere"),
        pytest.param(
            [
                write(1, 2, "x"),
                unknown(remove(3, 4)),
                read(5, 6, None),
                read(7, 8, "x"),
            ],
            "fits no",
            id="unknown removal took effect and was undone",
        ),
        pytest.param(
            [show(1, 2, 0), rotate(3, 4, 0, 1), numbered(read(5, 6, None), 0)],
            "back from 1 to 0",
            id="rotation lost",
        ),
        pytest.param(
            [show(1, 2, 0), rotate(3, 4, 0, 1), numbered(write(5, 6, "x"), 0)],
            "back from 1 to 0",
            id="write tells an older number",
        ),
        pytest.param(
            [
                show(1, 2, 0),
                unknown(rotate(3, 4, 0, 1)),
                *(numbered(read(t, t + 1, None), n) for t, n in ((5, 1), (7, 0))),
            ],
            "back from 1 to 0",
            id="unknown rotation that took effect and was lost",
        ),
        pytest.param([rotate(1, 2, 0, 1)], "before a show of 0", id="rotated though never shown"),
        pytest.param(
            [failed(show(1, 2, 0)), rotate(3, 4, 0, 1)],
            "before a show of 0",
            id="rotated though the showing failed",
        ),
        pytest.param(
            [show(1, 2, 0), rotate(3, 4, 0, 1), rotate(5, 6, 1, 2)],
            "before a show of 1",
            id="rotated though the next number was never shown",
        ),
        pytest.param(
            [show(1, 2, 0), numbered(read(3, 4, None), 1)],
            "before a rotate of 0",
            id="number from nowhere",
        ),
        pytest.param(
            [show(1, 2, 0), rotate(3, 4, 0, 2)], "before a show of 1", id="number raised by two"
        ),
        pytest.param(
            [
                show(1, 2, 0),
                rotate(3, 4, 0, 1),
                renew(5, 6),
                numbered(read(7, 8, None, key=HEIR), 1),
            ],
            "before a show of 0",
            id="renewal keeps the number",
        ),
    ],
)
def test_refused(history: list[Operation], fault: str) -> None:
    """A history that no correct store can produce is rejected, and the error is named."""
    (found,) = violations(history)
    assert re.search(fault, found)


@pytest.mark.parametrize(
    "history",
    [
        pytest.param([write(1, 2, "x"), read(3, 4, "x")], id="one after the other"),
        pytest.param(
            [write(1, 6, "x"), write(2, 5, "y"), read(3, 4, "y"), read(7, 8, "x")],
            id="overlapping writes in either order",
        ),
        pytest.param(
            [write(1, 10, "x"), read(2, 3, None), read(4, 9, "x"), read(5, 6, None)],
            id="write seen by one reader and not yet by another",
        ),
        pytest.param(
            [write(1, 2, "x"), write(3, 4, "y"), read(5, 6, "y")], id="write that nobody read"
        ),
        pytest.param(
            [unknown(write(1, 2, "x")), read(3, 4, None), read(5, 6, "x")],
            id="unknown write that took effect late",
        ),
        pytest.param(
            [unknown(write(1, 2, "x")), read(3, 4, None), write(5, 6, "y"), read(7, 8, "y")],
            id="unknown write that never took effect",
        ),
        pytest.param(
            [write(1, 2, "x"), unknown(clear(3, 4)), read(5, 6, "x"), dead_read(7, 8)],
            id="unknown clear that took effect late",
        ),
        pytest.param(
            [write(1, 2, "x"), unknown(clear(3, 4)), read(5, 6, "x")],
            id="unknown clear that never took effect",
        ),
        pytest.param(
            [write(1, 2, "x"), clear(3, 6), read(4, 5, "x"), dead_read(7, 8)],
            id="read while it was cleared",
        ),
        pytest.param(
            [
                write(1, 2, "x"),
                renew(3, 6),
                read(4, 5, "x"),
                dead_read(7, 8),
                clear(9, 10),
                read(11, 12, "x", key=HEIR),
            ],
            id="renewal, and a clear of the old key",
        ),
        pytest.param(
            [write(1, 2, "x"), take(3, 6, "x"), take(4, 5, None), read(7, 8, None)],
            id="one taker of two",
        ),
        pytest.param(
            [write(1, 2, "x"), unknown(take(3, 4, None)), read(5, 6, "x"), take(7, 8, None)],
            id="unknown take that took effect late",
        ),
        pytest.param(
            [write(1, 2, "x"), clear(3, 4), take(5, 6, None)], id="take from a session cleared"
        ),
        pytest.param(
            [write(2, 5, "x"), remove(3, 4), read(6, 7, "x")], id="removal just before the write"
        ),
        pytest.param(
            [write(2, 5, "x"), remove(1, 3), read(6, 7, None)], id="both in one gap of time"
        ),
        pytest.param(
            [show(1, 2, 0), rotate(3, 6, 0, 1), rotate(4, 7, 0, 1), numbered(read(5, 8, None), 0)],
            id="two rotations at once, and a read of the number before",
        ),
        pytest.param(
            [unknown(show(1, 2, 0)), unknown(rotate(3, 4, 0, 1)), numbered(read(5, 6, None), 1)],
            id="unknown rotation that took effect",
        ),
        pytest.param(
            [
                show(1, 2, 0),
                rotate(3, 4, 0, 1),
                renew(5, 6),
                numbered(read(7, 8, None, key=HEIR), 0),
            ],
            id="renewal begins with zero",
        ),
    ],
)
def test_let_pass(history: list[Operation]) -> None:
    """A history that some order of its operations explains is accepted."""
    assert violations(history) == []


def test_ambiguous_token() -> None:
    """A member that is both removed and written twice cannot be judged, and raises an error."""
    with pytest.raises(ValueError, match="only once"):
        violations([write(1, 2, "x"), remove(3, 4), write(5, 6, "y")])
