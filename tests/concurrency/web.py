"""A simulated web: browsers, thieves and networks that lose, delay and reorder.

Time is simulated too: `Web.run` lets one event happen after the other.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any, Protocol, TypeAlias

#: A key and its number, as a browser has them from a Set-Cookie header.
Cookie: TypeAlias = tuple[str, int]

SECOND = 1.0
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND

#: A browser writes its cookies to the disk so often, as Chromium does.
FLUSH = 30 * SECOND


class Site(Protocol):
    """A server: what it does when a request arrives, and when it answers."""

    def arrive(self, cookie: Cookie) -> Any:
        """Return what the server knows about the request, or None if it opens no session."""

    def answer(self, known: Any, *, failed: bool) -> Cookie | None:
        """Return the cookie that the response sets, or None."""


class Web:
    """The simulated time, the events to come, and the dice."""

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        self.dice = Random(seed)
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = count()

    def after(self, seconds: float, event: Callable[..., None], *arguments: Any) -> None:
        """Let something happen later."""
        heapq.heappush(self._events, (self.now + seconds, next(self._order), event, arguments))

    def run(self, until: float) -> None:
        """Let everything happen up to this time."""
        while self._events and self._events[0][0] <= until:
            self.now, _, event, arguments = heapq.heappop(self._events)
            event(*arguments)
        self.now = until

    def happens(self, chance: float) -> bool:
        return self.dice.random() < chance

    def delay(self) -> float:
        """Return how long a response is on its way: one in twenty is very late."""
        return self.dice.uniform(5, 40) if self.happens(0.05) else self.dice.uniform(0.01, 0.5)


@dataclass
class Browser:
    """A browser, with several tabs, that visits a site now and then."""

    web: Web
    site: Site
    jar: Cookie
    #: The mean time between two visits, and the number of pages of the longest one.
    pause: float = 16 * HOUR
    pages: int = 24
    #: How often it is killed during a visit.
    mortality: float = 0.1
    #: It may be killed with a cookie that it has sent and not yet written.
    may_lose_sent: bool = False
    #: When its cookie first opened no session.
    refused_at: float | None = None
    used_at: float | None = None
    disk: Cookie = field(init=False)
    #: The highest number that it has sent.
    sent: int = 0
    #: How often it was killed: what was in flight then does not arrive.
    _killed: int = 0

    def __post_init__(self) -> None:
        self.disk = self.jar
        self.web.after(self.web.dice.uniform(0, self.pause), self.visit)

    def visit(self) -> None:
        """Open some pages, in several tabs, and come back later."""
        killed, when = self._killed, 0.0
        for _ in range(self.web.dice.randint(1, self.pages)):
            self.web.after(when, self._open_page, killed)
            when += self.web.dice.expovariate(1 / 30)
        if self.web.happens(self.mortality):
            self.web.after(self.web.dice.uniform(0, 10 * MINUTE), self._crash, killed)
        self.web.after(self.web.dice.expovariate(1 / self.pause), self._come_again, killed)

    def kill(self) -> None:
        """Kill the browser. What it has not written to the disk is lost.

        By default it is not killed between sending a new cookie and writing it:
        the cookie before is then good within the grace alone. See docs/concepts/keys.md.
        """
        if self.sent > self.disk[1] and not self.may_lose_sent:
            return
        self._killed += 1
        self.jar = self.disk
        self.web.after(self.web.dice.uniform(1, DAY), self.visit)

    def _crash(self, killed: int) -> None:
        if killed == self._killed:
            self.kill()

    def _come_again(self, killed: int) -> None:
        if killed == self._killed:
            self.visit()

    def _open_page(self, killed: int, tries: int = 5) -> None:
        """Request a page. If no response comes, reload it."""
        if killed == self._killed:
            self._send(self.web.dice.randint(0, 2), tries)

    def _send(self, parts: int = 0, tries: int = 0) -> None:
        self.sent = max(self.sent, self.jar[1])
        if self.web.happens(0.04):  # the request is lost
            self._reload(tries)
            return
        delay = self.web.dice.uniform(0.01, 0.5)
        self.web.after(delay, self._arrive, self.jar, self._killed, parts, tries)

    def _arrive(self, cookie: Cookie, killed: int, parts: int, tries: int) -> None:
        known = self.site.arrive(cookie)
        if known is None:
            self.refused_at = self.refused_at or self.web.now
            return
        self.used_at = self.used_at or self.web.now
        takes = self.web.dice.uniform(1, 30) if self.web.happens(0.05) else 0.02
        self.web.after(takes, self._answer, known, killed, parts, tries)

    def _answer(self, known: Any, killed: int, parts: int, tries: int) -> None:
        cookie = self.site.answer(known, failed=self.web.happens(0.02))
        if self.web.happens(0.06):  # the response is lost, or the browser has gone on
            if killed == self._killed:
                self._reload(tries)
            return
        self.web.after(self.web.delay(), self._receive, cookie, killed, parts)

    def _receive(self, cookie: Cookie | None, killed: int, parts: int) -> None:
        if killed != self._killed:
            return
        if cookie is not None:
            if cookie != self.jar:
                self.jar = cookie
                if self.web.happens(0.02):
                    self.kill()
                    return
            self.web.after(self.web.dice.uniform(0, FLUSH), self._flush, killed)
        for _ in range(parts):
            self.web.after(self.web.dice.uniform(0, 0.3), self._send_part, killed)

    def _send_part(self, killed: int) -> None:
        if killed == self._killed:
            self._send()

    def _reload(self, tries: int) -> None:
        if tries:
            self.web.after(3 * SECOND, self._open_page, self._killed, tries - 1)

    def _flush(self, killed: int) -> None:
        if killed == self._killed:
            self.disk = self.jar
