"""The rotation of one request's session: judging the number that came, and giving out the next."""

from __future__ import annotations

import time

from pgsession.asgi.proving import ProvedRow
from pgsession.core.cookie import FoundCookie
from pgsession.core.rotation import Verdict
from pgsession.core.store import Entry
from pgsession.errors import SessionNotFoundError, StoreUnavailableError


class RotatingRow(ProvedRow):
    """What one request knows about the number of its session; see `core.rotation`."""

    # Defaults live on the class: most requests never set them.

    #: The response is to carry the next number, if nothing speaks against it.
    _is_rotation_due: bool = False

    async def admit(self, found: FoundCookie, entry: Entry) -> Entry | None:
        """Return the entry if the cookie's number is good, or None if it opens no session.

        Records in the store that the browser has shown a new number. Ends the
        session of a number that is too old if the settings say so. Raises
        `StoreUnavailableError` if that fails.
        """
        policy = self._policy
        rotation, number, shown_for = policy.rotation, entry.number, entry.shown_for
        verdict = rotation.judge(found.number, number=number, shown_for=shown_for)
        if not verdict.is_good:
            if verdict is Verdict.REUSED:
                if rotation.ends_on_reuse:
                    await policy.store.clear(found.key)
                policy.reuse_log.record(
                    presented=found.number, number=number, is_ended=rotation.ends_on_reuse
                )
            return None
        if rotation.must_record(verdict, number=number):
            await self._show(found)
        if verdict is Verdict.NEXT:
            self._note_number(found.number)
        self._is_rotation_due = rotation.is_due(verdict, shown_for=shown_for, idle=entry.idle)
        return entry

    async def rotate(self) -> None:
        """Give out the next number with this response, unless another cookie is due anyway.

        It is one statement, which decides. The response carries the number that
        the row has then, whether this request has raised it or another one.
        """
        key, (cleared, renewed, _, signing) = self._key, self.state.wishes
        if key is None or self._lost or cleared or renewed or signing.calls:
            return
        policy, before = self._policy, self._number
        # If the cookie is behind, parallel responses set it too: none may arrive after this one.
        if policy.extension_pause.is_on() or self._is_behind():
            return
        try:
            number = await policy.store.rotate(key, before, grace=policy.rotation.grace)
        except SessionNotFoundError:
            return  # the commit finds out, if there is anything to commit
        except StoreUnavailableError as error:
            policy.extension_pause.begin(error)
            return
        if self._key is key:  # else another task of this request has renewed the session
            self._note_number(number)
            if number > before:
                self._cookie_due = True
                # If another request has raised it, that was not long ago.
                elapsed = time.monotonic() - self._as_of
                self._is_announced = elapsed < policy.rotation.grace.total_seconds() / 2

    async def _show(self, found: FoundCookie) -> None:
        """Record that the browser has shown a number. If that fails, a later request does it."""
        pause = self._policy.extension_pause
        if pause.is_on():
            return
        try:
            await self._policy.store.show(found.key, found.number)
        except StoreUnavailableError as error:
            pause.begin(error)
