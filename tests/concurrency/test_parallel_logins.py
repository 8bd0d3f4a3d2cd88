"""Many logins of one user at the same time: beside the limit, and beside revocations."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from types import SimpleNamespace
from typing import Final

from psycopg import AsyncConnection, Connection
from psycopg.conninfo import make_conninfo

from pgsession import Changes, PostgresStore, SessionNotFoundError
from pgsession.core.keys import digest
from pgsession.core.login import Login
from tests.concurrency import signing_process
from tests.concurrency.witness import Witness

MOST: Final = 3
ROUNDS: Final = 4

#: Keeps what was inserted, also of sessions that are gone.
LOG: Final = """
CREATE TABLE logged (user_id text, session_key text, login_on timestamptz);
CREATE FUNCTION log_login() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('INSERT INTO %I.logged VALUES ($1, $2, $3)', TG_TABLE_SCHEMA)
    USING NEW.user_id, NEW.session_key, NEW.login_on;
    RETURN NULL;
END
$$;
CREATE TRIGGER log_login AFTER INSERT ON session FOR EACH ROW EXECUTE FUNCTION log_login();
"""

NEWEST: Final = """
SELECT session_key
FROM logged
WHERE user_id = %s
ORDER BY login_on DESC, session_key DESC
LIMIT %s
"""

WAITING: Final = """
SELECT count(*)
FROM pg_locks
WHERE locktype = 'advisory' AND classid = %s AND objid = %s AND NOT granted
"""


def test_limit(database_url: str, migrated_schema: str, table: Connection) -> None:
    """Of fifty logins at once in four processes, the newest `max_sessions` stay, and no other."""
    table.execute(LOG)

    assert sign_in_at_once(database_url, migrated_schema, table) == [200] * 50 * ROUNDS

    for user_id in map(str, range(ROUNDS)):
        logged = table.execute("SELECT FROM logged WHERE user_id = %s", (user_id,))
        assert logged.rowcount == 50
        living = table.execute("SELECT session_key FROM session WHERE user_id = %s", (user_id,))
        newest = table.execute(NEWEST, (user_id, MOST))
        assert set(living.fetchall()) == set(newest.fetchall())


def sign_in_at_once(database_url: str, schema: str, table: Connection) -> list[int]:
    """Sign each of some users in fifty times in four processes; return the statuses."""
    shares = [13, 13, 12, 12]
    gates = [(signing_process.GATE, number) for number in range(ROUNDS)]
    for gate in gates:
        table.execute("SELECT pg_advisory_lock(%s, %s)", gate)
    with ProcessPoolExecutor(len(shares), get_context("spawn")) as pool:
        workers = [
            pool.submit(
                signing_process.run,
                database_url,
                schema,
                rounds=ROUNDS,
                logins=logins,
                most=MOST,
            )
            for logins in shares
        ]
        try:
            for gate in gates:
                while table.execute(WAITING, gate).fetchone() != (len(shares),):
                    for worker in workers:
                        if worker.done():
                            worker.result()
                table.execute("SELECT pg_advisory_unlock(%s, %s)", gate)
        finally:  # if one of them failed, the pool waits for the others
            table.execute("SELECT pg_advisory_unlock_all()")
        return [status for worker in workers for status in worker.result(timeout=60)]


async def test_keep_beside_logins(make_store: Callable[..., PostgresStore]) -> None:
    """While a user signs in again and again, `revoke_all` ends what was there, but for one."""
    signing, revoking = make_store(), make_store()
    key = await signing.login(None, Login("ann"), Changes())
    kept = SimpleNamespace(handle=digest(key))
    signed_in: dict[str, float] = {}  # when each login had returned
    is_over = False

    async def sign_in() -> None:
        while not is_over:
            handle = digest(await signing.login(None, Login("ann"), Changes()))
            signed_in[handle] = time.monotonic()

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(sign_in())
        for _ in range(30):
            begun = time.monotonic()
            await revoking.revoke_all("ann", keep=kept)
            before = {handle for handle, at in signed_in.items() if at < begun}
            left = {device.handle for device in await revoking.devices("ann")}
            assert left & before == set()
            assert kept.handle in left
        is_over = True

    assert await revoking.revoke_all("ann", keep=kept) >= 0
    assert [it.handle for it in await signing.devices("ann")] == [kept.handle]


async def test_stamp(store: PostgresStore, witness: Witness) -> None:
    """A login that has checked the old password is found, though it commits afterwards."""
    async with (
        await AsyncConnection.connect(witness.conninfo, autocommit=True) as application,
        await AsyncConnection.connect(witness.conninfo) as change,
    ):
        await application.execute("CREATE TABLE account (id text, password text, number int4)")
        try:
            await application.execute("INSERT INTO account VALUES ('ann', 'old', 1)")
            there = await store.login(None, Login("ann", stamp="1"), Changes())

            # The login checks the password.
            found = await application.execute("SELECT password, number::text FROM account")
            [password, stamp] = await found.fetchone() or ("", "")
            assert password == "old"

            # Then the password is changed, and the user is signed out everywhere.
            await change.execute("UPDATE account SET password = 'new', number = number + 1")
            assert await store.revoke_all("ann", connection=change) == 1
            await change.commit()

            # Then the login commits.
            key = await store.login(None, Login("ann", stamp=stamp), Changes())

            entry = await store.get(key)
            assert entry is not None
            assert entry.signed_in is not None
            found = await application.execute("SELECT number::text FROM account")
            assert await found.fetchone() != (entry.signed_in.stamp,)
            assert await store.get(there) is None
        finally:
            await application.execute("DROP TABLE account")


async def test_no_deadlock(make_store: Callable[..., PostgresStore], witness: Witness) -> None:
    """Transactions of the application's that end a user's sessions are in no deadlock.

    Two of them and the batches of two stores want the same rows, again and again.
    """
    stores = [make_store(), make_store()]
    conninfo = make_conninfo(witness.conninfo, options="-csearch_path=pg_temp")
    rounds, until = 0, time.monotonic() + 12
    async with (
        await AsyncConnection.connect(conninfo) as one,
        await AsyncConnection.connect(conninfo) as other,
    ):
        while rounds < 200 and time.monotonic() < until:
            keys = await asyncio.gather(
                *(stores[0].login(None, Login("ann"), Changes()) for _ in range(12))
            )
            writes = [_write(store, key) for store in stores for key in sorted(keys, reverse=True)]
            results = await asyncio.gather(
                _revoke(stores[0], one), _revoke(stores[1], other), *writes
            )
            assert sum(results[:2]) == len(keys)
            assert await stores[0].devices("ann") == []
            rounds += 1
    print(f"{rounds} rounds")
    assert rounds >= 50


async def _revoke(store: PostgresStore, connection: AsyncConnection) -> int:
    ended = await store.revoke_all("ann", connection=connection)
    await connection.commit()
    return ended


async def _write(store: PostgresStore, key: str) -> int:
    try:
        await store.merge(key, Changes({"a": 1}))
    except SessionNotFoundError:
        return 0
    return 1
