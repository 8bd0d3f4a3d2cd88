"""The decision table: every combination of facts about a session at the end of a request."""

from datetime import timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict, astuple

from pgsession.core.decision import DECISIONS, Change, Outcome, decide, due_below, touch_due

FACTS = Outcome.__struct_fields__

#: The rules, most important first. The first rule whose facts all hold decides. A dash means "not".
RULES = (
    ("signing_in", Change.LOGIN),  # if the row has ended, it makes another one
    ("live logged_out", Change.LOGOUT),
    ("lost logged_out", Change.LOGOUT),  # another request may have renewed it, or signed in
    ("lost", Change.NOTHING),  # it ended during the request: cookie unchanged
    ("live cleared empty", Change.DESTROY),  # logout, even if a new key was requested
    ("live confirmed", Change.CONFIRM),  # it renews too
    ("live renewed", Change.RENEW),  # all other changes are saved by the same statement
    ("live cleared", Change.REPLACE),  # cleared and filled again
    ("live changed empty has_user", Change.MERGE),  # a user stays signed in without members
    ("live changed empty", Change.DRAIN),  # empty, unless other requests add members
    ("live changed", Change.MERGE),
    ("live touch_due", Change.TOUCH),
    ("live", Change.NOTHING),
    ("cross_site -renewed", Change.NOTHING),  # the browser may have a cookie that it did not send
    ("-empty", Change.CREATE),  # a dead key is never used again
    ("stale cleared", Change.FORGET),  # logout from a session that had already expired
    ("", Change.NOTHING),  # a visitor without data gets no session
)


def expected(outcome: Outcome) -> Change:
    """Return the change that the first matching rule gives."""
    return next(
        change
        for condition, change in RULES
        if all(
            getattr(outcome, fact.removeprefix("-")) is not fact.startswith("-")
            for fact in condition.split()
        )
    )


def named(outcome: Outcome) -> str:
    return " ".join(fact for fact in FACTS if getattr(outcome, fact)) or "none"


#: One of these at most is asked for.
SIGNINGS = ("", "signing_in", "confirmed", "logged_out", "signing_in confirmed")

OUTCOMES = [
    Outcome(*truths, **dict.fromkeys(signing.split(), True))
    for truths in product((False, True), repeat=FACTS.index("signing_in"))
    for signing in SIGNINGS
]


@pytest.mark.parametrize("signing", SIGNINGS)
def test_every_row(signing: str) -> None:
    """Each combination of facts leads to the change that the rules give."""
    asked = dict.fromkeys(FACTS[-3:], False) | dict.fromkeys(signing.split(), True)
    outcomes = [each for each in OUTCOMES if asked.items() <= asdict(each).items()]

    assert len(outcomes) == 2 ** (len(FACTS) - 3)
    for outcome in outcomes:
        assert decide(outcome) is expected(outcome), named(outcome)


def test_looked_up() -> None:
    """What is decided without a login, a confirmation or a logout can be looked up."""
    for outcome in OUTCOMES:
        facts = astuple(outcome)
        if not any(facts[-3:]):
            assert DECISIONS[facts[:-3]] is expected(outcome), named(outcome)


@pytest.mark.parametrize(
    ("outcome", "change"),
    [
        pytest.param(Outcome(empty=True), Change.NOTHING, id="a visitor who was given nothing"),
        pytest.param(
            Outcome(empty=True, touch_due=True), Change.NOTHING, id="nothing there to touch"
        ),
        pytest.param(
            Outcome(empty=True, renewed=True), Change.NOTHING, id="nothing there to renew"
        ),
        pytest.param(
            Outcome(empty=True, cleared=True), Change.NOTHING, id="logout without a session"
        ),
        pytest.param(Outcome(changed=True), Change.CREATE, id="first write"),
        pytest.param(
            Outcome(stale=True, changed=True), Change.CREATE, id="first write after expiry"
        ),
        pytest.param(
            Outcome(changed=True, renewed=True), Change.CREATE, id="login of a visitor, renewed"
        ),
        pytest.param(
            Outcome(changed=True, cross_site=True), Change.NOTHING, id="form of another site"
        ),
        pytest.param(
            Outcome(changed=True, renewed=True, cross_site=True),
            Change.CREATE,
            id="login by a form of another site",
        ),
        pytest.param(
            Outcome(live=True, changed=True, cross_site=True),
            Change.MERGE,
            id="form of another site, with a cookie from before SameSite",
        ),
        pytest.param(Outcome(stale=True, empty=True), Change.NOTHING, id="reading after expiry"),
        pytest.param(
            Outcome(stale=True, empty=True, cleared=True), Change.FORGET, id="logout after expiry"
        ),
        pytest.param(
            Outcome(empty=True, signing_in=True), Change.LOGIN, id="login of a new visitor"
        ),
        pytest.param(
            Outcome(empty=True, signing_in=True, cross_site=True),
            Change.LOGIN,
            id="login by a form of another site, with a user",
        ),
        pytest.param(
            Outcome(lost=True, stale=True, signing_in=True),
            Change.LOGIN,
            id="the second of two logins at once",
        ),
        pytest.param(
            Outcome(live=True, cleared=True, empty=True, signing_in=True),
            Change.LOGIN,
            id="login of another user",
        ),
        pytest.param(
            Outcome(live=True, cleared=True, empty=True, has_user=True),
            Change.DESTROY,
            id="a login undone by clear()",
        ),
        pytest.param(
            Outcome(lost=True, stale=True, has_user=True, confirmed=True),
            Change.NOTHING,
            id="a confirmation of what has ended meanwhile",
        ),
        pytest.param(
            Outcome(stale=True, empty=True, cleared=True, logged_out=True),
            Change.FORGET,
            id="logout() after expiry",
        ),
        pytest.param(
            Outcome(stale=True, cleared=True, logged_out=True),
            Change.CREATE,
            id="logout() after expiry, with a message",
        ),
        pytest.param(
            Outcome(empty=True, cleared=True, logged_out=True),
            Change.NOTHING,
            id="logout() without a session",
        ),
        pytest.param(Outcome(live=True), Change.NOTHING, id="reading"),
        pytest.param(Outcome(live=True, touch_due=True), Change.TOUCH, id="reading, later"),
        pytest.param(Outcome(live=True, changed=True), Change.MERGE, id="writing"),
        pytest.param(
            Outcome(live=True, changed=True, touch_due=True),
            Change.MERGE,
            id="writing extends the expiry too",
        ),
        pytest.param(
            Outcome(live=True, changed=True, empty=True), Change.DRAIN, id="removing the last"
        ),
        pytest.param(Outcome(live=True, empty=True), Change.NOTHING, id="alive without a value"),
        pytest.param(Outcome(live=True, changed=True, renewed=True), Change.RENEW, id="login"),
        pytest.param(
            Outcome(live=True, changed=True, cleared=True, renewed=True),
            Change.RENEW,
            id="login that drops the cart",
        ),
        pytest.param(
            Outcome(live=True, changed=True, cleared=True, empty=True),
            Change.DESTROY,
            id="logout",
        ),
        pytest.param(
            Outcome(live=True, cleared=True, empty=True, renewed=True),
            Change.DESTROY,
            id="logout with renewal",
        ),
        pytest.param(
            Outcome(live=True, changed=True, cleared=True),
            Change.REPLACE,
            id="cleared and filled again",
        ),
        pytest.param(
            Outcome(live=True, cleared=True),
            Change.REPLACE,
            id="cleared and filled with the same",
        ),
        pytest.param(
            Outcome(lost=True, changed=True), Change.NOTHING, id="logged out elsewhere meanwhile"
        ),
        pytest.param(
            Outcome(lost=True, stale=True, cleared=True, empty=True),
            Change.NOTHING,
            id="logged out twice at once",
        ),
    ],
)
def test_important_row(outcome: Outcome, change: Change) -> None:
    """The most common cases are also listed by hand."""
    assert decide(outcome) is change


def test_every_change() -> None:
    """Every change is the decision for at least one outcome."""
    assert {decide(outcome) for outcome in OUTCOMES} == set(Change)


def test_dead_key() -> None:
    """Without a live session, a row is only made: by a login, or by what is set.

    A logout ends one that was alive when the request began.
    """
    allowed = {Change.NOTHING, Change.CREATE, Change.FORGET, Change.LOGIN}
    for outcome in OUTCOMES:
        if not outcome.live and not (outcome.lost and outcome.logged_out):
            assert decide(outcome) in allowed, named(outcome)


WEEK = timedelta(days=7)
DAY = timedelta(days=1)
TENTH = WEEK / 10
TICK = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("remaining", "lifetime", "touch_after", "due"),
    [
        pytest.param(WEEK, None, None, False, id="fresh"),
        pytest.param(WEEK - TENTH + TICK, None, None, False, id="less than a tenth used"),
        pytest.param(WEEK - TENTH, None, None, True, id="a tenth used"),
        pytest.param(TICK, None, None, True, id="almost over"),
        pytest.param(WEEK - DAY + TICK, None, DAY, False, id="less than touch_after used"),
        pytest.param(WEEK - DAY, None, DAY, True, id="touch_after used"),
        pytest.param(WEEK - TICK, None, timedelta(0), True, id="zero: each request"),
        pytest.param(WEEK, None, timedelta(0), False, id="zero, and nothing to gain"),
        pytest.param(WEEK - TICK, None, -DAY, True, id="negative is as zero"),
        pytest.param(WEEK, None, -DAY, False, id="negative, and nothing to gain"),
        pytest.param(WEEK - DAY, None, 2 * WEEK, False, id="longer than the period: never"),
        pytest.param(2 * WEEK, None, None, False, id="the period was shortened"),
        pytest.param(2 * WEEK, None, timedelta(0), False, id="shortened, zero"),
        pytest.param(DAY, 4 * WEEK, None, True, id="lifetime far away"),
        pytest.param(DAY, DAY, None, False, id="lifetime reached: nothing to gain"),
        pytest.param(DAY, DAY, timedelta(0), False, id="lifetime reached, zero"),
        pytest.param(DAY, DAY + TENTH, None, True, id="a tenth to gain before the lifetime ends"),
        pytest.param(
            DAY, DAY + TENTH - TICK, None, False, id="less than a tenth before the lifetime ends"
        ),
        pytest.param(DAY, timedelta(0), None, False, id="lifetime over"),
    ],
)
def test_touch_due(
    remaining: timedelta, lifetime: timedelta | None, touch_after: timedelta | None, due: bool
) -> None:
    """A read extends the expiry only if that gains at least `touch_after`, by default a tenth."""
    assert (
        touch_due(remaining=remaining, period=WEEK, lifetime=lifetime, touch_after=touch_after)
        is due
    )


@given(
    period=st.timedeltas(min_value=timedelta(microseconds=1), max_value=timedelta(days=4000)),
    touch_after=st.none() | st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=400)),
    off=st.integers(-3, 3),
    remaining=st.none() | st.timedeltas(timedelta(0), timedelta(days=4000)),
)
def test_due_below(
    period: timedelta, touch_after: timedelta | None, off: int, remaining: timedelta | None
) -> None:
    """Without a limit of its lifetime, a session is extended at or below one remaining period."""
    limit = due_below(period, touch_after)
    left = limit + timedelta(microseconds=off) if remaining is None else remaining
    is_due = touch_due(remaining=left, period=period, lifetime=None, touch_after=touch_after)

    assert is_due == (left <= limit and left < period)
