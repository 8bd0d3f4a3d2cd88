"""Compares both stores with a model in plain Python, over random sequences of operations.

Several requests use the same session, some of them under old keys. No time
passes: sessions expire through periods that are not positive and through edited
rows. For a longer run::

    STATE_MACHINE_EXAMPLES=5000 python -m pytest -rP tests/concurrency/test_state_machine.py

With ``-rP`` each test prints the number of examples and of steps.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from copy import deepcopy
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, ClassVar, Final, TypeVar

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from psycopg.conninfo import make_conninfo

from pgsession import Changes, Entry, MemoryStore, PostgresStore, SessionNotFoundError
from pgsession.asgi.binding import Binding
from pgsession.core.cookie import FoundCookie
from pgsession.core.hidden import Hidden
from pgsession.core.keys import digest
from pgsession.core.login import Login
from pgsession.core.users import as_user_store
from tests.concurrency.model import Holder, Living, Model
from tests.concurrency.visits import key_in
from tests.concurrency.worlds import PostgresWorld, World

pytestmark = pytest.mark.usefixtures("untraced")

_T = TypeVar("_T")

EXAMPLES: Final = int(os.environ.get("STATE_MACHINE_EXAMPLES", "30"))
STEPS: Final = 40
SLACK: Final = timedelta(seconds=60)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)

names = st.sampled_from(["a", "b", "c"])
members = st.sampled_from([0, 1, True, None, "", "x", [1], {"a": [None]}])
values = st.dictionaries(names, members, max_size=3)
#: Most periods keep the session alive. They differ enough to be distinguished.
periods = st.sampled_from(
    [None, None, HOUR, 2 * HOUR, DAY, 30 * DAY, timedelta(0), timedelta(seconds=-1), -DAY]
)
changes = st.builds(
    Changes, set=values, removed=st.frozensets(names, max_size=2), replaced=st.booleans()
).filter(lambda it: not set(it.set) & set(it.removed))
users = st.sampled_from(["ann", "bob"])
places = st.integers(min_value=0, max_value=7)
actions = st.tuples(st.sampled_from(["assign", "save", "take", "reload"]), names, members)


class Sessions(RuleBasedStateMachine):
    """The operations of a store, and the operations of requests that use its sessions."""

    world: ClassVar[World]
    examples: ClassVar[int] = 0
    steps: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).examples += 1
        self.world.empty()
        store = self.world.store
        self.store = as_user_store(store)
        self.model = Model(store.default_period, store.max_lifetime, store.max_inactivity)
        #: All keys so far, including those that have ended.
        self.keys: list[str] = []
        self.requests: list[tuple[Binding, Holder]] = []

    def agree(
        self,
        operation: Coroutine[Any, Any, _T],
        expected: Callable[[], object],
        *,
        returns: type | None = None,
    ) -> _T | None:
        """Assert that the store returns what the model returns, or raises the same error.

        With `returns`, only the type of the store's result is checked.
        """
        type(self).steps += 1
        try:
            wanted = expected()
        except SessionNotFoundError:
            with pytest.raises(SessionNotFoundError):
                self.world.run(operation)
            return None
        result = self.world.run(operation)
        assert result == wanted if returns is None else isinstance(result, returns)
        return result

    def user(self, name: str) -> str:
        """Return a user of this example alone: not every world can be emptied."""
        return f"{name} {self.examples}"

    def key(self, place: int) -> str:
        return self.keys[-1 - place % len(self.keys)]

    def request(self, place: int) -> tuple[Binding, Holder]:
        return self.requests[-1 - place % len(self.requests)]

    @initialize(value=values)
    def begin(self, value: dict[str, Any]) -> None:
        self.generate(value, None, granted=False)

    @rule(value=st.none() | values, period=periods, granted=st.booleans())
    def generate(
        self, value: dict[str, Any] | None, period: timedelta | None, *, granted: bool
    ) -> None:
        key = self.world.run(self.store.generate(value, period=period, granted=granted))
        assert key not in self.keys
        self.keys.append(key)
        self.model.generate(key, value, period, granted=granted)

    @rule(place=places, value=values, period=periods, granted=st.none() | st.booleans())
    def set(
        self, place: int, value: dict[str, Any], period: timedelta | None, *, granted: bool | None
    ) -> None:
        key = self.key(place)
        self.agree(
            self.store.set(key, value, period=period, granted=granted),
            lambda: self.model.set(key, value, period, granted=granted),
        )

    @rule(place=places, changes=changes, period=periods, granted=st.none() | st.booleans())
    def merge(
        self, place: int, changes: Changes, period: timedelta | None, *, granted: bool | None
    ) -> None:
        key = self.key(place)
        self.agree(
            self.store.merge(key, changes, period=period, granted=granted),
            lambda: self.model.merge(key, changes, period, granted=granted),
        )

    @rule(place=places, period=periods, granted=st.none() | st.booleans())
    def touch(self, place: int, period: timedelta | None, *, granted: bool | None) -> None:
        key = self.key(place)
        self.agree(
            self.store.touch(key, period=period, granted=granted),
            lambda: self.model.touch(key, period, granted=granted),
        )

    @rule(
        place=places, changes=st.none() | changes, period=periods, granted=st.none() | st.booleans()
    )
    def renew(
        self,
        place: int,
        changes: Changes | None,
        period: timedelta | None,
        *,
        granted: bool | None,
    ) -> None:
        key = self.key(place)
        edit = Changes() if changes is None else changes
        heir = self.agree(
            self.store.renew(key, changes, period=period, granted=granted),
            lambda: self.model.find(key),
            returns=str,
        )
        if heir is not None:
            assert heir not in self.keys
            self.keys.append(heir)
            self.model.renew(key, heir)
            self.model.merge(heir, edit, period, granted=granted)

    @rule(
        place=st.none() | places,
        user=users,
        changes=changes,
        period=periods,
        granted=st.booleans(),
    )
    def login(
        self,
        place: int | None,
        user: str,
        changes: Changes,
        period: timedelta | None,
        *,
        granted: bool,
    ) -> None:
        key = None if place is None else self.key(place)
        heir = self.agree(
            self.store.login(key, Login(self.user(user)), changes, period=period, granted=granted),
            lambda: key is None or self.model.find(key),
            returns=str,
        )
        if heir is not None:
            assert heir not in self.keys
            self.keys.append(heir)
            self.model.login(key, heir, self.user(user), changes, period, granted=granted)

    @rule(place=places, changes=changes, period=periods, granted=st.none() | st.booleans())
    def confirm(
        self, place: int, changes: Changes, period: timedelta | None, *, granted: bool | None
    ) -> None:
        key = self.key(place)
        heir = self.agree(
            self.store.confirm(key, changes, period=period, granted=granted),
            lambda: self.model.find(key),
            returns=str,
        )
        if heir is not None:
            self.keys.append(heir)
            self.model.confirm(key, heir, changes, period, granted=granted)

    @rule(place=places, number=st.sampled_from([0, 0, 1, 1, 2]))
    def logout(self, place: int, number: int) -> None:
        key = self.key(place)
        if self.model.of_handle(key) is not None:
            self.agree(self.store.logout(key, number), lambda: self.model.logout(key, number))

    @rule(place=places)
    def is_retired(self, place: int) -> None:
        key = self.key(place)
        self.agree(self.store.is_retired(key), lambda: self.model.of_handle(key) not in {None, key})

    @rule(place=places, user=users)
    def revoke(self, place: int, user: str) -> None:
        key = self.key(place)
        current = self.model.of_handle(key)
        ended = [each for each in self.model.of_user(self.user(user)) if each == current]
        self.agree(
            self.store.revoke(self.user(user), digest(key)), lambda: bool(self.model.end(ended))
        )

    @rule(place=st.none() | places, user=users)
    def revoke_all(self, place: int | None, user: str) -> None:
        kept = None if place is None else self.key(place)
        keep = None if kept is None else SimpleNamespace(handle=digest(kept))
        current = None if kept is None else self.model.of_handle(kept)
        ended = [each for each in self.model.of_user(self.user(user)) if each != current]
        self.agree(self.store.revoke_all(self.user(user), keep=keep), lambda: self.model.end(ended))

    @rule(user=users, most=st.integers(min_value=1, max_value=3))
    def end_surplus(self, user: str, most: int) -> None:
        surplus = self.model.of_user(self.user(user))[most:]
        self.agree(self.store.end_surplus(self.user(user), most), lambda: self.model.end(surplus))

    @rule(user=users)
    def devices(self, user: str) -> None:
        found = self.world.run(self.store.devices(self.user(user)))
        assert {it.handle for it in found} == set(map(digest, self.model.of_user(self.user(user))))

    @rule(place=places)
    def clear(self, place: int) -> None:
        key = self.key(place)
        self.model.clear(key)
        self.agree(self.store.clear(key), lambda: True)

    @rule(place=places)
    def clear_empty(self, place: int) -> None:
        key = self.key(place)
        self.agree(self.store.clear(key, only_if_empty=True), lambda: self.model.clear_empty(key))

    @rule(place=places, numbers=st.sampled_from([-1, 0, 0, 0, 1]), is_settled=st.booleans())
    def rotate(self, place: int, numbers: int, *, is_settled: bool) -> None:
        key = self.key(place)
        if not self._is_loaded(key):
            number = self._number(key) + numbers
            self.agree(
                self.store.rotate(key, number, grace=-DAY if is_settled else DAY),
                lambda: self.model.rotate(key, number, is_settled=is_settled),
            )

    @rule(place=places, numbers=st.sampled_from([-1, 0, 0, 1, 2]))
    def show(self, place: int, numbers: int) -> None:
        key = self.key(place)
        if not self._is_loaded(key):
            number = self._number(key) + numbers
            self.agree(self.store.show(key, number), lambda: self.model.show(key, number))

    def _number(self, key: str) -> int:
        session = self.model.living.get(key)
        return 0 if session is None else session.number

    def _is_loaded(self, key: str) -> bool:
        """Return whether a request has loaded the session: its cookie would need the number."""
        return any(holder.key == key for _, holder in self.requests)

    @rule(place=places, name=names)
    def take(self, place: int, name: str) -> None:
        key = self.key(place)
        self.agree(self.store.take(key, name), lambda: self.model.take(key, name))

    @rule(place=places)
    def expire(self, place: int) -> None:
        key = self.key(place)
        if key in self.model.living:
            self.world.expire(key)
            self.model.clear(key)

    @rule()
    def sweep(self) -> None:
        self.world.sweep()

    @rule(place=places)
    def load(self, place: int) -> None:
        key = self.key(place)
        if key in self.model.living:
            entry = self.world.run(self.world.store.get(key))
            assert entry is not None
            until = int(time.time() + entry.period.total_seconds())
            binding = Binding(self.world.policy, {"type": "http", "headers": []})
            found = FoundCookie(Hidden(key), until, is_current=True, number=entry.number)
            binding.begin_with(found, entry)
            self.requests.append((binding, Holder.of(self.model, key)))

    @precondition(lambda self: self.requests)
    @rule(place=places, name=names, member=members)
    def assign(self, place: int, name: str, member: object) -> None:
        binding, holder = self.request(place)
        binding.session[name] = deepcopy(member)
        holder.content[name] = deepcopy(member)

    @precondition(lambda self: self.requests)
    @rule(place=places, name=names)
    def discard(self, place: int, name: str) -> None:
        binding, holder = self.request(place)
        binding.session.pop(name, None)
        holder.content.pop(name, None)

    @precondition(lambda self: self.requests)
    @rule(place=places, value=values)
    def replace(self, place: int, value: dict[str, Any]) -> None:
        binding, holder = self.request(place)
        binding.session.clear()
        binding.session.update(deepcopy(value))
        holder.content, holder.cleared = deepcopy(value), True

    @precondition(lambda self: self.requests)
    @rule(place=places)
    def save(self, place: int) -> None:
        binding, holder = self.request(place)

        def expected() -> None:
            holder.settle()

        self.agree(binding.save(), expected)
        self._drop_if_ended(place)

    @precondition(lambda self: self.requests)
    @rule(place=places)
    def reload(self, place: int) -> None:
        binding, holder = self.request(place)
        self.agree(binding.reload(), holder.reload)
        _assert_same_value(binding.session, holder.content)

    @precondition(lambda self: self.requests)
    @rule(place=places, name=names, member=members)
    def act_exclusively(self, place: int, name: str, member: object) -> None:
        binding, holder = self.request(place)

        async def act() -> None:
            async with binding.exclusive(HOUR):
                binding.session[name] = deepcopy(member)

        def expected() -> None:
            holder.reload()
            holder.content[name] = deepcopy(member)
            holder.settle()

        self.agree(act(), expected)

    @precondition(lambda self: self.requests)
    @rule(place=places, acts=st.lists(actions, max_size=5))
    def fail_exclusively(self, place: int, acts: list[tuple[str, str, object]]) -> None:
        binding, holder = self.request(place)

        async def act() -> None:
            async with binding.exclusive(HOUR):
                holder.reload()
                before = deepcopy(holder.changes())
                with suppress(_EndedError):
                    for action in acts:
                        before = await _act_and_compare(binding, holder, action, before)
                holder.undo(before)
                raise ZeroDivisionError

        try:
            self.world.run(act())
        except ZeroDivisionError:
            _assert_same_value(binding.session, holder.content)
        except SessionNotFoundError:
            with pytest.raises(SessionNotFoundError):
                holder.reload()
        self._drop_if_ended(place)

    @precondition(lambda self: self.requests)
    @rule(place=places, name=names)
    def take_from(self, place: int, name: str) -> None:
        binding, holder = self.request(place)
        self.agree(binding.take(name, None), lambda: holder.take(name))

    @precondition(lambda self: self.requests)
    @rule(place=places, renewing=st.booleans())
    def answer(self, place: int, *, renewing: bool) -> None:
        """End the request: its changes are merged, or its session was not found."""
        binding, holder = self.request(place)
        self.requests.remove((binding, holder))
        if renewing:
            binding.session.renew()
        cookie = self.world.run(binding.commit(extend=True))
        is_deletion = cookie is not None and b"Max-Age=0" in cookie
        heir = None if cookie is None or is_deletion or not renewing else key_in(cookie.decode())
        is_gone = False
        try:
            # No change extends the expiry here, as `touch_after` is never over. A renewal does.
            holder.settle(holder.period if renewing else None, heir=heir)
        except SessionNotFoundError:
            is_gone = True
        is_gone = is_gone or (renewing and heir is None and not holder.ended)
        # A cookie is set again only for a key that still lives.
        is_alive = holder.key in self.model.living
        is_due = holder.cookie_differs and not holder.lost and not is_gone and is_alive
        assert (cookie is not None) == (heir is not None or holder.ended or is_due)
        if heir is not None and not holder.ended:
            assert heir not in self.keys
            self.keys.append(heir)

    @invariant()
    def same_rows(self) -> None:
        """Each key, however old, reads as in the model; the table has no other rows."""
        entries = self.world.run(self._read_all())
        for key, entry in zip(self.keys, entries, strict=True):
            self._assert_same(entry, self.model.living.get(key))
        assert self.world.count() in {None, len(self.model.living)}

    async def _read_all(self) -> list[Entry | None]:
        return await asyncio.gather(*(self.store.get(key) for key in self.keys))

    def _assert_same(self, entry: Entry | None, session: Living | None) -> None:
        if session is None:
            assert entry is None
            return
        assert entry is not None
        _assert_same_value(entry.value, session.value)
        assert entry.granted == self.model.shown_period(session)
        assert entry.period == pytest.approx(session.period, abs=SLACK)
        assert (entry.lifetime is None) == (session.lifetime is None)
        assert entry.number == session.number
        user = entry.signed_in
        assert (user and user.user_id, user.login_number if user else 0) == (
            session.user,
            session.login_number,
        )
        assert (entry.shown_for is not None) == session.shown

    def _drop_if_ended(self, place: int) -> None:
        request = self.request(place)
        if request[1].ended:
            self.requests.remove(request)


class _EndedError(Exception):
    """The block has ended its session."""


async def _act_and_compare(
    binding: Binding, holder: Holder, action: tuple[str, str, object], before: Changes
) -> Changes:
    """Act in a block and in the model; return what is unsaved if the block raises afterwards."""
    kind, name, member = action
    match kind:
        case "assign":
            binding.session[name] = deepcopy(member)
            holder.content[name] = deepcopy(member)
        case "save":
            await binding.save()
            if holder.settle():
                before = Changes()
            if holder.ended:
                raise _EndedError
        case "take":
            assert await binding.take(name, None) == holder.take(name)
            kept = {each: before.set[each] for each in before.set if each != name}
            before = Changes(kept, frozenset(before.removed) - {name}, before.replaced)
        case "reload":
            await binding.reload()
            holder.reload()
    return before


def _assert_same_value(one: object, other: object) -> None:
    """Compare as JSON, so that True does not equal 1."""
    assert json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


LIMITS: Final[dict[str, dict[str, Any]]] = {
    "undying": {},
    "mortal": {"max_lifetime": 3 * DAY},
    "inactive": {"max_inactivity": 3 * HOUR},
    "both": {"max_lifetime": 3 * DAY, "max_inactivity": 4 * DAY},
}
limits = pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS)


def explore(world: World, record: Callable[[str, object], None]) -> None:
    """Run the machine in a world, and print how much of it ran."""

    class Machine(Sessions):
        pass

    Machine.world = world
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    record("examples", Machine.examples)
    record("operations", Machine.steps)
    sys.stdout.write(f"{Machine.examples} examples, {Machine.steps} operations compared\n")


@limits
def test_memory(limits: dict[str, Any], record_property: Callable[[str, object], None]) -> None:
    """The memory store behaves like the model under any sequence of operations."""
    with asyncio.Runner() as runner:
        explore(World(runner, MemoryStore(**limits)), record_property)


@limits
def test_postgres(
    database_url: str,
    migrated_schema: str,
    limits: dict[str, Any],
    record_property: Callable[[str, object], None],
) -> None:
    """The PostgreSQL store behaves like the model under any sequence of operations."""
    store = PostgresStore(database_url, schema=migrated_schema, **limits)
    conninfo = make_conninfo(database_url, options=f"-csearch_path={migrated_schema}")
    with (
        psycopg.connect(conninfo, autocommit=True) as connection,
        asyncio.Runner() as runner,
    ):
        explore(PostgresWorld(runner, store, connection), record_property)
        runner.run(store.close())
