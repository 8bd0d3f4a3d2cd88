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

from pgsession.core.hidden import HiddenBytes
from pgsession.core.predecessor import OldCookie, OldSession
from pgsession.core.value import DEFAULT_VALUE_LIMIT, JSON
from pgsession.errors import SettingsError
from pgsession.predecessors.content import read_json

#: ``get_random_string(32)`` of digits and lower-case letters.
_ID: Final = re.compile(r"[0-9a-z]{32}")

#: What `django.core.signing.dumps` signs with: the salt of the store, and the signer's suffix.
_SALT: Final = b"django.contrib.sessions.SessionStoresigner"

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
        content = read_signed(data, [self.secret_key, *self.fallbacks])
        return None if content is None else OldSession(content, f"django:{value}", expires)

    async def _row(self, session_key: str) -> tuple[str, datetime] | None:
        query = sql.SQL(_SELECT).format(table=sql.Identifier(*self.table.split(".")))
        async with self.pool.connection() as connection:
            cursor = connection.cursor(row_factory=tuple_row)
            await cursor.execute(query, (session_key,), prepare=False)
            row = await cursor.fetchone()
        return None if row is None else (row[0], row[1])


def read_signed(text: str, secrets: Sequence[str | bytes]) -> dict[str, JSON] | None:
    """Return what `django.core.signing.dumps` has signed with one of the secrets, or None.

    Its time is not looked at: the row has an expiry.
    """
    signed, _, signature = text.rpartition(":")
    if not any(
        hmac.compare_digest(_signature(signed, secret), signature.encode("utf-8", "replace"))
        for secret in secrets
    ):
        return None
    encoded, _, _ = signed.rpartition(":")
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


def _signature(signed: str, secret: str | bytes) -> bytes:
    key = HiddenBytes(secret.encode() if isinstance(secret, str) else secret)
    derived = hashlib.sha256(_SALT + key).digest()
    code = hmac.new(derived, signed.encode("utf-8", "replace"), hashlib.sha256).digest()
    return urlsafe_b64encode(code).rstrip(b"=")
