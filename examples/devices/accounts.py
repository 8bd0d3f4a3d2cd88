"""The accounts: a table of this application's, beside that of the sessions."""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import AsyncConnection, Rollback, sql
from psycopg.errors import UniqueViolation
from psycopg.rows import class_row, scalar_row
from psycopg_pool import AsyncConnectionPool
from starlette.requests import HTTPConnection

from pgsession import PostgresStore, Session, SessionNotFoundError, get_session

from .passwords import hash_password, is_password

CREATE = """
CREATE TABLE IF NOT EXISTS account (
    id text PRIMARY KEY,
    name text NOT NULL,
    password text NOT NULL,
    password_number integer NOT NULL DEFAULT 1
);
ALTER TABLE account ADD COLUMN IF NOT EXISTS is_admin boolean NOT NULL DEFAULT false;
CREATE UNIQUE INDEX IF NOT EXISTS account_name_idx ON account (lower(name));
"""

# With this key, deleting an account ends its sessions in the same transaction. The sessions that
# are in the table already need not belong to an account.
REFER = """
ALTER TABLE {table} ADD CONSTRAINT session_account_fkey
    FOREIGN KEY (user_id) REFERENCES account ON DELETE CASCADE NOT VALID
"""

IS_REFERRED = """
SELECT FROM pg_constraint
WHERE conname = 'session_account_fkey' AND conrelid = %s::regclass
"""

ADD_ADMIN = """
INSERT INTO account (id, name, password, is_admin) VALUES (%s, %s, %s, true)
ON CONFLICT DO NOTHING
"""

FIND = """
SELECT id FROM account WHERE starts_with(lower(name), lower(%s)) ORDER BY lower(name) LIMIT %s
"""

SET_STAMP = """
UPDATE {table} SET login_stamp = %s
WHERE session_key = %s AND user_id = %s AND login_stamp = %s
"""


class NotSignedInError(Exception):
    """The page is for users who are signed in."""


#: What `register` makes. Anything else in an address is no account.
ID = re.compile("[0-9a-f]{32}")

#: No password has this hash. It is checked for a name that does not exist.
NO_PASSWORD = "c2FsdA==$"


@dataclass(frozen=True, slots=True)
class Account:
    """One account."""

    id: str
    name: str
    password: str
    #: One more with each change of the password.
    password_number: int
    #: May see who is signed in, and end sessions of others. Nobody becomes one on the pages.
    is_admin: bool = False

    @property
    def stamp(self) -> str:
        """The stamp of the sessions that signed in with the current password."""
        return str(self.password_number)


class Accounts:
    """The table of accounts, and the sessions that belong to them."""

    def __init__(
        self, pool: AsyncConnectionPool[AsyncConnection], store: PostgresStore, sessions: str
    ) -> None:
        self._pool = pool
        self.store = store
        self._sessions = sessions
        self._set_stamp = sql.SQL(SET_STAMP).format(table=sql.Identifier(sessions))

    async def prepare(self) -> None:
        """Create the table if it is missing, and the foreign key of the table of sessions."""
        async with self._pool.connection() as connection, connection.transaction():
            # Several processes may start at the same time.
            await connection.execute("SELECT pg_advisory_xact_lock(hashtext('account'))")
            await connection.execute(CREATE)
            if not (await connection.execute(IS_REFERRED, [self._sessions])).rowcount:
                table = sql.Identifier(self._sessions)
                await connection.execute(sql.SQL(REFER).format(table=table))

    async def register(self, name: str, password: str) -> Account | None:
        """Create an account. Return None if the name is taken."""
        account = Account(secrets.token_hex(16), name, await hash_password(password), 1)
        values = (account.id, account.name, account.password)
        async with self._pool.connection() as connection:
            try:
                await connection.execute(
                    "INSERT INTO account (id, name, password) VALUES (%s, %s, %s)", values
                )
            except UniqueViolation:
                return None
        return account

    async def add_admin(self, name: str, password: str) -> None:
        """Create the account of an administrator, unless an account has that name already."""
        values = (secrets.token_hex(16), name, await hash_password(password))
        async with self._pool.connection() as connection:
            await connection.execute(ADD_ADMIN, values)

    async def get(self, account_id: str) -> Account | None:
        """Return an account by its id."""
        if not ID.fullmatch(account_id):
            return None
        return await self._fetch("SELECT * FROM account WHERE id = %s", account_id)

    async def find(self, beginning: str, *, most: int) -> list[str]:
        """Return the ids of the accounts whose name begins with a text, in any case."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=scalar_row)
            await cursor.execute(FIND, [beginning, most])
            return await cursor.fetchall()

    async def names(self, account_ids: Sequence[str]) -> dict[str, str]:
        """Return the names of accounts by their ids."""
        async with self._pool.connection() as connection:
            query = "SELECT id, name FROM account WHERE id = ANY (%s)"
            return dict(await (await connection.execute(query, [account_ids])).fetchall())

    async def check(self, name: str, password: str) -> Account | None:
        """Return the account with this name and password. An unknown name takes as long."""
        account = await self._fetch("SELECT * FROM account WHERE lower(name) = lower(%s)", name)
        stored = NO_PASSWORD if account is None else account.password
        return account if await is_password(password, stored) else None

    async def of(self, session: Session) -> Account | None:
        """Return the account that is signed in, or None.

        A sign-in that checked the old password may commit just after a change of the
        password has ended all sessions. The stamp of such a session is the old one: it ends
        here, and leaves the list of devices.
        """
        if session.user_id is None:
            return None
        account = await self._fetch("SELECT * FROM account WHERE id = %s", session.user_id)
        if account is not None and account.stamp == session.stamp:
            return account
        try:
            await session.reload()  # a change of the password may have set the stamp meanwhile
        except SessionNotFoundError:
            return None
        if account is not None and account.stamp == session.stamp:
            return account
        session.logout()
        return None

    async def change_password(self, account: Account, password: str, session: Session) -> bool:
        """Change a password and end all sessions of the account but one: both, or neither.

        Return False, and change nothing, if the password was changed by another device
        meanwhile, or if this session was ended. The session takes the new stamp in the same
        transaction: a login could bring it back that is ended just after.
        """
        hashed = await hash_password(password)
        async with self._pool.connection() as connection, connection.transaction() as transaction:
            changed = await connection.execute(
                "UPDATE account SET password = %s, password_number = password_number + 1"
                " WHERE id = %s AND password_number = %s",
                (hashed, account.id, account.password_number),
            )
            kept = await connection.execute(
                self._set_stamp,
                (str(account.password_number + 1), session.handle, account.id, account.stamp),
            )
            done = changed.rowcount == kept.rowcount == 1
            if not done:
                raise Rollback(transaction)
            await self.store.revoke_all(account.id, keep=session, connection=connection)
        return done

    async def delete(self, account: Account) -> None:
        """Delete an account. The foreign key ends its sessions."""
        async with self._pool.connection() as connection:
            await connection.execute("DELETE FROM account WHERE id = %s", [account.id])

    async def _fetch(self, query: str, value: str) -> Account | None:
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(Account))
            await cursor.execute(query, [value])
            return await cursor.fetchone()


def accounts_of(connection: HTTPConnection) -> Accounts:
    """Return the accounts of the application that answers."""
    accounts = connection.app.state.accounts
    assert isinstance(accounts, Accounts)
    return accounts


async def account_of(connection: HTTPConnection) -> Account:
    """Return the account that is signed in. Raises `NotSignedInError` for a visitor."""
    account = await accounts_of(connection).of(get_session(connection))
    if account is None:
        raise NotSignedInError
    return account
