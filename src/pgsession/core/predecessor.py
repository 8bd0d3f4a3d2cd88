"""The sessions from before a switch: what is known of them, and which keys they get here."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256
from typing import Final, NamedTuple, Protocol, TypeAlias

from pgsession.core.cookie_attributes import SameSite
from pgsession.core.hidden import Hidden, HiddenBytes
from pgsession.core.period import MAX_PERIOD
from pgsession.core.secret_keys import signers_with
from pgsession.core.value import JSON
from pgsession.errors import SettingsError

#: The content of a session.
Content: TypeAlias = Mapping[str, JSON]

#: So many bytes of an old cookie are read. Browsers keep no longer one (RFC 6265bis, 5.6).
MAX_VALUE: Final = 4096

#: How much longer than the old session it is remembered that it was taken over: the clocks of the
#: application's processes and of the database may differ.
_MARGIN: Final = timedelta(days=1)

#: The characters of a cookie's value (RFC 6265, section 4.1.1).
_VALUE: Final = rf"([!#-+\--:<-\[\]-~]{{1,{MAX_VALUE}}}+)[ \t]*+(?![^;])".encode("ascii")


class OldSession(NamedTuple):
    """A valid session from before the switch. The repr shows nothing of it."""

    #: What the new session begins with.
    content: Content
    #: Names the session, however its cookie is spelled. It must be unguessable: a store's random
    #: id, or for a session that is kept in the cookie its signature, decoded. With our secret and
    #: the identity anybody can make our cookie, so it must not follow from the content and a time.
    identity: str | bytes
    #: When it ends, with a time zone, or how long from now; None: never.
    expires: datetime | timedelta | None = None
    #: False if two browsers may have the same: sessions that are kept in the cookie are alike if
    #: they have the same content, signed in the same second.
    is_unique: bool = True
    #: What else the new key is derived from: bytes that only the old application's secret yields,
    #: such as an HMAC of the identity. Give it if the identity can be read elsewhere, such as in
    #: the table of the old sessions. If it changes, a session that was taken over is not found.
    secret: bytes = b""

    def __repr__(self) -> str:
        return "<OldSession>"


class Predecessor(Protocol):
    """Where the sessions from before the switch are read: an `OldCookie` with `load`."""

    @property
    def until(self) -> date:
        """As `OldCookie.until`."""
        ...

    @property
    def name(self) -> str:
        """As `OldCookie.name`."""
        ...

    @property
    def path(self) -> str:
        """As `OldCookie.path`."""
        ...

    @property
    def domain(self) -> str | None:
        """As `OldCookie.domain`."""
        ...

    @property
    def delete(self) -> bool:
        """As `OldCookie.delete`."""
        ...

    @property
    def user_id(self) -> Callable[[Content], object] | None:
        """As `OldCookie.user_id`."""
        ...

    @property
    def accept(self) -> Callable[[Content], Awaitable[bool]] | None:
        """As `OldCookie.accept`."""
        ...

    def deletion(self, same_site: SameSite) -> bytes:
        """Return the Set-Cookie text that deletes the cookie in the browser."""
        ...

    async def load(self, value: str) -> OldSession | None:
        """Return the session of a cookie with this value, or None if there is none.

        A value that is forged or malformed costs no query and bounded time: check its form
        first. It has 1 to 4096 printable ASCII characters, and comes from the browser.

        `InvalidValueError` says that this session can never be read: its visitor starts a
        new one. Any other exception says that the old sessions cannot be read now: the
        visitor gets a 503, or what `on_unavailable` says. So does a call that takes longer
        than the store's timeout.
        """
        ...


class Derivation:
    """Derives the keys of sessions that are taken over, with each of our secrets.

    So parallel requests with one old cookie agree on the key. To derive it takes a
    secret and what `seed_of` returns, which no table of ours tells. Each of our cookies
    has keys of its own, by its `name`: with that of one host nobody opens a session of
    another.
    """

    def __init__(self, secrets: Sequence[str | bytes], name: str) -> None:
        self._signers = signers_with(secrets, salt=f"pgsession.predecessor.{name}")

    def keys(self, seed: bytes) -> tuple[Hidden, ...]:
        """Return the keys for a seed, that of the newest secret first."""
        return tuple(Hidden(signer.sign(seed)[:40], "ascii") for signer in self._signers)


def fingerprint(identity: str | bytes) -> HiddenBytes:
    """Return the digest of an identity, whatever its type."""
    is_text = isinstance(identity, str)
    spelled = identity.encode("utf-8", "surrogatepass") if isinstance(identity, str) else identity
    return HiddenBytes(sha256((b"text:" if is_text else b"bytes:") + spelled).digest())


def seed_of(old: OldSession) -> HiddenBytes:
    """Return what the keys of an old session are derived from, always of the same length."""
    return HiddenBytes(fingerprint(old.identity) + fingerprint(old.secret))


def check_other_secret(predecessor: object, secrets: Sequence[str | bytes]) -> None:
    """Raise `SettingsError` if a `secret_key` of the predecessor is one of our secrets.

    The new keys are derived from what only the old secret yields, so ours must not yield it.
    """
    theirs = {_as_bytes(getattr(predecessor, "secret_key", ""))}
    theirs.update(map(_as_bytes, getattr(predecessor, "fallbacks", None) or ()))
    if not theirs.isdisjoint(map(_as_bytes, secrets)):
        raise SettingsError(
            "predecessor: a secret of the old application is in secret_key too. Make another one "
            "for secret_key with `pgsession secret`."
        )


def _as_bytes(secret: object) -> HiddenBytes:
    given = secret if isinstance(secret, bytes) else str(secret).encode("utf-8", "surrogatepass")
    return HiddenBytes(given)


def remembered_for(old: OldSession, until: date) -> timedelta:
    """Return for how long from now it is to be remembered that a session was taken over.

    That is until neither the session nor the switch lasts any longer: the old
    application may extend the session meanwhile.
    """
    now, period = datetime.now(UTC), old.expires
    if period is None:
        return MAX_PERIOD
    if isinstance(period, datetime):
        period -= now
    return min(max(period, end_of(until) - now, timedelta(0)) + _MARGIN, MAX_PERIOD)


def end_of(day: date) -> datetime:
    """Return when a day ends, in UTC."""
    return datetime.combine(day, time(), UTC) + timedelta(days=1)


def shape_of(name: str) -> re.Pattern[bytes]:
    """Return the pattern of a cookie of this name in a Cookie header, with its value."""
    return re.compile(rb"(?:^|;)[ \t]*+" + re.escape(name.encode("ascii") + b"=") + _VALUE)
