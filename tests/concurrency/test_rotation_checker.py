"""The checker of histories of rotation: which it rejects, and which it accepts."""

import re

import pytest

from tests.concurrency.handmade import ask, copied, refused, retiring
from tests.concurrency.rotation_checker import reuse_bounds, rotation_violations
from tests.concurrency.rotation_history import Request

GRACE = 10.0

#: The browser shows 0 and gets 1, and later shows 1 and gets 2.
ONCE = [ask(0, 1, 0), ask(20, 21, 0, given=1)]
TWICE = [*ONCE, ask(30, 31, 1), ask(50, 51, 1, given=2)]


@pytest.mark.parametrize(
    ("history", "fault"),
    [
        pytest.param([*TWICE, ask(52, 53, 1, given=1)], "set 1 though 2", id="number goes back"),
        pytest.param(
            [*TWICE, ask(52, 53, 2), ask(54, 55, 2, given=1)],
            "set 1 though 2",
            id="number goes back behind the one that came",
        ),
        pytest.param(
            [*ONCE, ask(22, 29, 1, given=0)], "set 0 though 1", id="number goes back to none"
        ),
        pytest.param(
            [ask(0, 1, 0), ask(20, 23, 0, given=1), ask(18, 22, 0, given=0)],
            "set 0 though 1 was given out within",
            id="number set while the next one is given out",
        ),
        pytest.param(
            [ask(0, 1, 0), ask(2, 3, 0, given=1)], "given out before", id="rotated too early"
        ),
        pytest.param(
            [*ONCE, ask(40, 41, 0, given=2)], "given out before", id="rotated though never shown"
        ),
        pytest.param(
            [*ONCE, copied(refused(ask(40, 41, 0)))],
            "no higher number",
            id="number before refused, though the next was never shown",
        ),
        pytest.param(
            [*ONCE, ask(30, 31, 1), copied(refused(ask(32, 33, 0)))],
            "no higher number",
            id="number before refused within the grace",
        ),
        pytest.param(
            [ask(0, 1, 0), copied(refused(ask(30, 31, 0)))],
            "no higher number",
            id="only number refused",
        ),
        pytest.param(
            [*ONCE, ask(30, 31, 1), refused(ask(60, 61, 0))],
            "honest browser",
            id="browser signed out, as a response was lost",
        ),
        pytest.param(
            [*TWICE, refused(ask(52, 53, 1))], "no higher number", id="browser refused at once"
        ),
        pytest.param(
            [*TWICE, copied(ask(52, 53, 0))], "2 behind opened", id="copy that is two behind"
        ),
        pytest.param(
            [*TWICE, ask(52, 53, 2), copied(ask(70, 71, 0))],
            "2 behind opened",
            id="copy that is two behind, later",
        ),
        pytest.param(
            [*ONCE, ask(30, 31, 1), copied(ask(42, 43, 0))],
            "one behind opened",
            id="copy that is one behind, after the grace",
        ),
        pytest.param(
            [ask(0, 1, 0), retiring(ask(2, 3, 0)), copied(ask(4, 5, 0))],
            "retired opened",
            id="retired key opens",
        ),
        pytest.param(
            [*TWICE, copied(refused(ask(52, 53, 0, given=2)))],
            "opened nothing got",
            id="refused copy learns the number",
        ),
    ],
)
def test_refused(history: list[Request], fault: str) -> None:
    """A history that no correct site can produce is rejected, and the error is named."""
    found = rotation_violations(history, grace=GRACE)
    assert any(re.search(fault, each) for each in found)
    assert {each.partition(":")[0] for each in found} == {f"key, number {history[-1].number}"}


@pytest.mark.parametrize(
    "history",
    [
        pytest.param(TWICE, id="two rotations"),
        pytest.param(
            [*ONCE, ask(40, 41, 0, given=1), ask(90, 91, 0, given=1)], id="lost responses"
        ),
        pytest.param(
            [*ONCE, ask(5, 29, 0, given=0), ask(22, 28, 0)],
            id="older number set by a late response",
        ),
        pytest.param(
            [*ONCE, ask(30, 31, 1), ask(29, 39, 0, given=1)], id="number before, within the grace"
        ),
        pytest.param(
            [*ONCE, ask(30, 32, 1), ask(31, 33, 1), copied(ask(50, 51, 0, given=1))],
            id="showing that was left to a later request",
        ),
        pytest.param(
            [*ONCE, ask(30, 31, 1), copied(refused(ask(42, 43, 0)))], id="copy that is one behind"
        ),
        pytest.param([*TWICE, copied(refused(ask(52, 53, 0)))], id="copy that is two behind"),
        pytest.param(
            [*ONCE, ask(30, 31, 1), refused(ask(29, 45, 0))], id="request longer than the grace"
        ),
        pytest.param(
            [*ONCE, ask(5, 35, 0, given=0), ask(30, 31, 1), refused(ask(60, 61, 0))],
            id="response longer than the grace",
        ),
        pytest.param(
            [ask(0, 1, 0), retiring(ask(2, 6, 0)), ask(3, 4, 0), refused(ask(4, 5, 0))],
            id="key that is being retired",
        ),
        pytest.param(
            [*TWICE, retiring(ask(60, 61, 2)), refused(ask(70, 71, 2))], id="key that is retired"
        ),
    ],
)
def test_let_pass(history: list[Request]) -> None:
    """A history that a correct site can produce is accepted."""
    assert rotation_violations(history, grace=GRACE) == []


def test_reuse() -> None:
    """A refused cookie counts as reuse unless its key was retired; beside that, it may count."""
    old = copied(refused(ask(52, 53, 0)))
    assert reuse_bounds([*TWICE, old]) == (1, 1)
    assert reuse_bounds([*TWICE, retiring(ask(50, 51, 1)), old]) == (0, 0)
    assert reuse_bounds([*TWICE, retiring(ask(50, 59, 1)), old]) == (0, 1)
