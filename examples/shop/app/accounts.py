# app/accounts.py
"""The accounts: a table beside that of the sessions."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from fastapi import Depends, FastAPI, Request
from psycopg import AsyncConnection
from psycopg.rows import class_row
from psycopg_pool import AsyncConnectionPool

hasher = PasswordHasher()

#: Checked for a name that does not exist, so that the answer takes as long.
NO_PASSWORD = hasher.hash("")


@dataclass(frozen=True, slots=True)
class Account:
    """One row of the table."""

    id: int
    name: str
    password: str  # its hash


class Accounts:
    """The table of accounts."""

    def __init__(self, url: str) -> None:
        self.pool = AsyncConnectionPool[AsyncConnection](url, open=False, timeout=5)

    @asynccontextmanager
    async def opened(self, _app: FastAPI) -> AsyncGenerator[None]:
        """Keep the connections open as long as the application runs."""
        async with self.pool:
            yield

    async def add(self, name: str, password: str) -> bool:
        """Add an account. Return False if the name is taken."""
        hashed = await asyncio.to_thread(hasher.hash, password)
        # If the name is taken, this adds no row, and is no error.
        query = "INSERT INTO account (name, password) VALUES (%s, %s) ON CONFLICT DO NOTHING"
        async with self.pool.connection() as connection:
            return (await connection.execute(query, [name, hashed])).rowcount == 1

    async def get(self, account_id: str) -> Account | None:
        """Return the account with this id."""
        async with self.pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(Account))
            # The user of a session is text; ::bigint makes it the number that the table has.
            await cursor.execute("SELECT * FROM account WHERE id = %s::bigint", [account_id])
            return await cursor.fetchone()

    async def check(self, name: str, password: str) -> Account | None:
        """Return the account with this name, if this is its password."""
        async with self.pool.connection() as connection:
            cursor = connection.cursor(row_factory=class_row(Account))
            await cursor.execute("SELECT * FROM account WHERE name = %s", [name])
            account = await cursor.fetchone()
        stored = NO_PASSWORD if account is None else account.password
        try:
            await asyncio.to_thread(hasher.verify, stored, password)
        except VerifyMismatchError:
            return None
        return account


def accounts_of(request: Request) -> Accounts:
    """Return the accounts of the application."""
    accounts: Accounts = request.app.state.accounts
    return accounts


AllAccounts = Annotated[Accounts, Depends(accounts_of)]
