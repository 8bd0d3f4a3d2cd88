"""Tests of applications that use pgsession: sign a client in, look into its session, let it age.

They take Starlette's `TestClient`, or an `AsyncClient` of httpx or httpx2 with an
`ASGITransport`. The pytest plugin that comes with the package has stores for tests:
`pgsession_store` and `pgsession_memory_store`.
"""

from pgsession.testing.clients import AsyncClient
from pgsession.testing.helpers import age, session_of, signed_in
from pgsession.testing.sockets import websocket_connect

__all__ = ["AsyncClient", "age", "session_of", "signed_in", "websocket_connect"]
