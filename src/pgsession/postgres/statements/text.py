"""How the statements are written: for one table, and with the limits of one store.

Each statement is keyed by ``session_key``, names its columns with casts, asks for a
living row where it means a living session, and lets the database compute times, in
seconds. None is an upsert, and none updates ``session_key``.

Functions, operators and types are named with their schema: another role may have
put some of the same name into a schema of the search_path (CVE-2018-1058).

On a distributed table (Citus) each statement also compares the key directly where
it means one row, returns no result of a function that is not immutable, and puts
none into a CASE.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from datetime import timedelta
from functools import lru_cache
from operator import attrgetter
from typing import Final

import msgspec
from psycopg import sql
from psycopg.rows import TupleRow

from pgsession.core.period import MAX_PERIOD
from pgsession.core.value import DEFAULT_VALUE_LIMIT, encode_text
from pgsession.errors import SchemaError
from pgsession.postgres.connections.canceling import canceling_after
from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.connections.execution import Answer, execute
from pgsession.postgres.connections.statement import Statement
from pgsession.postgres.rows import Draft, Edit
from pgsession.postgres.table_name import TableName

#: Seconds that a statement waits for a row that another transaction has locked. It is far less
#: than deadlock_timeout, so two batches that wait for each other are both free again before.
PATIENCE: Final = 0.1

#: The same where a statement skips locked rows. A foreign key may still make it wait.
SHORT_PATIENCE: Final = 0.002

#: Seconds after which no statement of a batch waits for rows any more. Each is canceled sooner, see
#: `Statements.reword`; the rest is for a request to cancel that arrives late.
LONGEST_WAIT: Final = 1.0

# A limit of the role's or the database's does not count. It ends with the statement. As a subquery
# it is set once, before any row is locked.
_PATIENTLY: Final = """
(SELECT pg_catalog.set_config('lock_timeout', '{milliseconds}ms', true)) IS NOT NULL"""

#: The sessions of one user, in a statement that calls the table `s`.
OF_USER: Final = "s.user_id OPERATOR(pg_catalog.=) %(user_id)s::pg_catalog.text"

#: The condition that a device has registered its key since the last login, in the same.
HAS_DEVICE: Final = """(
            s.device_key IS NOT NULL
            AND s.device_login OPERATOR(pg_catalog.=) s.login_number
        ) IS TRUE"""

#: The condition that its binding is in force.
IS_BOUND: Final = f"""(
            s.device_proved_on IS NOT NULL
            AND {HAS_DEVICE}
        )"""

_NAMES: Final = re.compile(r"\{table\}|\{name\}")

_SHIFTED: Final = """(
      {moment} OPERATOR(pg_catalog.{sign}) pg_catalog.make_interval(secs => {seconds})
  )"""

# Applications may set dates so late that there is none after them.
_LATER: Final = """least(
        {row}.{column},
        pg_catalog.now() OPERATOR(pg_catalog.+) pg_catalog.make_interval(secs => {farthest})
    ) OPERATOR(pg_catalog.+) pg_catalog.make_interval(secs => {seconds})"""


class Wording(msgspec.Struct, frozen=True):
    """What the statements on a table depend on."""

    name: TableName
    max_lifetime: timedelta | None = None
    max_inactivity: timedelta | None = None
    value_limit: int = DEFAULT_VALUE_LIMIT
    #: In a transaction ``now()`` is when it began, which may be long ago: there, it is
    #: "statement_timestamp".
    clock: str = "now"
    #: Whether a statement stops waiting for a locked row after `PATIENCE` seconds.
    is_patient: bool = False
    #: Seconds that a session must live on for an UPDATE that may wait for its row. The conditions
    #: are judged before the wait, so the UPDATE could extend a session that expires meanwhile.
    longest_wait: float = LONGEST_WAIT
    #: Whether the table is a distributed one, of Citus.
    is_distributed: bool = False

    def living(self, row: str) -> str:
        """Return the condition that a row, by its name in the statement, is of a living session."""
        return self.later(row, self.bounds())

    def bounds(self, moment: str = "pg_catalog.now()", *, seconds: float = 0.0) -> dict[str, str]:
        """Return what each of some columns must be later than in the row of a living session.

        With `seconds`, of one that lives for so long from `moment` on, even if nothing
        extends it.
        """
        if seconds:
            moment = _SHIFTED.format(moment=moment, sign="+", seconds=_literal(seconds))
        return {"expire_date": moment} | {
            column: _SHIFTED.format(moment=moment, sign="-", seconds=_literal(limit))
            for column, limit in self._limits()
        }

    @staticmethod
    def later(row: str, bounds: Mapping[str, str]) -> str:
        """Return the condition that columns of a row are later than these expressions."""
        return "\n  AND ".join(
            f"{row}.{column} OPERATOR(pg_catalog.>) {bound}" for column, bound in bounds.items()
        )

    def end(self, row: str) -> str:
        """Return the expression for the moment at which a session ends if nothing extends it."""
        ends, farthest = [f"{row}.expire_date"], _literal(MAX_PERIOD.total_seconds())
        for column, limit in self._limits():
            later = _LATER.replace("{seconds}", _literal(limit)).replace("{column}", column)
            ends.append(later.replace("{row}", row).replace("{farthest}", farthest))
        return f"least({', '.join(ends)})" if len(ends) > 1 else ends[0]

    def _limits(self) -> Iterable[tuple[str, float]]:
        """Yield what limits a session beside its expiry: since when, and how many seconds."""
        for column, limit in (
            ("created_on", self.max_lifetime),
            ("seen_on", self.max_inactivity),
        ):
            if limit is not None:
                yield column, limit.total_seconds()

    def patiently(self, seconds: float | None = None) -> str:
        """Return a condition that is always true, and limits the wait for each lock to `seconds`.

        None stands for `PATIENCE`. Without `is_patient` there is no limit.
        """
        seconds = PATIENCE if seconds is None else seconds
        if not self.is_patient or self.is_distributed:
            return "true"
        return _PATIENTLY.format(milliseconds=round(seconds * 1000))

    def write(self, statement: str, **parts: str) -> Statement:
        """Return a statement with its parts filled in: constants, and what the methods return.

        A part may contain the name of a later one.
        """
        for part, text in {**parts, "limit": str(self.value_limit)}.items():
            statement = statement.replace("{" + part + "}", text)
        if "{living}" in statement:
            statement = statement.replace("{living}", self.living("s"))
        statement = statement.replace("pg_catalog.now()", f"pg_catalog.{self.clock}()")
        # The name comes last, as it may hold anything, and in one pass. A % in it must not start
        # a parameter.
        names = _names(self.name)
        written = _NAMES.sub(lambda match: names[match[0]], statement)
        return Statement(written.encode())


class Statements:
    """Statements of one kind, on one table."""

    def __init__(self, wording: Wording) -> None:
        #: Whether they are prepared on connections that allow it.
        self.prepared: bool = True
        self.reword(wording)

    def reword(self, wording: Wording) -> None:
        """Write the statements, again if it turns out that something else is needed."""
        # lock_timeout limits each wait, and there may be several: for each row of a batch, and for
        # each transaction that changes one row. It limits no wait for the table, and does not
        # reach the nodes of a distributed one. So a request to cancel ends the statement.
        self._patience: float | None = None
        if wording.is_patient:
            self._patience = PATIENCE if wording.is_distributed else 1.5 * PATIENCE

    async def _rows(
        self,
        connection: Connection,
        statement: Statement,
        arguments: Sequence[object] | Mapping[str, object],
    ) -> list[TupleRow]:
        """Execute a statement that waits for no other transaction; return what it found."""
        answer = await execute(connection, statement, arguments, prepare=self.prepared)
        return answer.rows

    async def _locking(
        self,
        connection: Connection,
        statement: Statement,
        arguments: Sequence[object] | Mapping[str, object],
        *,
        skipping: bool,
        is_kept: bool = True,
        committed_apart: bool = False,
    ) -> Answer:
        """Execute a statement that may have to wait for other transactions.

        Raises `LockNotAvailable` if it had to wait for too long; then it has
        changed nothing. One that skips locked rows does not wait for them.
        Only one that `is_kept` is prepared.
        One that is `committed_apart` is committed by a statement of its own, which
        is not canceled.
        """
        prepared = self.prepared and is_kept
        if self._patience is None or skipping:
            return await execute(connection, statement, arguments, prepare=prepared)
        transaction = connection.transaction() if committed_apart else nullcontext()
        async with transaction, canceling_after(connection, self._patience):
            return await execute(connection, statement, arguments, prepare=prepared)


def batch(records: Sequence[Draft] | Sequence[Edit]) -> str:
    """Write records as one JSON text, in key order, so that all batches lock rows alike."""
    ordered = sorted(records, key=attrgetter("session_key"))
    return encode_text(ordered).decode("utf-8")


def single(record: Draft | Edit) -> dict[str, object]:
    """Return a record as parameters. JSON is passed as text: bytes would become bytea."""
    parameters = msgspec.structs.asdict(record)
    for name, part in parameters.items():
        if isinstance(part, msgspec.Raw | msgspec.Struct):
            parameters[name] = encode_text(part).decode("utf-8")
        elif isinstance(part, tuple):
            parameters[name] = list(part)
    return parameters


def dropped() -> SchemaError:
    """Return the error for a row that is not there after it was made."""
    return SchemaError(
        "A new session could not be stored: a trigger or a rule on the table keeps its row "
        "out; drop it."
    )


def kept() -> SchemaError:
    """Return the error for a row that is still there after it was removed."""
    return SchemaError(
        "A session could not be removed: row security, a trigger or a rule on the table keeps its "
        "row; drop it."
    )


@lru_cache(maxsize=8)
def _names(table: TableName) -> dict[str, str]:
    """Return what stands for the table in a statement, and for its name as a value."""
    name = table.identifier.as_string()
    names = {"{table}": name, "{name}": sql.Literal(name).as_string()}
    return {part: text.replace("%", "%%") for part, text in names.items()}


def _literal(number: float) -> str:
    return f"{number!r}::pg_catalog.float8"
