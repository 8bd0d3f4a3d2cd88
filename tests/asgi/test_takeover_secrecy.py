"""What an attacker with our secret and the table can do to sessions that were taken over."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from httpx import AsyncClient
from itsdangerous import Signer
from psycopg import Connection
from starlette.datastructures import Secret

from pgsession import (
    MemoryStore,
    OldCookie,
    OldSession,
    PostgresStore,
    SessionMiddleware,
    SettingsError,
    Store,
)
from pgsession.core.adoption import marker_of
from pgsession.core.predecessor import fingerprint
from pgsession.predecessors import DjangoTable, StarletteCookie
from tests.applications import SECRET
from tests.asgi.old_sessions import CONTENT, OLD, UNTIL, settings_with, signed
from tests.pages import NAME, logout, read

Browse = Callable[..., AsyncClient]

#: Nothing that fits.
ANY: Any = object()


@dataclass(frozen=True, slots=True)
class Made(OldCookie):
    """A predecessor that has this session, whatever the cookie."""

    session: OldSession

    async def load(self, _: str) -> OldSession | None:
        return self.session


def known(secret: bytes) -> Made:
    """Return a predecessor whose ids anybody can read."""
    return Made(OldSession(CONTENT, "the id", secret=secret), until=UNTIL)


@pytest.fixture
def browse(visit: Browse) -> Browse:
    """Opens a browser with an old cookie, or with one of ours."""

    def browse(store: Store, predecessor: Any, **cookies: str) -> AsyncClient:
        client = visit(store, read, logout, settings=settings_with(predecessor))
        client.cookies.update(cookies or {"session": "any"})
        return client

    return browse


@pytest.mark.parametrize(
    ("secret", "seen"),
    [
        pytest.param("guessed", {}, id="guessed"),
        pytest.param(SECRET, {}, id="ours"),
        pytest.param(OLD, CONTENT, id="old"),
    ],
)
async def test_leaked_secret(
    browse: Browse, postgres: PostgresStore, table: Connection, secret: str, seen: dict[str, Any]
) -> None:
    """Our secret, the content and the second of an old cookie make no key; its own secret does."""
    value, predecessor = signed(CONTENT), StarletteCookie(OLD, until=UNTIL)
    await browse(postgres, predecessor, session=value).get("/read")
    marker = table.execute("SELECT session_key FROM session WHERE verifier = 'adopted'").fetchall()

    # The attacker signs the same text, and takes it over in a store of theirs, with our secret.
    forged = Signer(secret).sign(value.rpartition(".")[0]).decode()
    old = await StarletteCookie(secret, until=UNTIL).load(forged)
    assert old is not None
    ours = (await browse(MemoryStore(), Made(old, until=UNTIL)).get("/read")).cookies[NAME]

    assert (await browse(postgres, predecessor, **{NAME: ours}).get("/read")).json() == seen
    assert (marker == [(marker_of(fingerprint(old.identity)),)]) is bool(seen)


@pytest.mark.parametrize(("secret", "seen"), [(b"guessed", {}), (b"old", CONTENT)])
async def test_known_id(browse: Browse, secret: bytes, seen: dict[str, Any]) -> None:
    """Our secret and an old id make no key where the predecessor has a secret too."""
    store = MemoryStore()
    await browse(store, known(b"old")).get("/read")

    ours = (await browse(MemoryStore(), known(secret)).get("/read")).cookies[NAME]

    assert (await browse(store, known(b"old"), **{NAME: ours}).get("/read")).json() == seen


async def test_other_secret_later(browse: Browse) -> None:
    """With another secret of the old application, an ended session is not taken over again."""
    store = MemoryStore()
    await browse(store, known(b"before")).get("/logout")

    assert (await browse(store, known(b"after")).get("/read")).json() == {}


@pytest.mark.parametrize(
    "predecessor",
    [
        pytest.param(StarletteCookie(SECRET, until=UNTIL), id="text"),
        pytest.param(StarletteCookie(Secret(SECRET), until=UNTIL), id="Secret"),
        pytest.param(DjangoTable(ANY, SECRET.encode(), until=UNTIL), id="bytes"),
        pytest.param(DjangoTable(ANY, "a", fallbacks=[SECRET], until=UNTIL), id="fallback"),
    ],
)
def test_one_secret(predecessor: Any) -> None:
    """A secret of the old application is none of ours."""
    with pytest.raises(SettingsError, match="pgsession secret") as caught:
        SessionMiddleware(ANY, MemoryStore(), settings=settings_with(predecessor))

    assert SECRET not in str(caught.value)
