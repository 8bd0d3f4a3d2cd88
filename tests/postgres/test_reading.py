"""What the statements that read sessions tell of each kind of row."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import pytest
from psycopg import Connection

from pgsession.core.login import SignedIn
from pgsession.postgres.rows import Row
from pgsession.postgres.statements.reading import Reading
from pgsession.postgres.statements.text import Wording
from pgsession.postgres.table_name import TableName

KEY: Final = "k" * 40
OTHER: Final = "o" * 40
MARKED: Final = 'a "quoted" \\ name,\t\u2028\u007f\U0001f600\u0001'
HOUR: Final = timedelta(hours=1)
EPOCH: Final = timedelta(0)
DAY: Final = timedelta(days=1)

#: What roles and databases may have set, and what no answer may depend on.
ODD_SETTINGS: Final = """
SET LOCAL extra_float_digits = -15;
SET LOCAL DateStyle = 'German, MDY';
SET LOCAL IntervalStyle = 'sql_standard';
SET LOCAL TimeZone = 'Africa/Monrovia';
SET LOCAL bytea_output = 'escape';
"""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of row: what is set, and what an entry of it must have."""

    changes: str
    granted: timedelta | None = None
    number: int = 0
    shown_for: timedelta | None = None
    idle: timedelta = EPOCH
    user: tuple[str, timedelta, int, str | None, str | None, str | None, bool, bool] | None = None


def user(
    name: str = "ann",
    age: timedelta = HOUR,
    *texts: str | None,
    is_bound: bool = False,
    has_device: bool = False,
) -> tuple[str, timedelta, int, str | None, str | None, str | None, bool, bool]:
    """Return what is told of a user with one login."""
    stamp, label, actor = texts or (None, None, None)
    return name, age, 1, stamp, label, actor, is_bound, has_device


SIGNED: Final = "user_id = 'ann', login_number = 1, login_on = now() - interval '1 h'"
KINDS: Final = {
    "visitor": Kind("verifier = NULL"),
    "period": Kind("period = '31 days 1 microsecond'", granted=timedelta(31, 0, 1)),
    "numbered": Kind("key_number = 2147483647", number=2_147_483_647),
    "shown": Kind(
        "shown_on = now() - interval '1 h', seen_on = now() - interval '1 d'",
        shown_for=HOUR,
        idle=DAY,
    ),
    "shown later": Kind(
        "shown_on = 'infinity', seen_on = now() + interval '1 d'", shown_for=EPOCH, idle=EPOCH
    ),
    "user": Kind(SIGNED, user=user()),
    "all of a user": Kind(
        f"{SIGNED}, login_stamp = '', login_label = E'\\n', login_actor = 'root', period = '1 h',"
        " key_number = 7, shown_on = now() - interval '1 h', seen_on = now() - interval '1 d'",
        granted=HOUR,
        number=7,
        shown_for=HOUR,
        idle=DAY,
        user=user("ann", HOUR, "", "\n", "root"),
    ),
    "by an application": Kind(
        "user_id = 'ann', login_number = 1, created_on = now() - interval '1 d'",
        user=user("ann", DAY),
    ),
    "signs in later": Kind(
        "user_id = 'ann', login_number = 1, login_on = 'infinity'", user=user("ann", EPOCH)
    ),
    "device": Kind(f"{SIGNED}, device_key = '{{}}', device_login = 1", user=user(has_device=True)),
    "bound": Kind(
        f"{SIGNED}, device_key = '{{}}', device_login = 1, device_proved_on = now()",
        user=user(is_bound=True, has_device=True),
    ),
    "bound before": Kind(
        f"{SIGNED}, device_key = '{{}}', device_login = 0, device_proved_on = now()", user=user()
    ),
}


def read(table: Connection, wording: Wording) -> list[Row]:
    """Return the row of the key as each of the statements reads it."""
    reading = Reading(wording)
    among = ((reading._select, f"{KEY},{OTHER}"), (reading._select_newest, KEY))  # noqa: SLF001 - what `fetch` executes
    rows = []
    for statement, wanted in ((reading._select_one, KEY), *among):  # noqa: SLF001 - as above
        rows += [Row(*row) for row in table.execute(statement, (wanted,)).fetchall()]
    return rows


def told(found: SignedIn | None, now: int) -> object:
    """Return what is told of a user, with the clock compared instead of shown."""
    if found is None:
        return None
    assert found.since + found.age == now
    assert found.now is None or abs(found.now * 1_000_000 - now) <= 500_000
    texts = (found.stamp, found.label, found.actor_id)
    age, has_device = found.authenticated_for, found.now is not None
    return found.user_id, age, found.login_number, *texts, found.is_bound, has_device


@pytest.mark.parametrize("settings", ["", ODD_SETTINGS], ids=["usual", "odd settings"])
@pytest.mark.parametrize("is_distributed", [False, True], ids=["plain", "distributed"])
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_kinds(
    table: Connection, migrated_schema: str, kind: Kind, is_distributed: bool, settings: str
) -> None:
    """Each statement tells the same of a row, whatever it holds and whatever is set."""
    wording = Wording(TableName(migrated_schema), is_distributed=is_distributed)
    with table.transaction(force_rollback=True):
        table.execute(settings.encode())
        [(now,)] = table.execute("SELECT (extract(epoch FROM now()) * 1000000)::int8").fetchall()
        table.execute(
            "INSERT INTO session (session_key, session_data, expire_date)"
            " SELECT unnest(%s::text[]), '{\"a\": 1}', now() + interval '1 d'",
            ([KEY, "x" * 40],),
        )
        table.execute(f"UPDATE session SET {kind.changes} WHERE session_key = '{KEY}'".encode())  # noqa: S608 - of constants

        rows = read(table, wording)

    assert len(rows) == 3
    for row in rows:
        entry = row.entry()
        assert entry is not None
        assert (row.key, entry.value, entry.period) == ((KEY, None), {"a": 1}, DAY)
        assert (entry.granted, entry.lifetime, entry.number) == (kind.granted, None, kind.number)
        assert (entry.shown_for, entry.idle) == (kind.shown_for, kind.idle)
        assert told(entry.signed_in, now) == kind.user
    assert (rows[0].more is None) == (kind is KINDS["visitor"])


@pytest.mark.parametrize("column", ["user_id", "login_stamp", "login_label", "login_actor"])
def test_texts(table: Connection, migrated_schema: str, column: str) -> None:
    """Texts of a user come back as they are stored, whatever characters they have."""
    with table.transaction(force_rollback=True):
        table.execute(
            "INSERT INTO session (session_key, expire_date, user_id)"
            " VALUES (%s, now() + interval '1 d', 'ann')",
            (KEY,),
        )
        table.execute(f"UPDATE session SET {column} = %s".encode(), (MARKED,))  # noqa: S608 - of constants
        rows = read(table, Wording(TableName(migrated_schema)))

    name = {"user_id": "user_id", "login_actor": "actor_id"}.get(column, column[len("login_") :])
    entries = [row.entry() for row in rows]
    assert [getattr(entry and entry.signed_in, name) for entry in entries] == [MARKED] * 3


@pytest.mark.parametrize(
    ("lifetime", "inactivity"),
    [pytest.param(2 * HOUR, None, id="lifetime"), pytest.param(None, 2 * HOUR, id="inactivity")],
)
def test_limited(
    table: Connection,
    migrated_schema: str,
    lifetime: timedelta | None,
    inactivity: timedelta | None,
) -> None:
    """A visitor's row tells its age where that is limited, and the entry ends with the limit."""
    place = TableName(migrated_schema)
    wording = Wording(place, max_lifetime=lifetime, max_inactivity=inactivity)
    with table.transaction(force_rollback=True):
        table.execute(
            "INSERT INTO session (session_key, expire_date, created_on, seen_on) VALUES"
            " (%s, now() + interval '1 d', now() - interval '1 h', now() - interval '1 h')",
            (KEY,),
        )
        rows = read(table, wording)

    entries = [row.entry(max_lifetime=lifetime, max_inactivity=inactivity) for row in rows]
    assert [entry and entry.period for entry in entries] == [HOUR] * 3
