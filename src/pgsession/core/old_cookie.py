"""The cookie of another session middleware, from before a switch to this one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date
from typing import Final

from pgsession.core.cookie_attributes import SameSite, check_attributes
from pgsession.core.predecessor import Content
from pgsession.errors import SettingsError

_DELETED: Final = "expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; httponly"


@dataclass(frozen=True, slots=True, kw_only=True)
class OldCookie:
    """The cookie from before the switch, and what becomes of its sessions.

    To write a predecessor of your own, derive from this and add `Predecessor.load`.
    Raises `SettingsError` for attributes that no cookie can have.
    """

    #: The last day, in UTC, on which sessions are taken over. After it nothing is read.
    until: date
    #: The name of the cookie.
    name: str = "session"
    #: The Path that the cookie was set with.
    path: str = "/"
    #: The Domain that the cookie was set with, or None.
    domain: str | None = None
    #: Whether the cookie was set with Secure.
    https_only: bool = True
    #: Whether the cookie was set with Partitioned.
    partitioned: bool = False
    #: True deletes the cookie with the next response that sets ours. Use it once no process of the
    #: old application runs.
    delete: bool = False
    #: Returns the user who is signed in, from the content, or None. Without it nobody is signed in
    #: for `session.user_id` until the next login.
    user_id: Callable[[Content], object] | None = None
    #: An async function that returns False for content that counts no more, such as that of a
    #: user whose password has changed since. It is asked before a session is taken over and
    #: once more when that is committed. If it raises, the visitor gets a 503.
    accept: Callable[[Content], Awaitable[bool]] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.until, date):
            raise SettingsError("predecessor: until must be a date, such as date(2027, 2, 1).")
        try:
            check_attributes(
                name=self.name,
                path=self.path,
                domain=self.domain,
                secure=self.https_only,
                same_site="lax",
                partitioned=self.partitioned,
            )
        except SettingsError as error:
            raise SettingsError(f"predecessor: {error}") from None

    def deletion(self, same_site: SameSite) -> bytes:
        """Return the Set-Cookie text that deletes the cookie in the browser.

        `same_site` is that of our cookie, which comes with the same requests.
        """
        attributes = [f"{self.name}=null", f"path={self.path}", _DELETED, f"samesite={same_site}"]
        # Browsers reject SameSite=None without Secure. With it they delete a cookie without Secure
        # too, over HTTPS, which our own cookie needs then.
        if self.https_only or same_site == "none":
            attributes.append("secure")
        if self.domain is not None:
            attributes.append(f"domain={self.domain}")
        if self.partitioned:
            attributes.append("partitioned")
        return "; ".join(attributes).encode("ascii")
