"""How the driver's errors are translated: by SQLSTATE, not by class."""

import psycopg
import pytest
from psycopg import errors as driver
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from pgsession.errors import (
    SchemaError,
    SessionError,
    StoreBusyError,
    StoreClosedError,
    StoreRejectedError,
    StoreUnavailableError,
)
from pgsession.postgres.connections.failures import (
    LockedRowError,
    NodeLostError,
    RefusedValueError,
    Retries,
    StatementCanceledError,
    Verdict,
    judge,
    translated,
    unreachable,
)

#: A driver's error may quote this; our errors must not.
PRIVATE = "hunter2"

MEANINGS = {
    StoreUnavailableError: """
        08000 08006 08P01 53000 53100 53200 53300 57P01 57P02 57P03 57P05
        25006 25P03 25P04 40001 40P01 58000 58030
    """,
    LockedRowError: "55P03",
    StatementCanceledError: "57014",
    SchemaError: "3F000 42P01 42703 42804 42501 42883 22001 23514",
    # For these, neither a retry nor a change of the table helps.
    RefusedValueError: "22003 22007 22008 22P02 23503",
    SessionError: "0A000 22015 22P05 23505 26000 42601 42P05 54001 XX000",
}


@pytest.mark.parametrize(
    ("state", "meaning"),
    [
        pytest.param(state, meaning, id=f"{state} {driver.lookup(state).__name__}")
        for meaning, states in MEANINGS.items()
        for state in states.split()
    ],
)
def test_sqlstate(state: str, meaning: type[SessionError]) -> None:
    """Each SQLSTATE maps to one error class; our message names it without quoting the driver's."""
    ours = translated(driver.lookup(state)(PRIVATE))

    assert type(ours) is meaning
    assert state in str(ours)
    assert PRIVATE not in str(ours)


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        pytest.param(PoolTimeout(PRIVATE), StoreBusyError, id="no connection free in time"),
        pytest.param(TooManyRequests(PRIVATE), StoreBusyError, id="queue full"),
        pytest.param(PoolClosed(PRIVATE), StoreClosedError, id="pool closed"),
        pytest.param(psycopg.OperationalError(PRIVATE), StoreUnavailableError, id="refused"),
        pytest.param(psycopg.InterfaceError(PRIVATE), StoreUnavailableError, id="closed"),
        pytest.param(psycopg.DataError(PRIVATE), SessionError, id="parameter"),
        pytest.param(psycopg.ProgrammingError(PRIVATE), SessionError, id="misuse"),
        pytest.param(psycopg.Error(PRIVATE), SessionError, id="anything"),
    ],
)
def test_no_sqlstate(error: psycopg.Error, meaning: type[SessionError]) -> None:
    """Errors of the pool and of the connection have no SQLSTATE; they are translated by class."""
    ours = translated(error)

    assert type(ours) is meaning
    assert PRIVATE not in str(ours)


VERDICTS = {
    Verdict.LOST: "08000 08003 08006 08P01 57P01 57P02 57P05 25P03 25P04",
    Verdict.STALE: "25006 0A000",
    Verdict.ROLLED_BACK: "40001 40P01",
    Verdict.UNAVAILABLE: "53100 53300 55P03 57014 57P03 58030",
    Verdict.ASTRAY: "26000 42P05",
    Verdict.WRONG: "22P02 23505 42501 42601 42P01 54001 XX000",
}


@pytest.mark.parametrize(
    ("state", "verdict"),
    [
        pytest.param(state, verdict, id=f"{state} {driver.lookup(state).__name__}")
        for verdict, states in VERDICTS.items()
        for state in states.split()
    ],
)
def test_verdict(state: str, verdict: Verdict) -> None:
    """An SQLSTATE has one verdict."""
    assert judge(driver.lookup(state)()) is verdict


def test_node_lost(database_url: str) -> None:
    """An error about a connection that does not end this one is about a node behind the server."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        with pytest.raises(driver.ConnectionFailure) as lost:
            connection.execute("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '08006'; END $$")

        assert judge(lost.value) is Verdict.NODE_LOST
        assert isinstance(translated(lost.value), NodeLostError)
        with pytest.raises(driver.AdminShutdown) as ended:
            connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        assert judge(ended.value) is Verdict.LOST


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        pytest.param(PoolTimeout(), Verdict.UNAVAILABLE, id="no connection free in time"),
        pytest.param(TooManyRequests(), Verdict.UNAVAILABLE, id="queue full"),
        pytest.param(PoolClosed(), Verdict.WRONG, id="pool closed"),
        pytest.param(psycopg.OperationalError(), Verdict.LOST, id="connection failed"),
        pytest.param(psycopg.InterfaceError(), Verdict.LOST, id="connection closed"),
        pytest.param(psycopg.DataError(), Verdict.WRONG, id="parameter"),
    ],
)
def test_verdict_without_sqlstate(error: psycopg.Error, verdict: Verdict) -> None:
    """An error without an SQLSTATE is judged by its class."""
    assert judge(error) is verdict


@pytest.mark.parametrize(
    ("verdicts", "idempotent", "attempts"),
    [
        pytest.param([Verdict.LOST] * 3, True, 2, id="lost, idempotent"),
        pytest.param([Verdict.LOST] * 3, False, 1, id="lost"),
        pytest.param([Verdict.STALE] * 3, False, 2, id="stale"),
        pytest.param([Verdict.STALE, Verdict.LOST], True, 2, id="stale, then lost"),
        pytest.param([Verdict.ASTRAY] * 3, False, 2, id="astray"),
        pytest.param([Verdict.ROLLED_BACK] * 9, False, 4, id="rolled back"),
        pytest.param([Verdict.LOST, *[Verdict.ROLLED_BACK] * 9], True, 5, id="lost, rolled back"),
        pytest.param([Verdict.UNAVAILABLE] * 2, True, 1, id="not now"),
        pytest.param([Verdict.WRONG] * 2, True, 1, id="wrong"),
    ],
)
def test_retries(verdicts: list[Verdict], idempotent: bool, attempts: int) -> None:
    """An operation that fails in this way is attempted this many times."""
    retries = Retries(idempotent=idempotent)
    made = 1

    for verdict in verdicts:
        if retries.pause(verdict) is None:
            break
        made += 1

    assert made == attempts


#: What libpq says of an attempt, for several hosts and for one.
ATTEMPT = "- host: '{}', port: '5432', hostaddr: '{}': connection failed: {}"

WRONG_PASSWORD = 'FATAL:  password authentication failed for user "ann"'
REFUSED = "Connection refused"


def several(*attempts: tuple[str, str, str]) -> str:
    """Return what psycopg says if all of several attempts have failed."""
    lines = [ATTEMPT.format(*attempt) for attempt in attempts]
    return "\n".join(
        [attempts[-1][2], "Multiple connection attempts failed. All failures were:", *lines]
    )


@pytest.mark.parametrize(
    ("reason", "is_rejection"),
    [
        (WRONG_PASSWORD, True),
        ('FATAL:  "trust" authentication failed', True),
        ("fe_sendauth: no password supplied", True),
        ("server does not support SSL, but SSL was required", True),
        ("FATAL:  no such database: app", True),
        ("FATAL:  no such user: ann", True),
        ('FATAL:  database "app" does not exist', True),
        ("FATAL:  unsupported startup parameter: options", True),
        ('FATAL:  unrecognized configuration parameter "nix"', True),
        ('definition of service "nix" not found', True),
        ('FATAL:  RADIUS authentication failed for user "ann"', False),
        ('FATAL:  LDAP authentication failed for user "ann"', False),
        (several(("a", "1", REFUSED), ("a", "2", WRONG_PASSWORD)), False),
        ("FATAL:  the database system is starting up", False),
        ("FATAL:  sorry, too many clients already", False),
        (REFUSED, False),
        (several(("a", "1", WRONG_PASSWORD), ("b", "2", WRONG_PASSWORD)), True),
        (several(("a", "1", WRONG_PASSWORD), ("b", "2", REFUSED)), False),
        (several(("localhost", "::1", REFUSED), ("localhost", "127.0.0.1", WRONG_PASSWORD)), True),
        (several(("localhost", "::1", REFUSED), ("localhost", "127.0.0.1", REFUSED)), False),
    ],
)
def test_unreachable(reason: str, is_rejection: bool) -> None:
    """What does not pass by itself is told from what may."""
    error = unreachable(psycopg.OperationalError(f"connection failed: {reason}"))

    assert isinstance(error, StoreRejectedError) == is_rejection
