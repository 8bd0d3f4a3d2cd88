"""Sessions that are kept in the cookie, as Starlette's own middleware writes it."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass, field
from datetime import timedelta

from itsdangerous import BadData, TimestampSigner
from starlette.datastructures import Secret

from pgsession.core.hidden import hidden
from pgsession.core.old_cookie import OldCookie
from pgsession.core.period import Period, as_period
from pgsession.core.predecessor import OldSession
from pgsession.errors import SettingsError
from pgsession.predecessors.content import METADATA, read_json


@dataclass(frozen=True, slots=True)
class StarletteCookie(OldCookie):
    """The sessions of Starlette's own middleware, and those of starsessions' ``CookieStore``.

    All fields are as that middleware had them; `name` is its ``session_cookie``. Raises
    `SettingsError` without a secret.
    """

    #: The secret of that middleware.
    secret_key: str | Secret = field(repr=False)
    #: The longest age of a cookie, a `timedelta` or seconds; None: any.
    max_age: Period | None = field(default=timedelta(days=14), kw_only=True)

    def __post_init__(self) -> None:
        super(StarletteCookie, self).__post_init__()
        if not str(self.secret_key):
            raise SettingsError("predecessor: the secret_key of the old application is missing.")
        if self.max_age is not None:
            as_period(self.max_age)

    async def load(self, value: str) -> OldSession | None:
        """Return the session that the cookie holds, if its signature and its age are valid."""
        age = None if self.max_age is None else as_period(self.max_age)
        signer = TimestampSigner(hidden(str(self.secret_key)))
        try:
            text, signed_at = signer.unsign(
                value,
                max_age=None if age is None else int(age.total_seconds()),
                return_timestamp=True,
            )
            content = read_json(b64decode(text))
        except (BadData, ValueError):
            return None
        if content is None:
            return None
        content.pop(METADATA, None)
        return OldSession(
            content,
            # Made anew, as a signature can be spelled in several ways. Content and time could be
            # guessed from our table.
            identity=b"starlette:" + signer.get_signature(value.rpartition(".")[0]),
            expires=None if age is None else signed_at + age,
            is_unique=False,
        )
