"""Rotation in a simulated web: no honest browser is signed out, and every thief is found."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from statistics import median
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest

from pgsession import Entry, MemoryStore
from pgsession.core.decision import touch_due
from pgsession.core.rotation import Rotation, Verdict
from pgsession.memory import rows, store, users
from tests.concurrency.web import DAY, HOUR, MINUTE, Browser, Cookie, Site, Web

pytestmark = pytest.mark.usefixtures("untraced")

_T = TypeVar("_T")

HONEST = 300
VICTIMS = 60
DAYS = 14

#: Half of the thieves who get in are found within so many hours.
HALF_FOUND = 7

#: As in `Binding`: after so many seconds a response asks again before it sets a cookie.
AT_ONCE = 0.05

#: Many responses extend the expiry, and so set a cookie.
TOUCH_AFTER = timedelta(seconds=5)

RULES = Rotation(every=timedelta(minutes=5), ends_on_reuse=True)


def done(work: Coroutine[Any, Any, _T]) -> _T:
    """Return the result of a coroutine of `MemoryStore`, which never waits."""
    try:
        work.send(None)
    except StopIteration as end:
        result: _T = end.value
        return result
    raise AssertionError


@dataclass
class Visit:
    """What the server knows about a request, as `RotatingRow` does."""

    cookie: Cookie
    entry: Entry
    number: int
    is_due: bool
    arrived_at: float


@dataclass
class RotatingSite:
    """A server with the rules of `core.rotation` and a `MemoryStore`."""

    web: Web
    store: MemoryStore
    #: When a cookie that is too old first came, by the key of the session.
    found: dict[str, float] = field(default_factory=dict)

    def begin(self) -> Cookie:
        return done(self.store.generate({"user": "ann"})), 0

    def arrive(self, cookie: Cookie) -> Visit | None:
        key, presented = cookie
        entry = done(self.store.get(key))
        if entry is None:
            return None
        number, shown_for = entry.number, entry.shown_for
        verdict = RULES.judge(presented, number=number, shown_for=shown_for)
        if not verdict.is_good:
            assert verdict is Verdict.REUSED
            self.found.setdefault(key, self.web.now)
            done(self.store.clear(key))
            return None
        if RULES.must_record(verdict, number=number):
            done(self.store.show(key, presented))
        is_due = RULES.is_due(verdict, shown_for=shown_for, idle=entry.idle)
        return Visit(cookie, entry, max(number, presented), is_due, self.web.now)

    def answer(self, known: Visit, *, failed: bool) -> Cookie | None:
        (key, presented), number = known.cookie, known.number
        if failed or done(self.store.get(key)) is None:
            return None
        must_set = presented < number
        if known.is_due:
            number = done(self.store.rotate(key, number, grace=RULES.grace))
            must_set = number > presented
        elif must_set and self.web.now - known.arrived_at > AT_ONCE:
            entry = done(self.store.get(key))
            number = max(number, 0 if entry is None else entry.number)
        if touch_due(
            remaining=known.entry.period,
            period=self.store.default_period,
            lifetime=None,
            touch_after=TOUCH_AFTER,
        ):
            number, must_set = max(number, done(self.store.touch(key)).number), True
        return (key, number) if must_set else None


@dataclass
class SimplerSite(RotatingSite):
    """A server with the simpler rule: a new verifier each time, the one before good for a while.

    It keeps only a digest of the new verifier, so no response can carry it again.
    """

    rows: dict[str, tuple[int, float]] = field(default_factory=dict)

    def arrive(self, cookie: Cookie) -> Visit | None:
        key, presented = cookie
        number, rotated_at = self.rows.setdefault(key, (0, self.web.now))
        age = self.web.now - rotated_at
        if presented != number and (presented != number - 1 or age > MINUTE):
            self.found.setdefault(key, self.web.now)
            return None
        is_due = presented == number and age > 15 * MINUTE
        return Visit(cookie, Entry({}, timedelta(7)), number, is_due, self.web.now)

    def answer(self, known: Visit, *, failed: bool) -> Cookie | None:
        key, presented = known.cookie
        number, _ = self.rows[key]
        if failed or not known.is_due or number != presented:
            return None
        self.rows[key] = number + 1, self.web.now
        return key, number + 1


@dataclass
class Theft:
    """A thief with a copy of a browser's cookie: when it is taken, and how it is used."""

    web: Web
    site: Site
    victim: Browser
    thief: Browser | None = None

    def __post_init__(self) -> None:
        self.web.after(self.web.dice.uniform(HOUR, 6 * DAY), self._copy)

    def _copy(self) -> None:
        wait = self.web.dice.choice([0.0, self.web.dice.expovariate(1 / HOUR), DAY])
        self.web.after(wait, self._use, self.victim.jar)

    def _use(self, copy: Cookie) -> None:
        pause = self.web.dice.choice([5 * MINUTE, HOUR, 8 * HOUR])
        self.thief = Browser(self.web, self.site, copy, pause=pause, pages=2, mortality=0)
        self.thief.visit()


World = Callable[[type[RotatingSite], int], RotatingSite]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """Makes a simulated web with a site; only the store sees the simulated time."""

    def make(kind: type[RotatingSite], seed: int) -> RotatingSite:
        web = Web(seed)
        for module in (rows, store, users):
            monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: web.now))
        return kind(web, MemoryStore(default_period=timedelta(days=DAYS)))

    return make


def browse(site: RotatingSite, browsers: int) -> list[Browser]:
    return [Browser(site.web, site, site.begin()) for _ in range(browsers)]


def test_honest(world: World) -> None:
    """In two weeks no honest browser is signed out, whatever the network loses or delays."""
    site = world(RotatingSite, 1)
    browsers = browse(site, HONEST)

    site.web.run(DAYS * DAY)

    assert site.found == {}
    assert [it for it in browsers if it.refused_at is not None] == []
    numbers = [it.jar[1] for it in browsers]
    print(f"{HONEST} browsers, rotated {sum(numbers)} times")
    assert min(numbers) > 1


def test_thieves(world: World) -> None:
    """Every thief is found, or has a copy that opens nothing any more."""
    site = world(RotatingSite, 2)
    thefts = [Theft(site.web, site, victim) for victim in browse(site, VICTIMS)]

    site.web.run(DAYS * DAY)

    delays = []
    for theft in thefts:
        thief = theft.thief
        assert thief is not None
        assert site.arrive(thief.jar) is None
        if thief.used_at is not None:  # else its copy was too old when it first came
            assert thief.jar[0] in site.found
            delays.append(site.found[thief.jar[0]] - thief.used_at)
    assert len(delays) > VICTIMS // 3
    assert median(delays) < HALF_FOUND * HOUR
    print(
        f"{len(thefts)} thieves, {len(delays)} of them got in; found after "
        f"{median(delays) / HOUR:.1f} h at the median, {max(delays) / HOUR:.0f} h at most"
    )


def test_simpler_rule(world: World) -> None:
    """A new verifier each time, with the one before good for a while, signs honest browsers out."""
    site = world(SimplerSite, 1)
    browsers = browse(site, HONEST)

    site.web.run(DAYS * DAY)

    lost = sum(it.refused_at is not None for it in browsers)
    print(f"the simpler rule signs {lost} of {HONEST} out")
    assert lost > HONEST // 2
