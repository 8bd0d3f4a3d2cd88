"""Sessions that are bound to a device, and the cookies of browsers that have proved it."""

import json
import secrets
import time
from datetime import timedelta

from psycopg import AsyncConnection

from benchmarks.peers.asgi import FailedError
from benchmarks.servers import Places
from benchmarks.values import SECRET
from pgsession import SessionSettings
from pgsession.core.bound import Bound
from pgsession.core.cookie import Cookie
from pgsession.core.keys import digest
from pgsession.dbsc.tokens import Tokens

SETTINGS = SessionSettings(secret_key=SECRET, device_binding=timedelta(minutes=10), telemetry=False)

#: The bound cookies are good for the whole run: nobody refreshes them here.
LASTS = 86_400

BIND = """
UPDATE session
SET device_key = %s, device_registered_on = now(), device_proved_on = now()
WHERE session_key = ANY(%s)
  AND login_number = 1
"""


async def bind(places: Places, cookies: list[bytes]) -> list[bytes]:
    """Bind the sessions of some cookies; return these with the bound cookies beside them."""
    cookie = Cookie(secret_keys=[SECRET])
    tokens = Tokens([SECRET], cookie.name)
    handles = [digest(cookie.find([(b"cookie", text)])[0].key) for text in cookies]
    async with await AsyncConnection.connect(places.postgres, autocommit=True) as connection:
        bound = await connection.execute(BIND, (public_key(), handles))
    if bound.rowcount != len(cookies):
        raise FailedError(f"{bound.rowcount} of {len(cookies)} sessions are bound.")
    until = int(time.time()) + LASTS
    proofs = [tokens.cookie(Bound(handle, 1), until).encode() for handle in handles]
    name = f"{cookie.name}-bound".encode()
    return [b"%b; %b=%b" % (text, name, proof) for text, proof in zip(cookies, proofs, strict=True)]


def public_key() -> str:
    """Return a key of the usual size. It is never verified, as nobody refreshes here."""
    x, y = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    return json.dumps({"crv": "P-256", "kty": "EC", "x": x, "y": y}, separators=(",", ":"))
