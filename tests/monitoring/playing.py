"""What visitors do to the example, and what goes wrong there, so that each panel has figures."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import httpx
from psycopg import Connection

from tests.programs import eventually

TIMEOUT: Final = 30.0

_AGE = """
UPDATE session
SET created_on = created_on - interval '1 hour',
    seen_on = seen_on - interval '1 hour',
    shown_on = shown_on - interval '1 hour',
    renewed_on = renewed_on - interval '1 hour',
    expire_date = expire_date - interval '1 hour'
"""
_EXPIRE = "UPDATE session SET expire_date = now() - interval '1 second' WHERE user_id IS NULL"
_EXPIRED = "SELECT count(*) FROM session WHERE expire_date <= now()"


@dataclass(slots=True)
class Guest:
    """A browser that keeps the cookie of the session. It connects anew for each request."""

    client: httpx.Client
    cookie: str = ""

    def go(self, act: str) -> int:
        """Request a path of the example; return the status."""
        answer = self.client.get(f"/{act}", headers={"Cookie": self.cookie})
        self.client.cookies.clear()
        if text := answer.headers.get("set-cookie"):
            self.cookie = "" if "Max-Age=0;" in text else text.partition(";")[0]
        return answer.status_code


@dataclass(slots=True)
class Play:
    """Visitors of a served example, and the one who breaks its database."""

    address: str
    #: Finds the table as `session`.
    table: Connection
    #: Moves the database away, and back.
    point: Callable[..., None]
    end_connections: Callable[[], object]
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        limits = httpx.Limits(max_keepalive_connections=0)
        self.client = httpx.Client(base_url=self.address, limits=limits, timeout=TIMEOUT)

    def guest(self, cookie: str = "") -> Guest:
        """Return another browser."""
        return Guest(self.client, cookie)

    def stay(self, *acts: str) -> Guest:
        """Let a new browser do these things, all of which succeed; return it."""
        guest = self.guest()
        for act in acts:
            assert guest.go(act) == 200, act
        return guest

    def forge(self) -> None:
        """Send a cookie that was not signed here."""
        assert self.guest(f"__Host-session={'a' * 40}.{'b' * 43}").go("read") == 200

    def steal(self) -> None:
        """Use a copy of a cookie an hour after the browser got another one."""
        guest = self.stay("login", "read")
        copy = self.guest(guest.cookie)
        self.table.execute(_AGE)
        assert [guest.go("read"), guest.go("read")] == [200, 200]
        assert guest.cookie != copy.cookie
        self.table.execute(_AGE)
        assert copy.go("read") == 200

    def expire(self) -> None:
        """Let the sessions of visitors without a login expire."""
        self.table.execute(_EXPIRE)

    def expired(self) -> int:
        """Return how many expired sessions no sweep has removed yet."""
        [(number,)] = self.table.execute(_EXPIRED).fetchall()
        return int(number)

    @contextmanager
    def outage(self) -> Iterator[None]:
        """The database is away until the end of the block; it serves again afterwards."""
        guest = self.stay("visit")
        self.point(there=False)
        self.end_connections()
        yield
        self.point(there=True)
        assert eventually(lambda: guest.go("read") == 200)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody can use the table until the end of the block, as during a bad migration."""
        with self.table.transaction():
            self.table.execute("LOCK TABLE session IN ACCESS EXCLUSIVE MODE")
            yield

    def at_once(self, act: str, guests: Sequence[Guest]) -> list[int]:
        """Let browsers do something at the same time; return the statuses."""
        with ThreadPoolExecutor(len(guests)) as pool:
            return list(pool.map(lambda guest: guest.go(act), guests))


class Crowd:
    """Visitors who come and go until the end of the block, whatever is broken."""

    def __init__(self, play: Play, number: int, pause: float) -> None:
        self._play = play
        self._pause = pause
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._come) for _ in range(number)]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _come(self) -> None:
        while not self._over.is_set():
            guest = self._play.guest()
            for act in ("visit", "read", "read", "login", "visit", "read", "visit", "logout"):
                while guest.go(act) == 503 and not self._over.wait(self._pause):
                    pass  # try again, as people do
                if self._over.wait(self._pause):
                    return
