"""Watching sessions that streams wait on: a statement now and then finds those that have ended.

Each process asks for the sessions of its own open streams. Nothing is sent by the
database: a NOTIFY would lock the whole server at each commit, would not pass a pooler, and would
miss what a restart, an expiry or plain SQL ends.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextvars import Context
from datetime import timedelta
from itertools import islice
from typing import Final

from pgsession.core.logs import event, own_logger
from pgsession.core.store import Store
from pgsession.core.users import LoginState, as_user_store
from pgsession.errors import StoreClosedError, StoreUnavailableError

#: Sessions that one statement asks for at most.
SLICE: Final = 1000

_NOT_TOLD: Final = "Open streams are not told of ended sessions now: %s"

_LOGGER = own_logger()


#: Before a waiter is registered.
_NEW: Final = LoginState(0)


class Waiter:
    """A request that waits for the end of its session.

    `on_end` is called once, with the state that the session has then; None if it is gone.
    """

    __slots__ = ("asked_before", "handle", "on_end", "state", "watcher")

    def __init__(self, on_end: Callable[[LoginState | None], object]) -> None:
        self.on_end: Callable[[LoginState | None], object] = on_end
        #: The watcher that it is registered with, if it is.
        self.watcher: Watcher | None = None
        #: The session that it was last registered for, and its state then.
        self.handle: str = ""
        self.state: LoginState = _NEW
        #: How many statements had been sent when it was registered: their answers may be older.
        self.asked_before: int = 0

    def leave(self) -> None:
        """Wait no longer."""
        if self.watcher is not None:
            self.watcher.remove(self)
            self.watcher = None


class Watched:
    """A session that at least one request waits on."""

    __slots__ = ("due", "waiters")

    def __init__(self, due: float) -> None:
        #: When it must be asked for at the latest.
        self.due: float = due
        self.waiters: set[Waiter] = set()


class Watcher:
    """Finds out, in one event loop, which of the sessions that streams wait on have ended.

    Each session is asked for once in `every` seconds, however many streams wait
    on it, in statements of at most `SLICE` sessions that are spread over this
    time. Without a waiter there is neither a statement nor a task nor a timer,
    except that a statement under way is not interrupted.

    A session has ended for a stream if it is not found, if its login number differs
    from the one with which the stream began, or if it was bound to a device since.
    While the store cannot answer, or is closed, no stream is told anything. A closed
    store is still asked: it may be opened again.
    """

    def __init__(self, store: Store, *, every: float) -> None:
        self._store = as_user_store(store)
        self._every = every
        self._loop = asyncio.get_running_loop()
        #: The sessions by handle. The one that was asked for longest ago comes first.
        self._watched: OrderedDict[str, Watched] = OrderedDict()
        #: The next statement is due then, or it is under way. At most one of the two.
        self._timer: asyncio.TimerHandle | None = None
        self._asking: asyncio.Task[None] | None = None
        #: When the last statement was sent, and how many were.
        self._asked_at = 0.0
        self._asked = 0
        #: The last statement has failed.
        self._is_failing = False

    def __len__(self) -> int:
        """Return how many sessions are watched."""
        return len(self._watched)

    def add(self, waiter: Waiter, handle: str, state: LoginState) -> None:
        """Call ``waiter.on_end`` once the session has ended for it."""
        now, watched = self._loop.time(), self._watched.get(handle)
        if watched is None:
            self._watched[handle] = watched = Watched(now + self._every)
        watched.waiters.add(waiter)
        waiter.watcher, waiter.asked_before = self, self._asked
        waiter.handle, waiter.state = handle, state
        if self._timer is None and self._asking is None:
            self._asked_at = now
            self._plan()

    def remove(self, waiter: Waiter) -> None:
        """Forget `waiter`."""
        waiters = self._watched[waiter.handle].waiters
        waiters.remove(waiter)
        if not waiters:
            del self._watched[waiter.handle]
        if not self._watched and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _plan(self) -> None:
        """Set the timer for the next statement."""
        at = self._asked_at + self._every / self._slices
        if not self._is_failing:  # else sessions are overdue
            at = min(at, next(iter(self._watched.values())).due)
        # In an empty context, as it works for many requests.
        self._timer = self._loop.call_at(at, self._begin, context=Context())

    @property
    def _slices(self) -> int:
        """How many statements it takes to ask for all sessions."""
        return 1 if self._is_failing else -(-len(self._watched) // SLICE)

    def _begin(self) -> None:
        """Ask for the next sessions, in a task."""
        self._timer = None
        share = min(SLICE, -(-len(self._watched) // self._slices))
        handles = tuple(islice(self._watched, share))
        self._asking = self._loop.create_task(self._ask(handles), context=Context())
        # A callback, as a task that is cancelled before its first step runs no code of its own.
        self._asking.add_done_callback(self._go_on, context=Context())

    def _go_on(self, _: asyncio.Task[None]) -> None:
        """Plan the next statement, also if the one before was cancelled."""
        self._asking = None
        if self._watched:
            self._plan()

    async def _ask(self, handles: Sequence[str]) -> None:
        """Ask for some sessions once, and tell the streams of those that have ended."""
        self._asked_at = self._loop.time()
        self._asked += 1
        try:
            states = await self._store.login_states(handles)
        except StoreUnavailableError as error:
            self._note_failure(_NOT_TOLD, error)
        except StoreClosedError as error:  # the application's own doing
            self._note_failure(_NOT_TOLD, error, level=logging.INFO)
        except Exception as error:  # noqa: BLE001 - the outermost edge: no stream may wait in vain
            self._note_failure(
                "The sessions of open streams cannot be watched: %s", error, exc_info=error
            )
        else:
            self._note_answer()
            self._judge(handles, states)

    def _judge(self, handles: Collection[str], states: Mapping[str, LoginState]) -> None:
        """Tell the streams whose sessions have ended, and put the sessions at the end."""
        due, asked, watched = self._asked_at + self._every, self._asked, self._watched
        ended: list[tuple[Waiter, LoginState | None]] = []
        for handle in handles:
            session = watched.get(handle)
            if session is None:  # all its streams have left meanwhile
                continue
            session.due = due
            watched.move_to_end(handle)
            state = states.get(handle)
            ended.extend(
                (each, state)
                for each in session.waiters
                if not _goes_on(each.state, state) and each.asked_before < asked
            )
        for each, state in ended:
            each.leave()
            each.on_end(state)

    def _note_failure(
        self,
        text: str,
        error: Exception,
        *,
        level: int = logging.WARNING,
        exc_info: Exception | None = None,
    ) -> None:
        """Log the first failure of several."""
        if not self._is_failing:
            self._is_failing = True
            _LOGGER.log(
                level, text, error, exc_info=exc_info, extra=event("streams_untold", error=error)
            )

    def _note_answer(self) -> None:
        if self._is_failing:
            self._is_failing = False
            _LOGGER.info(
                "Open streams are told of ended sessions again.", extra=event("streams_told")
            )


def _goes_on(before: LoginState, now: LoginState | None) -> bool:
    """Tell whether a stream that began in the state `before` goes on."""
    if now is None or now.login_number != before.login_number:
        return False
    return before.is_bound or not now.is_bound


class Watching:
    """The watchers of one middleware: one for each event loop that has had a stream.

    Test clients use several event loops, in threads of their own. A fork leaves the streams, and
    their watchers, to the parent.
    """

    def __init__(self, store: Store, every: timedelta) -> None:
        self._store = store
        self._every = every.total_seconds()
        self._process = os.getpid()
        self._watchers: dict[asyncio.AbstractEventLoop, Watcher] = {}

    def __len__(self) -> int:
        """Return how many sessions this process watches, in all event loops. Threads may ask."""
        if self._process != os.getpid():
            return 0
        return sum(map(len, list(self._watchers.values())))

    def here(self) -> Watcher:
        """Return the watcher of the running event loop."""
        if self._process != os.getpid():
            self._process, self._watchers = os.getpid(), {}
        loop = asyncio.get_running_loop()
        watcher = self._watchers.get(loop)
        if watcher is None:
            watcher = Watcher(self._store, every=self._every)
            left = {each: it for each, it in self._watchers.items() if not each.is_closed()}
            self._watchers = {**left, loop: watcher}
        return watcher
