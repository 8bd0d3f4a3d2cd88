"""The checker of histories of users: which it rejects, and which it accepts."""

import math
import re
from dataclasses import replace

import pytest

from tests.concurrency.history import Outcome
from tests.concurrency.user_checker import user_violations
from tests.concurrency.user_history import Act, Event


def login(
    start: float, end: float, given: str = "s.1", *, key: str = "", user: str = "ann"
) -> Event:
    return Event(act=Act.LOGIN, invoked=start, returned=end, user=user, key=key, given=given)


def ask(start: float, end: float, found: str | None, *, key: str = "s.1") -> Event:
    return Event(act=Act.ASK, invoked=start, returned=end, key=key, found=found)


def confirm(start: float, end: float, key: str = "s.1", given: str = "s.2") -> Event:
    return Event(act=Act.CONFIRM, invoked=start, returned=end, key=key, given=given)


def logout(start: float, end: float, key: str = "s.1") -> Event:
    return Event(act=Act.LOGOUT, invoked=start, returned=end, key=key)


def revoke(start: float, end: float, count: int = 1, handle: str = "s") -> Event:
    return Event(
        act=Act.REVOKE, invoked=start, returned=end, user="ann", handle=handle, count=count
    )


def revoke_all(start: float, end: float, count: int, *, keep: str = "") -> Event:
    return Event(
        act=Act.REVOKE_ALL, invoked=start, returned=end, user="ann", handle=keep, count=count
    )


def listed(start: float, end: float, *handles: str, user: str = "ann") -> Event:
    return Event(act=Act.LIST, invoked=start, returned=end, user=user, handles=frozenset(handles))


def unknown(event: Event) -> Event:
    return replace(event, outcome=Outcome.UNKNOWN, returned=math.inf, given="", count=0)


def failed(event: Event) -> Event:
    return replace(event, outcome=Outcome.FAILED, given="", count=0)


LATER = login(3, 4, "t.1")
OTHER = login(3, 4, "s.2", key="s.1", user="bob")
AGAIN = login(5, 8, "s.2", key="s.1")


@pytest.mark.parametrize(
    ("history", "fault"),
    [
        pytest.param(
            [login(1, 2), revoke(3, 4), ask(5, 6, "ann")], "had ended", id="signed in after revoke"
        ),
        pytest.param(
            [login(1, 2), revoke_all(3, 4, 1), ask(5, 6, "ann")],
            "had ended",
            id="signed in after revoke_all",
        ),
        pytest.param(
            [login(1, 2), confirm(3, 4), revoke_all(5, 6, 1), ask(7, 8, "ann", key="s.2")],
            "had ended",
            id="confirmed and signed in after revoke_all",
        ),
        pytest.param(
            [login(1, 2), revoke_all(3, 4, 1), confirm(5, 6)],
            "had ended",
            id="confirmed after revoke_all",
        ),
        pytest.param(
            [login(1, 2), logout(3, 4), ask(5, 6, "ann")], "had ended", id="signed in after logout"
        ),
        pytest.param(
            [login(1, 2), OTHER, ask(5, 6, "ann")], "had ended", id="signed in after another user"
        ),
        pytest.param(
            [login(1, 2), AGAIN, ask(9, 10, "ann")], "had ended", id="key retired by a login"
        ),
        pytest.param(
            [login(1, 2), confirm(3, 4), ask(5, 6, "ann")], "retired", id="key retired by a confirm"
        ),
        pytest.param([login(1, 2), ask(3, 4, "bob")], "a key of ann", id="somebody else"),
        pytest.param([ask(1, 2, "ann")], "from nowhere", id="nobody signed in"),
        pytest.param([login(1, 2), ask(3, 4, None)], "nobody had done so", id="session lost"),
        pytest.param(
            [login(1, 2), failed(revoke(3, 4)), ask(5, 6, None)],
            "nobody had done so",
            id="failed revocation took effect",
        ),
        pytest.param(
            [login(1, 2), LATER, revoke_all(5, 6, 1, keep="t"), ask(7, 8, None, key="t.1")],
            "nobody had done so",
            id="kept session ended",
        ),
        pytest.param(
            [login(1, 2), revoke_all(3, 4, 1), listed(5, 6, "s")],
            "live that had been ended",
            id="listed after revoke_all",
        ),
        pytest.param(
            [login(1, 2), revoke(3, 4), listed(5, 6, "s")],
            "live that had been ended",
            id="listed after revoke",
        ),
        pytest.param(
            [login(1, 2), logout(3, 4), listed(5, 6, "s")],
            "live that had been ended",
            id="listed after logout",
        ),
        pytest.param(
            [login(1, 2), OTHER, listed(5, 6, "s")],
            "live that had been ended",
            id="listed after another user",
        ),
        pytest.param([login(1, 2), listed(3, 4)], "missing", id="not listed"),
        pytest.param([login(1, 2), revoke_all(3, 4, 0)], "not 1 to 1", id="too few counted"),
        pytest.param([login(1, 2), revoke_all(3, 4, 2)], "not 1 to 1", id="too many counted"),
        pytest.param([revoke(1, 2)], "not 0 to 0", id="counted what was not there"),
        pytest.param(
            [login(1, 2), revoke_all(3, 6, 1), revoke_all(4, 5, 1)],
            "2 of 1 sessions",
            id="ended twice",
        ),
    ],
)
def test_refused(history: list[Event], fault: str) -> None:
    """A history that no correct store can produce is rejected, and the error is named."""
    found = user_violations(history)
    assert found
    assert re.search(fault, found[0])


@pytest.mark.parametrize(
    "history",
    [
        pytest.param(
            [login(1, 2), ask(3, 4, "ann"), logout(5, 6), ask(7, 8, None), listed(9, 10)],
            id="one after the other",
        ),
        pytest.param(
            [login(1, 2), confirm(3, 4), ask(5, 6, "ann", key="s.2"), revoke(7, 8), listed(9, 10)],
            id="confirmed",
        ),
        pytest.param(
            [login(1, 2), revoke_all(3, 8, 1), ask(4, 5, "ann"), ask(6, 7, None)],
            id="asked beside a revocation",
        ),
        pytest.param([login(1, 4), revoke_all(2, 3, 0), ask(5, 6, "ann")], id="login was later"),
        pytest.param([login(1, 4), revoke_all(2, 3, 1), ask(5, 6, None)], id="login was first"),
        pytest.param(
            [login(1, 2), revoke_all(3, 4, 1), login(5, 6, "t.1"), listed(7, 8, "t")],
            id="signed in again",
        ),
        pytest.param(
            [login(1, 2), AGAIN, revoke_all(6, 7, 1), listed(9, 10, "s"), ask(11, 12, None)],
            id="login to the session beside a revocation",
        ),
        pytest.param(
            [login(1, 2), LATER, revoke_all(5, 6, 1, keep="t"), listed(7, 8, "t")], id="kept"
        ),
        pytest.param(
            [login(1, 2), unknown(revoke_all(3, 4, 0)), ask(5, 6, "ann"), ask(7, 8, None)],
            id="unknown revocation that took effect late",
        ),
        pytest.param(
            [unknown(login(1, 2)), revoke_all(3, 4, 1), listed(5, 6, "u")],
            id="unknown login",
        ),
        pytest.param(
            [login(1, 2), unknown(confirm(3, 4)), ask(5, 6, None), listed(7, 8, "s")],
            id="unknown confirmation",
        ),
        pytest.param([login(1, 2), revoke_all(3, 6, 1), revoke_all(4, 5, 0)], id="two revocations"),
        pytest.param(
            [login(1, 2), OTHER, listed(5, 6), listed(7, 8, "s", user="bob")], id="another user"
        ),
    ],
)
def test_accepted(history: list[Event]) -> None:
    """A history that a correct store can produce is accepted."""
    assert user_violations(history) == []


def test_lost_count() -> None:
    """Where connections are lost, a revocation may count less than it has ended."""
    assert user_violations([login(1, 2), revoke_all(3, 4, 0), listed(5, 6)], exact=False) == []
