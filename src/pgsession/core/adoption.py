"""Taking over sessions from before a switch: what a store does about one."""

from __future__ import annotations

from binascii import b2a_base64
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from typing import Final, NamedTuple, Protocol, cast

from pgsession.core.hidden import Hidden
from pgsession.core.period import Period
from pgsession.core.predecessor import Content
from pgsession.core.store import Entry, Store
from pgsession.errors import SettingsError

#: What a marker has in place of a verifier's digest: no key has it, so none opens a marker.
MARKER: Final = "adopted"

_DIGEST_BYTES: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """An old session to be taken over. The repr shows nothing of it."""

    #: The handle of the marker, which says that the session was taken over.
    marker: str = field(repr=False)
    #: The keys that the new session may have, derived from the old one with each secret. It gets
    #: the first, of the newest secret.
    keys: tuple[Hidden, ...] = field(repr=False)
    #: What the new session begins with.
    content: Content = field(repr=False)
    #: How long the marker lives.
    remembered: timedelta
    #: The user who is signed in, or None.
    user_id: str | None = field(default=None, repr=False)


class Adopted(NamedTuple):
    """The session that has taken over an old one."""

    #: The key of the new session: a `str` whose repr does not show it.
    key: Hidden
    #: Its value and its remaining period.
    entry: Entry
    #: This call has made it. False may also be said of one whose first answer was lost.
    is_new: bool = False


class AdoptingStore(Store, Protocol):
    """A store that takes over old sessions, each once. `PostgresStore` and `MemoryStore` do."""

    async def adopt(self, adoption: Adoption, *, period: Period | None = None) -> Adopted | None:
        """Return the session that has taken over an old one, and its key.

        The first call makes it, with the content, and in the same step the marker,
        which outlives it. It expires `period` from now, or after the default period,
        and counts as generated now. A user is signed in since an unknown time, so no
        check of a recent login accepts it. Later calls return the same session
        while it lives under one of the keys; None once it has ended or was renewed.

        Raises `InvalidValueError` for content that cannot be stored, and
        `UnknownUserError` if a foreign key of the table refuses the user; nothing is
        written then.
        """
        ...


def as_adopting_store(store: Store) -> AdoptingStore:
    """Return `store` as one that takes over sessions. Raises `SettingsError` if it does not."""
    if not hasattr(store, "adopt"):
        raise SettingsError(
            "predecessor needs a store that takes over sessions: give it the method of "
            "pgsession.AdoptingStore."
        )
    return cast("AdoptingStore", store)


def marker_of(identity: bytes) -> str:
    """Return the handle of the marker of an old session. It depends on no secret of ours.

    It is a digest as those of keys, and of no key: a key is ASCII text.
    """
    hashed = sha256(b"\xffpgsession.marker\x00" + identity).digest()
    return b2a_base64(hashed[:_DIGEST_BYTES], newline=False).translate(_URL_SAFE).decode("ascii")


_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
