"""The rules of rotation: what the number of a cookie means, and when the next one is due."""

from datetime import timedelta

import pytest

from pgsession.core.rotation import Rotation, Verdict

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)

rules = Rotation(every=timedelta(minutes=15))


@pytest.mark.parametrize(
    ("presented", "shown_for", "verdict"),
    [
        pytest.param(5, None, Verdict.FIRST, id="the row's, for the first time"),
        pytest.param(5, timedelta(0), Verdict.CURRENT, id="the row's"),
        pytest.param(5, timedelta(days=300), Verdict.CURRENT, id="the row's, for long"),
        pytest.param(4, None, Verdict.PREVIOUS, id="one less, and the row's was not shown"),
        pytest.param(4, timedelta(0), Verdict.PREVIOUS, id="one less, and the row's was shown"),
        pytest.param(4, MINUTE, Verdict.PREVIOUS, id="one less, at the end of the grace"),
        pytest.param(4, MINUTE + SECOND, Verdict.REUSED, id="one less, after the grace"),
        pytest.param(3, None, Verdict.REUSED, id="two less, and the row's was not shown"),
        pytest.param(3, SECOND, Verdict.REUSED, id="two less"),
        pytest.param(0, SECOND, Verdict.REUSED, id="the first"),
        pytest.param(6, None, Verdict.NEXT, id="one more"),
        pytest.param(6, timedelta(hours=1), Verdict.NEXT, id="one more, the row's was shown"),
        pytest.param(7, SECOND, Verdict.UNKNOWN, id="two more"),
        pytest.param(999_999_999, None, Verdict.UNKNOWN, id="many more"),
    ],
)
@pytest.mark.parametrize("every", [None, timedelta(minutes=15)], ids=["off", "on"])
def test_judge(
    presented: int, shown_for: timedelta | None, verdict: Verdict, every: timedelta | None
) -> None:
    """A number means the same in a process that rotates and in one that does not."""
    assert Rotation(every=every).judge(presented, number=5, shown_for=shown_for) is verdict


def test_good() -> None:
    """A cookie opens no session if its number is too old, or further ahead than a lost commit."""
    assert {each for each in Verdict if not each.is_good} == {Verdict.REUSED, Verdict.UNKNOWN}


@pytest.mark.parametrize(
    ("every", "verdict", "number", "recorded"),
    [
        pytest.param(None, Verdict.FIRST, 0, False, id="off, never rotated"),
        pytest.param(None, Verdict.FIRST, 1, True, id="off, rotated by another process"),
        pytest.param(None, Verdict.NEXT, 0, True, id="off, a lost commit"),
        pytest.param(MINUTE, Verdict.FIRST, 0, True, id="on, the first number"),
        pytest.param(MINUTE, Verdict.FIRST, 7, True, id="on, a later number"),
        pytest.param(MINUTE, Verdict.NEXT, 7, True, id="on, a lost commit"),
        pytest.param(MINUTE, Verdict.CURRENT, 7, False, id="shown before"),
        pytest.param(MINUTE, Verdict.PREVIOUS, 7, False, id="the number before"),
        pytest.param(MINUTE, Verdict.REUSED, 7, False, id="too old"),
        pytest.param(MINUTE, Verdict.UNKNOWN, 7, False, id="too far ahead"),
    ],
)
def test_must_record(
    *, every: timedelta | None, verdict: Verdict, number: int, recorded: bool
) -> None:
    """The first cookie with a number is recorded, except of the first number without rotation."""
    assert Rotation(every=every).must_record(verdict, number=number) is recorded


@pytest.mark.parametrize(
    ("verdict", "shown_for", "idle", "due"),
    [
        pytest.param(Verdict.CURRENT, 15 * MINUTE, 15 * MINUTE, True, id="due"),
        pytest.param(Verdict.CURRENT, 15 * MINUTE, MINUTE + SECOND, True, id="after the grace"),
        pytest.param(Verdict.CURRENT, 15 * MINUTE, MINUTE, False, id="just extended"),
        pytest.param(Verdict.CURRENT, 15 * MINUTE - SECOND, 15 * MINUTE, False, id="too early"),
        pytest.param(Verdict.FIRST, None, 15 * MINUTE, False, id="not shown yet"),
        pytest.param(Verdict.PREVIOUS, 15 * MINUTE, 15 * MINUTE, False, id="the number before"),
        pytest.param(Verdict.NEXT, 15 * MINUTE, 15 * MINUTE, False, id="a lost commit"),
    ],
)
def test_is_due(
    *, verdict: Verdict, shown_for: timedelta | None, idle: timedelta, due: bool
) -> None:
    """The next number is due once this one was in use for long enough, and nothing is under way."""
    assert rules.is_due(verdict, shown_for=shown_for, idle=idle) is due
    assert not Rotation().is_due(verdict, shown_for=shown_for, idle=idle)


def test_is_due_after_the_grace() -> None:
    """A number stays in use for longer than the grace, however often the settings rotate."""
    hasty = Rotation(every=SECOND)

    assert not hasty.is_due(Verdict.CURRENT, shown_for=MINUTE, idle=2 * MINUTE)
    assert hasty.is_due(Verdict.CURRENT, shown_for=MINUTE + SECOND, idle=2 * MINUTE)
