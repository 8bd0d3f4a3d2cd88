"""The operations of a store in PostgreSQL on sessions that are bound to devices."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import TYPE_CHECKING, Final

from pgsession import rare
from pgsession.errors import SessionBusyError
from pgsession.postgres.connections.runner import Runner
from pgsession.postgres.statements.table import Table

if TYPE_CHECKING:  # few applications bind sessions
    from pgsession.postgres.statements.binding import Binding

#: Seconds between two tries to write to a row that another transaction holds.
_PAUSE: Final = 0.05


class DeviceBindings:
    """The methods of a `BindingStore` that a `UserStore` does not have.

    Each is one statement of its own, beside the batches: there are few of them.
    """

    @property
    @abstractmethod
    def timeout(self) -> float: ...

    @abstractmethod
    def _runner(self) -> Runner: ...

    @abstractmethod
    def _batched_table(self) -> Table: ...

    async def bind(self, bound: rare.Bound, verifier: str | None, public_key: str) -> int | None:
        """Register the key of a device; see `BindingStore.bind`."""
        from pgsession.postgres.statements.binding import Registration  # noqa: PLC0415 - see above

        registration = Registration(bound, verifier, public_key)
        loop = asyncio.get_running_loop()
        end = loop.time() + self.timeout - _PAUSE
        while True:
            try:
                [registered] = await self._runner().run(self._statements().bind, [registration])
            except SessionBusyError:  # it holds no connection while it waits
                if loop.time() >= end:
                    raise
                await asyncio.sleep(_PAUSE)
            else:
                return registered

    async def bound_device(self, bound: rare.Bound) -> rare.BoundDevice | None:
        """Return the device of a session; see `BindingStore.bound_device`."""
        [device] = await self._runner().run(self._statements().device, [bound])
        return device

    async def enforce(self, bound: rare.Bound) -> bool:
        """Put the binding in force, if there is one; see `BindingStore.enforce`."""
        [is_done] = await self._runner().run(self._statements().enforce, [bound])
        return is_done

    def _statements(self) -> Binding:
        return self._batched_table().binding
