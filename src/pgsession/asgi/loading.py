"""How the session of a request is found: by its cookies, or by one from before a switch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from operator import attrgetter
from typing import Final

from pgsession.asgi.failing import FailingRequest
from pgsession.asgi.unavailable import UnavailableSession
from pgsession.core.cookie import FoundCookie
from pgsession.core.session import attached
from pgsession.core.store import Entry
from pgsession.errors import SchemaError, StoreUnavailableError

#: So many of a request's cookies are looked up one after another, if each is too old.
_MOST_TRIES: Final = 4


class LoadedRequest(FailingRequest):
    """One request, and the session that it comes with."""

    async def look_up(self, cookies: Sequence[FoundCookie]) -> bool:
        """Load the session of the cookies that came. Return False if a 503 was sent instead.

        If several sessions are alive, the one that was created last counts.
        """
        policy = self._policy
        if not cookies:
            return await self._take_over()
        outage_log = policy.outage_log
        found = cookies[0]
        try:
            if len(cookies) == 1:
                entry = await policy.store.get(found.key)
                if entry is not None and (policy.is_judging or found.number or entry.number):
                    entry = await self._accept(found, entry)
            else:
                found, entry = await self._look_up_twins(cookies)
        except StoreUnavailableError as error:
            self._found = found
            return await self._serve_unavailable(error)
        except SchemaError as error:
            self.report_unfit(error)
            raise
        else:
            if outage_log.in_outage:
                outage_log.record_answer()
            self.begin_with(found, entry)
            if self._is_proof_new:
                await self.enforce()
        return True

    async def _take_over(self) -> bool:
        """Load a session from before a switch: no cookie of ours came. Return as `look_up` does.

        A browser that has had a session of ours is not taken over any more, however that has ended.
        """
        policy, taken = self._policy, None
        max_age = policy.max_age
        period = max_age if isinstance(max_age, timedelta) else None
        try:
            if policy.takeover is not None:
                taken = await policy.takeover.session_of(self._scope, period=period)
            if taken is not None:
                key, *others = taken.keys
                found = FoundCookie(key, None, is_current=False)
                entry = taken.entry
                if entry is not None:
                    entry = await self._accept(found, entry)
                self.begin_with_old(found, entry, others)
        except StoreUnavailableError as error:
            return await self._serve_unavailable(error)
        except SchemaError as error:
            self.report_unfit(error)
            raise
        return True

    async def _serve_unavailable(self, error: StoreUnavailableError) -> bool:
        """Send a 503, and return False; or let the request go on with an unavailable session."""
        if not self._policy.is_anonymous(self._scope):
            await self._replace(error)
            return False
        self._report(error)
        self.use(attached(UnavailableSession, self))
        self.discard()
        self._is_visitor = False
        self._failure = error  # the cause, if the application fails to change this session
        return True

    async def _accept(self, found: FoundCookie, entry: Entry) -> Entry | None:
        """Return the entry if the request may load it, or None.

        Without the proof that it needs nothing is recorded of the request.
        """
        if self._policy.device_binding is not None and not self.opens(found, entry):
            return None
        if found.number or entry.number or self._policy.is_rotating:
            admitted = await self.admit(found, entry)
            if admitted is None:
                self.forget_proof()
            return admitted
        return entry

    async def _look_up_twins(
        self, cookies: Sequence[FoundCookie], tries: int = _MOST_TRIES
    ) -> tuple[FoundCookie, Entry | None]:
        keys, store = dict.fromkeys(cookie.key for cookie in cookies), self._policy.store
        key: str = cookies[0].key
        entry: Entry | None
        if len(keys) == 1:
            entry = await store.get(key)
        else:
            key, entry = await store.get_newest(tuple(keys)) or (key, None)
        copies = (cookie for cookie in cookies if cookie.key == key)
        found, *self._copies = sorted(copies, key=attrgetter("number"), reverse=True)
        self._twins = tuple(each for each in keys if each != key)
        if entry is not None:
            entry = await self._accept(found, entry)
            if entry is None and self._unproven is None and self._twins and tries > 1:
                others = [cookie for cookie in cookies if cookie.key != key]
                return await self._look_up_twins(others, tries - 1)  # without the one too old
        return found, entry
