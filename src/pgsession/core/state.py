"""The state of a session: all that it knows beside its content."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from pgsession.core.content import ContentState, is_empty
from pgsession.core.login import NO_SIGNING, SignedIn, Signing, microseconds
from pgsession.core.period import DEFAULT_PERIOD
from pgsession.core.store import Changes, Entry

if TYPE_CHECKING:  # a Protocol that only annotations name
    from pgsession.core.attachment import Attachment


class SessionState(ContentState):
    """What a session knows beside its content: what is stored, its user, its request."""

    # Defaults live on the class: most requests never set them.

    #: The request and the store of the session; None after the request, and without one.
    attachment: Attachment | None = None
    #: What leads to the row after the request, or None; `Sessions.open` knows what it is.
    reference: object = None
    #: The user of the row, as far as this session knows.
    signed_in: SignedIn | None = None
    #: When that was read, by the monotonic clock.
    signed_in_as_of: float = 0.0
    #: When the proof ends with which the request came, by the monotonic clock; None if it needs
    #: none.
    proof_ends: float | None = None

    @property
    def period(self) -> timedelta:
        """How long the session lives after its last use."""
        if self.granted is not None:
            return self.granted
        return DEFAULT_PERIOD if self.attachment is None else self.attachment.default_period

    def rebase(self, content: dict[str, Any], entry: Entry, changes: Changes) -> None:
        super().rebase(content, entry, changes)
        self.note_signed_in(entry.signed_in)

    def note_signed_in(self, signed_in: SignedIn | None, as_of: float | None = None) -> None:
        """Record the user of the row, as of a time of the monotonic clock: now, if left out."""
        self.signed_in = signed_in
        self.signed_in_as_of = time.monotonic() if as_of is None else as_of

    def note_done(self, done: Signing, *, login_number: int) -> None:
        """Record that what the handler asked for in `done` is done."""
        before, now = self.signed_in, microseconds(datetime.now(UTC))
        if (login := done.login) is not None:
            texts = (login.stamp, login.label, login.actor_id)
            self.note_signed_in(SignedIn(login.user_id, now, 0, login_number, *texts))
        elif done.is_logout:
            self.note_signed_in(None)
        elif done.is_confirmed and before is not None:
            self.note_signed_in(replace(before, since=now, age=0))

    def note_refused(self, refused: Signing) -> None:
        """Forget a login that was refused, unless the handler has asked for something since."""
        if self.signing is refused:
            self.signing = NO_SIGNING

    @property
    def user(self) -> SignedIn | None:
        """The user of the row, unless the handler has signed them out."""
        return None if self.signing.is_logout else self.signed_in

    @property
    def user_id(self) -> str | None:
        """The user who is signed in, or None for a visitor."""
        if (login := self.signing.login) is not None:
            return login.user_id
        return None if self.user is None else self.user.user_id

    @property
    def login_number(self) -> int:
        """How many logins the row has had; 0 for a visitor's."""
        return 0 if self.signed_in is None else self.signed_in.login_number

    @property
    def is_proved_now(self) -> bool:
        """True if the user has proved who they are in this request."""
        return self.signing.login is not None or self.signing.is_confirmed

    @property
    def proof_missing(self) -> bool:
        """True if the session is bound to a device, and the request has no proof of it now."""
        return self.proof_ends is not None and time.monotonic() >= self.proof_ends

    def is_signing_in(self, content: dict[str, Any]) -> bool:
        """Return True if a login is to be done: no `clear()` after it left the content empty."""
        signing = self.signing
        if signing.login is None:
            return False
        return self.cleared <= signing.cleared_before or not is_empty(content)

    def _max_size(self) -> int:
        return self.limit if self.attachment is None else self.attachment.value_limit
