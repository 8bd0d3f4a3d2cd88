"""The cookie and the row expire together, whichever request wrote last, and never too late.

These tests do not wait: they make row and cookie older instead.
"""

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final

import pytest

from pgsession import Changes, PostgresStore, Session
from tests.concurrency.visits import Browser, Work, application, filling, idle
from tests.concurrency.witness import Witness

SECOND: Final = timedelta(seconds=1)
MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
WEEK: Final = timedelta(days=7)


async def reading(session: Session) -> None:
    session.get("user")


async def replacing(session: Session) -> None:
    session.clear()
    session["user"] = "eve"


async def renewing(session: Session) -> None:
    session.renew()


async def saving(session: Session) -> None:
    session["saved"] = 1
    await session.save()


async def saving_renewed(session: Session) -> None:
    session.renew()
    await session.save()


async def saving_and_filling(session: Session) -> None:
    await saving(session)
    session["more"] = 1


async def saving_in_a_lock(session: Session) -> None:
    async with session.exclusive():
        session["held"] = 1


async def renewing_in_a_lock(session: Session) -> None:
    async with session.exclusive():
        session.renew()


async def taking(session: Session) -> None:
    await session.take("user")


async def reloading(session: Session) -> None:
    await session.reload()


async def remembering(session: Session) -> None:
    session.period = 30 * DAY


async def remembering_at_once(session: Session) -> None:
    session.period = 30 * DAY
    await session.save()


async def shortening(session: Session) -> None:
    session.period = MINUTE


async def forgetting(session: Session) -> None:
    session.period = None


#: What a request does before its response, or (late) after it.
EARLY: Final[dict[str, Work]] = {
    "read": reading,
    "merge": filling(cart=[1]),
    "replace": replacing,
    "renew": renewing,
    "save": saving,
    "save renewed": saving_renewed,
    "save and merge": saving_and_filling,
    "exclusive": saving_in_a_lock,
    "exclusive renewal": renewing_in_a_lock,
    "take": taking,
    "reload": reloading,
    "remember": remembering,
    "remember at once": remembering_at_once,
    "shorten": shortening,
    "back to default": forgetting,
}
LATE: Final[dict[str, Work]] = {
    "merge": filling(cart=[1]),
    "save": saving,
    "exclusive": saving_in_a_lock,
    "take": taking,
}
STORES: Final[dict[str, dict[str, Any]]] = {
    "plain": {},
    "mortal": {"max_lifetime": 3 * DAY},
    "brief": {"default_period": HOUR},
}

stores = pytest.mark.parametrize("settings", STORES.values(), ids=STORES)
#: The session's age at each visit, as part of its period: too young to be extended, or
#: old enough.
ages = pytest.mark.parametrize("age", [0.05, 0.4], ids="{:.0%}".format)


class Visits:
    """The visits of one browser to one store; the row is checked after each visit."""

    def __init__(self, store: PostgresStore, witness: Witness, **settings: object) -> None:
        self.store = store
        self.witness = witness
        self.browser = Browser()
        self._settings = settings

    async def make(self, work: Work, *, late: Work = idle) -> int:
        """Visit; assert that cookie and row expire together; count the Set-Cookie headers."""
        start = time.monotonic()
        answer = await self.browser.visit(
            application(self.store, work, late=late, **self._settings)
        )
        remaining = await self.remaining()
        took = time.monotonic() - start
        if self.browser.remaining is not None:
            difference = self.browser.remaining - remaining
            assert -1 - took <= difference <= 1 + took
        return len(answer.cookies)

    async def remaining(self) -> float:
        """Return the seconds until the session ends, if nothing extends it."""
        row = await self.witness.row(self.browser.key)
        assert row is not None
        if self.store.max_lifetime is None:
            return row.remaining
        return min(row.remaining, (self.store.max_lifetime - row.age).total_seconds())

    async def age(self, by: timedelta) -> None:
        """Make cookie and row older."""
        self.browser.age(by)
        await self.witness.age(self.browser.key, by)


async def walk(
    visits: Visits, *works: tuple[Work, Work], age: timedelta = timedelta(0)
) -> Sequence[float]:
    """Begin a session and make each visit at the same age; return the row's remaining seconds."""
    await visits.make(filling(user="ann"))
    remaining = []
    for work, late in works:
        await visits.age(age)
        await visits.make(work, late=late)
        remaining.append(await visits.remaining())
    return remaining


@stores
@ages
@pytest.mark.parametrize("work", EARLY.values(), ids=EARLY)
async def test_early(
    make_store: Callable[..., PostgresStore],
    witness: Witness,
    *,
    settings: dict[str, Any],
    age: float,
    work: Work,
) -> None:
    """Cookie and row expire together after any work in a request, and after the next read."""
    store = make_store(**settings)
    passed = age * min(store.default_period, store.max_lifetime or WEEK)

    await walk(Visits(store, witness), (work, idle), (reading, idle), age=passed)


@stores
@ages
@pytest.mark.parametrize("late", LATE.values(), ids=LATE)
async def test_late(
    make_store: Callable[..., PostgresStore],
    witness: Witness,
    *,
    settings: dict[str, Any],
    age: float,
    late: Work,
) -> None:
    """A write after the start of the response does not make the row outlive its cookie."""
    store = make_store(**settings)
    passed = age * min(store.default_period, store.max_lifetime or WEEK)

    await walk(Visits(store, witness), (idle, late), (idle, late), age=passed)


@pytest.mark.parametrize("work", [saving, remembering_at_once, renewing, saving_in_a_lock])
async def test_new(store: PostgresStore, witness: Witness, work: Work) -> None:
    """Cookie and row of a new session expire together, however the session began."""

    async def begin(session: Session) -> None:
        session["user"] = "ann"
        await work(session)

    visits = Visits(store, witness)

    assert await visits.make(begin) == 1
    assert await visits.remaining() > 6 * DAY.total_seconds()


@pytest.mark.parametrize("late", LATE.values(), ids=LATE)
async def test_new_late(store: PostgresStore, witness: Witness, late: Work) -> None:
    """Cookie and row of a new session expire together, even if it is written after the response."""
    await Visits(store, witness).make(filling(user="ann"), late=late)


async def test_not_emptied(store: PostgresStore, witness: Witness) -> None:
    """Cookie and row expire together if other requests filled a session that this one emptied."""
    visits = Visits(store, witness)

    async def empty(session: Session) -> None:
        session.pop("user")
        await store.merge(visits.browser.key, Changes(set={"cart": [1]}))

    (remaining,) = await walk(visits, (empty, idle), age=DAY)

    assert remaining > 6.9 * DAY.total_seconds()


@pytest.mark.parametrize("max_age", [3600, HOUR], ids=["int", "timedelta"])
@pytest.mark.parametrize("work", EARLY.values(), ids=EARLY)
async def test_max_age(
    store: PostgresStore, witness: Witness, max_age: int | timedelta, work: Work
) -> None:
    """With a `max_age` of the middleware, row and cookie expire together as well."""
    visits = Visits(store, witness, max_age=max_age)

    await walk(visits, (work, idle), (reading, idle), age=10 * SECOND)


async def test_browser_session(store: PostgresStore, witness: Witness) -> None:
    """With a cookie that ends with the browser, the row keeps its period until another is set."""
    visits = Visits(store, witness, max_age=None)

    remaining = await walk(visits, (reading, idle), (filling(cart=[1]), idle), age=DAY)

    assert visits.browser.remaining is None
    assert min(remaining) > 6.9 * DAY.total_seconds()
    await visits.make(remembering)
    assert visits.browser.remaining == pytest.approx(30 * DAY.total_seconds(), abs=60)


async def test_touched_seldom(store: PostgresStore, witness: Witness) -> None:
    """Reads extend the expiry once per `touch_after`, by default a tenth of the period."""
    visits = Visits(store, witness)
    await visits.make(filling(user="ann"))
    cookies = []
    for _ in range(20):
        await visits.age(WEEK / 20 + MINUTE)
        cookies.append(await visits.make(reading))

    assert cookies == [0, 1] * 10


@pytest.mark.parametrize("touch_after", [MINUTE, 60], ids=["timedelta", "int"])
async def test_touch_after(
    store: PostgresStore, witness: Witness, touch_after: float | timedelta
) -> None:
    """`touch_after` sets how often reads extend the expiry."""
    visits = Visits(store, witness, touch_after=touch_after)
    await visits.make(filling(user="ann"))
    cookies = []
    for seconds in (10, 20, 50, 10, 70):
        await visits.age(timedelta(seconds=seconds))
        cookies.append(await visits.make(reading))

    assert cookies == [0, 0, 1, 0, 1]


async def test_remembered(store: PostgresStore, witness: Witness) -> None:
    """A granted period is kept whenever a request extends the expiry."""
    works = [(work, idle) for work in (remembering, reading, filling(cart=[1]), renewing, saving)]

    remaining = await walk(Visits(store, witness), *works, age=4 * DAY)

    assert remaining == pytest.approx([30 * DAY.total_seconds()] * 5, abs=60)


async def test_mortal(make_store: Callable[..., PostgresStore], witness: Witness) -> None:
    """No operation extends `max_lifetime`: the remaining lifetime shrinks every day."""
    visits = Visits(make_store(max_lifetime=30 * DAY), witness, touch_after=0)
    works = [work for work in EARLY.values() if work is not shortening]

    await visits.make(filling(user="ann"))
    for day, work in enumerate((works * 3)[:29], 1):
        await visits.age(DAY)
        await visits.make(work)
        assert await visits.remaining() <= (30 - day) * DAY.total_seconds()
    await visits.age(DAY)

    assert await visits.store.get(visits.browser.key) is None
