"""Sessions that Django keeps in a table of PostgreSQL."""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, LiteralString

from psycopg import sql
from psycopg.rows import tuple_row
from psycopg_pool import AsyncConnectionPool

from pgsession.core.hidden import HiddenBytes, hidden
from pgsession.core.old_cookie import OldCookie
from pgsession.core.predecessor import OldSession
from pgsession.core.value import DEFAULT_VALUE_LIMIT, JSON
from pgsession.errors import SettingsError
from pgsession.predecessors.content import read_json

#: ``get_random_string(32)`` of digits and lower-case letters.
_ID: Final = re.compile(r"[0-9a-z]{32}")

#: What `django.core.signing.dumps` signs with: the salt of the store, and the signer's suffix.
_SALT: Final = b"django.contrib.sessions.SessionStoresigner"

#: What the keys of the new sessions are derived with.
_OUR_SALT: Final = b"pgsession.predecessors.DjangoTable"

#: What is larger than this, once it is decompressed, is not read.
_MOST: Final = 16 * DEFAULT_VALUE_LIMIT

_SELECT: Final[LiteralString] = """
SELECT session_data::pg_catalog.text, expire_date
FROM {table}
WHERE session_key = %s AND expire_date > pg_catalog.now()
"""


@dataclass(frozen=True, slots=True)
class DjangoTable(OldCookie):
    """The sessions of Django's backends ``db`` and ``cached_db``, with its JSON serializer.

    Raises `SettingsError` without a secret, and for fallbacks that are no list.
    """

    #: A psycopg pool on Django's database, opened by the application.
    pool: AsyncConnectionPool[Any] = field(repr=False)
    #: Django's SECRET_KEY.
    secret_key: str | bytes = field(repr=False)
    #: Django's SECRET_KEY_FALLBACKS.
    fallbacks: Sequence[str | bytes] = field(default=(), kw_only=True, repr=False)
    #: The table, with its schema before a dot if the search_path does not lead to it.
    table: str = field(default="django_session", kw_only=True)
    #: Django's SESSION_COOKIE_NAME.
    name: str = field(default="sessionid", kw_only=True)

    def __post_init__(self) -> None:
        super(DjangoTable, self).__post_init__()
        if not self.secret_key or isinstance(self.fallbacks, str | bytes):
            raise SettingsError(
                "predecessor: secret_key must be Django's SECRET_KEY, and fallbacks a list."
            )

    async def load(self, value: str) -> OldSession | None:
        """Return the session of the row whose key is in the cookie, if it has not expired."""
        if _ID.fullmatch(value) is None:
            return None
        row = await self._row(value)
        if row is None:
            return None
        data, expires = row
        secret = signing_secret(data, hidden([self.secret_key, *self.fallbacks]))
        content = None if secret is None else read_data(data)
        if secret is None or content is None:
            return None
        return OldSession(
            content,
            f"django:{value}",
            expires,
            # The id can be read in the table.
            secret=_hmac(value, secret, salt=_OUR_SALT),
        )

    async def _row(self, session_key: str) -> tuple[str, datetime] | None:
        query = sql.SQL(_SELECT).format(table=sql.Identifier(*self.table.split(".")))
        async with self.pool.connection() as connection:
            cursor = connection.cursor(row_factory=tuple_row)
            await cursor.execute(query, (session_key,), prepare=False)
            row = await cursor.fetchone()
        return None if row is None else (row[0], row[1])


def signing_secret(text: str, secrets: Sequence[str | bytes]) -> str | bytes | None:
    """Return the secret with which `django.core.signing.dumps` has signed a text, or None."""
    signed, _, signature = text.rpartition(":")
    found = signature.encode("utf-8", "replace")
    for secret in secrets:
        if hmac.compare_digest(_hmac(signed, secret, salt=_SALT), found):
            return secret
    return None


def read_data(text: str) -> dict[str, JSON] | None:
    """Return what is in a text of `django.core.signing.dumps`, or None. Check its signature first.

    Its time is not looked at: the row has an expiry.
    """
    encoded = text.rsplit(":", 2)[0]
    try:
        data = urlsafe_b64decode(encoded.removeprefix(".") + "==")
        if encoded.startswith("."):
            unpacking = zlib.decompressobj()
            data = unpacking.decompress(data, _MOST)
            if unpacking.unconsumed_tail:
                return None
        return read_json(data.decode("latin-1"))
    except (binascii.Error, ValueError, zlib.error):
        return None


def _hmac(text: str, secret: str | bytes, *, salt: bytes) -> bytes:
    key = HiddenBytes(secret.encode() if isinstance(secret, str) else secret)
    derived = hashlib.sha256(salt + key).digest()
    code = hmac.new(derived, text.encode("utf-8", "replace"), hashlib.sha256).digest()
    return urlsafe_b64encode(code).rstrip(b"=")
