"""Functions and operators of other roles are never called (CVE-2018-1058).

Every role may create them in ``public`` on servers that were made before PostgreSQL 15. If
one is a better match than the server's own, or stands first in the search_path, a statement
that does not name the schema calls it, with the rights of the application.
"""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import Connection, sql
from psycopg.conninfo import make_conninfo

from pgsession import Changes, PostgresStore
from pgsession.core.keys import digest
from pgsession.core.store import Written
from pgsession.errors import ValueTooLargeError
from pgsession.postgres.schema import migrate
from tests.programs import pgsession

ROOT = Path(__file__).parents[2]

#: All our SQL, and the Python around it.
SOURCE = "".join(
    path.read_text(encoding="utf-8")
    for path in (
        *(ROOT / "src/pgsession/postgres").rglob("*.py"),
        *(ROOT / "src/pgsession/cli").glob("*.py"),
        *(ROOT / "migrations").glob("*.sql"),
    )
)

#: Every name that is followed by a bracket: the functions of our SQL are among them.
CALLED = sorted(set(re.findall(r"\b([a-z_0-9]+)\(", SOURCE)))

#: The types that our statements use, and those to which an implicit cast leads.
TYPES = (
    *("text", "varchar", "bpchar", "name", "char", "json", "jsonb", "bytea", "bool"),
    *("int2", "int4", "int8", "float4", "float8", "numeric", "oid", "tid", "regclass"),
    *("timestamptz", "timestamp", "date", "interval", "_text", "_name", "_char", "unknown"),
)

#: Copies of the server's own functions, with the same arguments. An aggregate's copy is none,
#: so a call of it as one fails too.
FUNCTIONS = """
SELECT DISTINCT
    p.proname::text,
    pg_get_function_identity_arguments(p.oid),
    format_type(p.prorettype, NULL),
    p.proretset
FROM pg_proc AS p
WHERE p.pronamespace = 'pg_catalog'::regnamespace
  AND p.proname = ANY (%s)
  AND p.prokind = 'f'
  AND NOT EXISTS (
      SELECT
      FROM unnest(coalesce(p.proallargtypes, p.proargtypes::oid[]) || p.prorettype) AS it (oid)
      JOIN pg_type AS t ON t.oid = it.oid
      WHERE t.typtype = 'p' OR p.provariadic <> 0 OR p.proargmodes IS NOT NULL
  )
"""

#: Functions that match better than the server's, where an argument is cast implicitly.
BETTER = """
SELECT DISTINCT
    p.proname::text,
    p.proargnames,
    p.pronargs,
    format_type(p.prorettype, NULL)
FROM pg_proc AS p
JOIN pg_type AS t ON t.oid = p.prorettype AND t.typtype <> 'p'
WHERE p.pronamespace = 'pg_catalog'::regnamespace
  AND p.proname = ANY (%s)
  AND p.prokind = 'f'
  AND p.pronargs BETWEEN 1 AND 2
  AND p.proargmodes IS NULL
"""

OPERATORS = """
SELECT o.oprname::text, l.typname::text, r.typname::text, format_type(o.oprresult, NULL)
FROM pg_operator AS o
JOIN pg_type AS l ON l.oid = o.oprleft
JOIN pg_type AS r ON r.oid = o.oprright
WHERE o.oprnamespace = 'pg_catalog'::regnamespace
  AND l.typname = ANY (%(types)s)
  AND r.typname = ANY (%(types)s)
"""

BODY = "LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'shadowed: %'; END $$"


def shadow(connection: Connection, schema: str) -> int:
    """Fill a schema with copies that raise; return how many there are."""
    connection.execute(sql.SQL("SET search_path TO {}, pg_catalog").format(sql.Identifier(schema)))
    made = 0
    for name, arguments, result, is_set in connection.execute(FUNCTIONS, (CALLED,)).fetchall():
        returned = f"SETOF {result}" if is_set else result
        made += create(connection, f'"{name}"({arguments}) RETURNS {returned}', name)
    for name, names, count, result in connection.execute(BETTER, (CALLED,)).fetchall():
        for kind in ("numeric", "int4", "int8", "text", "varchar", "interval", "timestamptz"):
            labels = (names or [""] * count)[:count]
            arguments = ", ".join(f"{label} pg_catalog.{kind}" for label in labels)
            made += create(connection, f'"{name}"({arguments}) RETURNS {result}', name)
    for kind in ("numeric", "int4", "int8"):  # it is called with one of its many arguments
        arguments = f"secs pg_catalog.{kind}"
        made += create(connection, f"make_interval({arguments}) RETURNS interval", "make_interval")
    operators = connection.execute(OPERATORS, {"types": list(TYPES)}).fetchall()
    for number, (name, left, right, result) in enumerate(operators):
        one, other = f'pg_catalog."{left}"', f'pg_catalog."{right}"'
        made += create(connection, f"o{number}({one}, {other}) RETURNS {result}", name)
        connection.execute(
            f"CREATE OPERATOR {name} (LEFTARG = {one}, RIGHTARG = {other}, FUNCTION = o{number})"
        )
    return made


def create(connection: Connection, signature: str, name: str) -> bool:
    """Create a function that raises; return False if there is one like it."""
    body = BODY.replace("%", name.replace("%", "%%"))
    try:
        connection.execute(f"CREATE FUNCTION {signature} {body}")
    except (psycopg.errors.DuplicateFunction, psycopg.errors.InvalidFunctionDefinition):
        return False
    return True


@pytest.fixture
def shadows(database_url: str, schema: str) -> Iterator[str]:
    """A schema full of shadows."""
    name = f"{schema}_shadows"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
        assert shadow(connection, name) > 500
    yield name
    with psycopg.connect(database_url, autocommit=True) as connection:
        # One after the other: a transaction cannot lock them all.
        connection.execute(
            sql.SQL(
                "DO $$ DECLARE it record; BEGIN FOR it IN SELECT oid::regprocedure AS name "
                "FROM pg_proc WHERE pronamespace = {}::regnamespace LOOP "
                "EXECUTE format('DROP FUNCTION %s CASCADE', it.name); END LOOP; END $$"
            ).format(sql.Literal(name))
        )
        connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))


@pytest.fixture(params=["first", "last"])
def url(request: pytest.FixtureRequest, database_url: str, shadows: str, schema: str) -> str:
    """A conninfo whose search_path has the shadows before or behind the server's own."""
    parts = [shadows, "pg_catalog"] if request.param == "first" else ["pg_catalog", shadows]
    return make_conninfo(database_url, options=f"-csearch_path={','.join([*parts, schema])}")


@pytest.mark.parametrize("named", [True, False], ids=["schema", "search_path"])
async def test_shadowed(url: str, schema: str, named: bool) -> None:
    """No operation, migration or command calls a function or an operator of another schema."""
    where = schema if named else None
    with psycopg.connect(url, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.RaiseException, match="shadowed"):
            connection.execute("SELECT make_interval(secs => 1)")
        connection.execute(
            sql.SQL(
                "CREATE TABLE {}.session (session_key char(40), expire_date timestamptz, "
                "session_data text)"
            ).format(sql.Identifier(schema))
        )
    if named:
        migrate(url, schema=where)
    else:  # the table is found through the search_path, where it cannot be made
        migrate(re.sub(r"search_path=\S+?(?=['\s]|$)", f"search_path={schema}", url))

    async with PostgresStore(url, schema=where, max_lifetime=3600) as store:
        keys = [await store.generate({"n": n}, period=60, granted=True) for n in range(4)]
        await store.merge(keys[0], Changes(set={"m": 1}, removed={"n"}), period=60, granted=False)
        await store.touch(keys[0])
        assert await store.take(keys[0], "m") == 1
        assert await store.clear(keys[0], only_if_empty=True)
        async with store.exclusive(keys[1]) as held:
            await held.merge(keys[1], Changes(set={"m": 2}))
        heir = await store.renew(keys[1], Changes(set={"h": 1}))
        await gathered(store, [heir, *keys[2:]])
        await store.generate(period=-1)
        assert (await store.sweep()).rows == 1
        await store.clear(heir)
        with psycopg.connect(url) as holding:
            await beside_a_locked_row(store, holding, schema)
    async with PostgresStore(url, schema=where, value_limit=100) as store:
        await past_the_limit(store)

    for name in ("check", "sweep"):
        await asyncio.to_thread(command, name, url, where)


async def beside_a_locked_row(store: PostgresStore, holding: Connection, schema: str) -> None:
    """Do everything that skips locked rows."""
    held, *keys = [await store.generate({"n": n}) for n in range(6)]
    lock = sql.SQL(
        "SELECT FROM {}.session WHERE session_key OPERATOR(pg_catalog.=) %s FOR UPDATE"
    ).format(sql.Identifier(schema))
    holding.execute(lock, (digest(held),))
    waiting = asyncio.ensure_future(store.touch(held))
    await asyncio.gather(*map(store.touch, keys))  # in the same batch
    await gathered(store, keys[:2])
    assert await store.take(keys[0], "n") == 1
    assert not await store.clear(keys[0], only_if_empty=True)
    await asyncio.gather(*(store.clear(key) for key in keys[:2]))
    await store.show(keys[2], 0)
    assert await store.rotate(keys[2], 0, grace=-60) == 1
    assert await store.get_newest(keys) is not None
    await store.clear(keys[2])
    await store.clear(*keys[3:])
    holding.rollback()
    await waiting


async def past_the_limit(store: PostgresStore) -> None:
    """Do everything that measures values, and remove many members."""
    key = await store.generate({str(n): 1 for n in range(9)})
    merges = (store.merge(key, Changes(set={str(n): "x" * 20})) for n in range(9))
    results = await asyncio.gather(*merges, return_exceptions=True)
    assert {type(result) for result in results} == {Written, ValueTooLargeError}
    await store.merge(key, Changes(removed=[str(n) for n in range(200)]))


def command(name: str, url: str, schema: str | None) -> None:
    """Run `pgsession NAME`, which must succeed."""
    variables = {"SESSION_DATABASE_URL": url, "SESSION_SECRET_KEY": "s" * 32}
    done = pgsession(name, **variables, **({} if schema is None else {"SESSION_SCHEMA": schema}))
    assert done.returncode == 0, done.stdout + done.stderr


async def gathered(store: PostgresStore, keys: list[str]) -> None:
    """Do everything that goes in batches, in batches."""
    made = await asyncio.gather(*(store.generate({"n": n}) for n in range(3)))
    assert all(await asyncio.gather(*map(store.get, [*keys, *made])))
    await asyncio.gather(*(store.merge(key, Changes(set={"x": 1})) for key in keys))
    renewed = await asyncio.gather(*map(store.renew, made))
    await asyncio.gather(*map(store.clear, [*renewed, "unknown"]))
