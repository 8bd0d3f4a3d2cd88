"""Browsers whose tabs are in several processes, and copies of the cookies in their jars."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from multiprocessing.sharedctypes import SynchronizedString
from random import Random
from typing import Final

from starlette.types import ASGIApp

from pgsession.core.cookie import Cookie
from pgsession.core.keys import key_digest
from tests.concurrency.hammered_app import GONE, SECRET, Answer, call
from tests.concurrency.rotation_history import Request

#: How often a response is lost, so that its cookie does not come into the jar.
_LOSSES: Final = 0.3

#: How often a response with a cookie is late in a slow network, and for how many seconds at most.
_LATE: Final = 0.2
_DELAY: Final = 0.06

#: A browser sends requests in bursts: so often, in seconds, and for this part of the time.
_BURSTS: Final = 0.3
_BUSY: Final = 0.5

_COOKIE: Final = Cookie(secret_keys=[SECRET])


@dataclass(frozen=True, slots=True)
class Held:
    """What is in a browser's jar."""

    generation: int
    #: Empty after a logout.
    cookie: str
    #: The time just before.
    since: float = 0.0


class Slot:
    """The jar of one browser, with one shared session, in memory that all processes share."""

    def __init__(self, number: int, shared: SynchronizedString) -> None:
        self.number = number
        self._shared = shared

    @property
    def is_busy(self) -> bool:
        """Whether the browser sends requests now. All processes agree, and not all browsers do."""
        return (time.monotonic() / _BURSTS + self.number / 6) % 1 < _BUSY

    def read(self) -> Held:
        """Return the session's generation and cookie; the cookie is empty after a logout."""
        since = time.monotonic()
        generation, _, cookie = self._shared.value.decode().partition(" ")
        return Held(int(generation), cookie, since)

    def write(self, generation: int, cookie: str) -> None:
        """Publish the cookie to all processes."""
        self._shared.value = f"{generation} {cookie}".encode()

    def claim(self, generation: int) -> bool:
        """Return whether the caller is the first to see that a generation has ended."""
        with self._shared.get_lock():
            current = self.read()
            if current.generation != generation or not current.cookie:
                return False
            self.write(generation, "")
            return True

    def put(self, held: Held, cookie: str) -> None:
        """Put a cookie into the jar that a response to a request with `held` has set.

        A response from before a login may arrive after the login's, and its key is dead:
        see docs/concepts/keys.md. The hammer leaves it out, as the visitor would sign in again.
        """
        with self._shared.get_lock():
            current = self.read()
            if identify(current.cookie)[0] == identify(held.cookie)[0]:
                self.write(held.generation, cookie)


@dataclass(slots=True)
class Journal:
    """The requests of some browsers, and the cookies that were in their jars."""

    requests: list[Request] = field(default_factory=list)
    #: The first cookie with each key and number.
    copies: dict[tuple[str, int], str] = field(default_factory=dict)
    #: How many responses with a cookie were lost.
    lost: int = 0


def count_rotations(journals: Iterable[Journal]) -> int:
    """Return how many numbers above zero were in a jar."""
    return sum(number > 0 for _, number in {it for journal in journals for it in journal.copies})


class Tab:
    """Sends requests one after the other, and records them."""

    def __init__(
        self, app: ASGIApp, random: Random, journal: Journal, *, is_slow: bool = False
    ) -> None:
        self._app = app
        self._random = random
        self._journal = journal
        self._late = _LATE if is_slow else 0

    async def ask(self, slot: Slot, held: Held, page: str, **query: str) -> Answer:
        """Request a page with what is in the jar, and put the cookie of the response into it.

        Now and then the response is late or lost, but not one with another key.
        """
        presented = identify(held.cookie)
        self._journal.copies.setdefault(presented, held.cookie)
        answer = await call(self._app, page, cookie=held.cookie, **query)
        key, _ = identify(answer.cookie)
        if key == presented[0] and self._random.random() < self._late:
            await asyncio.sleep(self._random.uniform(0, _DELAY))
        if key == presented[0] and self._random.random() < _LOSSES:
            self._journal.lost += 1
        elif key and answer.cookie is not None:
            slot.put(held, answer.cookie)
        self._record(held, answer)
        return answer

    async def use_copy(self, cookie: str) -> Answer:
        """Request a page with a copy of a cookie, whose jar is not known."""
        held = Held(0, cookie, time.monotonic())
        answer = await call(self._app, "show", cookie=cookie)
        self._record(held, answer, is_copy=True)
        return answer

    def _record(self, held: Held, answer: Answer, *, is_copy: bool = False) -> None:
        (key, number), (new_key, given) = identify(held.cookie), identify(answer.cookie)
        request = Request(
            key=key,
            number=number,
            invoked=held.since,
            returned=time.monotonic(),
            opened=answer.status != GONE,
            given=given if new_key == key else None,
            retired=answer.cookie is not None and new_key != key,
            is_copy=is_copy,
        )
        self._journal.requests.append(request)


def find_key(cookie: str) -> str:
    """Return the key of a cookie."""
    (found,) = _COOKIE.find([(b"cookie", cookie.encode())])
    return found.key


def identify(cookie: str | None) -> tuple[str, int]:
    """Return a name for the key of a cookie, and its number. The name is empty if it has none."""
    for found in _COOKIE.find([(b"cookie", (cookie or "").encode())]):
        selector, verifier = key_digest(found.key)
        return f"{selector[:12]}.{(verifier or '')[:12]}", found.number
    return "", 0
