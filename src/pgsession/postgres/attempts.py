"""The attempts to apply a migration while the table is in use."""

import time
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg import Connection

from pgsession.errors import SettingsError, StoreBusyError
from pgsession.postgres.connections.startup import Report
from pgsession.postgres.connections.statement import Statement
from pgsession.postgres.holders import Holder, described, find_holders
from pgsession.postgres.table_name import TableName

#: Seconds that a migration waits for a lock, and how many times it tries.
LOCK_TIMEOUT: Final = 2.0
TRIES: Final = 10

#: The bounds of `lock_timeout`: PostgreSQL counts milliseconds, and takes 0 for no limit.
_SHORTEST: Final = 0.001
_LONGEST: Final = 86_400.0

#: The pause between two tries, in lock timeouts.
_PAUSE: Final = 2

# After the lock of the migrations: another migration takes as long as it takes.
_LIMIT: Final = "SET LOCAL lock_timeout = {};\n"


@dataclass(frozen=True, slots=True)
class Attempts:
    """How long a migration waits for a lock, and how many times it tries.

    Raises `SettingsError` for numbers that cannot work.
    """

    lock_timeout: float
    tries: int
    report: Report

    def __post_init__(self) -> None:
        if not _SHORTEST <= self.lock_timeout <= _LONGEST:
            raise SettingsError("lock_timeout must be a number of seconds from 0.001 to 86400.")
        if self.tries < 1:
            raise SettingsError("tries must be at least 1.")

    @property
    def limit(self) -> bytes:
        """The statement that limits the waiting for each lock of a migration."""
        return _LIMIT.format(round(self.lock_timeout * 1000)).encode()

    def apply(self, connection: Connection, table: TableName, name: str, message: bytes) -> bool:
        """Send a migration's message; return False if another process has applied it already.

        Raises `StoreBusyError` if a lock was not free in time in any try.
        """
        held: frozenset[Holder] = frozenset()
        for number in range(1, self.tries + 1):
            if number > 1:
                self._give_way(held, table, number)
            before = find_holders(connection, table)
            try:
                return _sent(connection, table, message)
            except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
                connection.rollback()
            # A transaction that came after the try has not been in its way.
            held = before & find_holders(connection, table)
        raise StoreBusyError(
            f"The migration {name} could not lock the table {table} within "
            f"{self.lock_timeout:g} s, in {self.tries} tries. It changed nothing. The table is in "
            f"use by {described(held)}. {_remedy(held)}"
        )

    def _give_way(self, held: frozenset[Holder], table: TableName, number: int) -> None:
        pause = self.lock_timeout * _PAUSE
        self.report(
            f"The table {table} is in use by {described(held)}: "
            f"try {number} of {self.tries} follows in {pause:g} s."
        )
        time.sleep(pause)


def _sent(connection: Connection, table: TableName, message: bytes) -> bool:
    try:
        connection.execute(Statement(message))
    except psycopg.errors.UniqueViolation as error:
        if error.diag.table_name != table.record:
            raise
        connection.rollback()
        return False
    return True


def _remedy(held: frozenset[Holder]) -> str:
    if pids := sorted(holder.pid for holder in held if holder.pid is not None):
        end = ", ".join(f"pg_terminate_backend({pid})" for pid in pids)
        return f"Wait until it ends, or end it (SELECT {end}), and run `pgsession migrate` again."
    return (
        "Run `pgsession migrate` again; meanwhile, the view pg_locks shows who holds a lock on "
        "the table."
    )
