"""`pgsession check` sees what the table lost, and prints the statements that bring it back."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import psycopg
import pytest
from psycopg import AsyncConnection, Connection, sql
from psycopg.conninfo import make_conninfo

from pgsession import Changes, PostgresStore
from pgsession.cli.access import schemas_of
from pgsession.cli.check import examine
from pgsession.cli.findings import Finding, Verdict
from pgsession.cli.holding import Holder, old_holders, read_holders, read_sees_others
from pgsession.cli.inspection import Sample
from pgsession.cli.surroundings import check_holders, check_space
from pgsession.postgres.schema import migrate
from tests.cli.test_check import SECRET
from tests.contract.test_adopting import adoption
from tests.contract.test_binding import KEY, sign_in

#: A schema whose name needs quotes.
SCHEMA = 'We "b"'


async def checked(url: str, schema: str | None, table: str = "session") -> dict[str, Finding]:
    """Return the findings that are not in order, by their codes."""
    variables = {"SESSION_SECRET_KEY": SECRET}
    found = await examine(url, schema=schema, table=table, environment=variables)
    return {each.code: each for each in found if each.verdict is not Verdict.OK}


def statements_of(remedy: str) -> list[str]:
    """Return the statements in a remedy."""
    return re.findall(r"[A-Z]{4,} .*?;", remedy)


@pytest.fixture
def stranger(schema_connection: Connection) -> Iterator[str]:
    """A role with no privilege, whose name needs quotes, and a quoted schema for its table."""
    name = f'Nobody "{secrets.token_hex(8)}'
    schema = sql.Identifier(SCHEMA)
    role = sql.Identifier(name)
    schema_connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
    yield name
    schema_connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(schema))
    schema_connection.execute(sql.SQL("DROP OWNED BY {}").format(role))
    schema_connection.execute(sql.SQL("DROP ROLE {}").format(role))


@pytest.mark.parametrize("by_path", [False, True], ids=["schema", "search_path"])
async def test_grants(
    database_url: str, schema_connection: Connection, stranger: str, by_path: bool
) -> None:
    """Exactly the statements that are printed give a role without privileges all that it needs."""
    migrate(database_url, schema=SCHEMA, table="web_session")
    schema = None if by_path else SCHEMA
    path = '-csearch_path="We\\ ""b"""' if by_path else ""
    url = make_conninfo(database_url, user=stranger, options=path)
    finding = (await checked(url, schema, "web_session"))["privileges"]
    statements = statements_of(finding.remedy)
    assert len(statements) == 3
    assert " ".join(statements) == finding.remedy
    for statement in statements:
        schema_connection.execute(statement.encode())

    left = await checked(url, schema, "web_session")
    assert not {code for code in left if code.startswith(("privileges", "table"))}
    async with PostgresStore(url, schema=schema, table="web_session") as store:
        await everything(store)


async def everything(store: PostgresStore) -> None:
    """Call each operation that an application calls."""
    key = await store.generate({"a": 1})
    await store.merge(key, Changes(set={"b": 2}))
    await store.set(key, {"a": 1})
    await store.touch(key)
    key = await store.renew(key)
    await store.take(key, "a")
    async with store.exclusive(key):
        pass
    key, bound, verifier = await sign_in(store, key)
    assert await store.bind(bound, verifier, KEY) is not None
    assert await store.enforce(bound)
    key = await store.confirm(key)
    await store.rotate(key, 0, grace=60)
    await store.show(key, 1)
    assert len(await store.devices("ann")) == 1
    assert await store.revoke_all("ann") == 1
    adopted = await store.adopt(adoption())
    assert adopted is not None
    await store.clear(adopted.key)
    assert (await store.sweep()).is_whole


@pytest.mark.usefixtures("migrated_schema")
async def test_in_another_schema(database_url: str) -> None:
    """A table that is not on the search_path is found elsewhere."""
    url = make_conninfo(database_url, options="-csearch_path=pg_temp")

    finding = (await checked(url, None))["table.elsewhere"]

    assert "SESSION_SCHEMA" in finding.remedy


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        pytest.param("ALTER TABLE session RESET (fillfactor)", "fill-factor", id="fill factor"),
        pytest.param(
            "ALTER TABLE session RESET (vacuum_truncate, autovacuum_vacuum_scale_factor)",
            "storage-parameters",
            id="parameters",
        ),
        pytest.param(
            "ALTER TABLE session RESET (toast.vacuum_truncate)", "storage-parameters", id="TOAST"
        ),
        pytest.param(
            "ALTER TABLE session ALTER created_on DROP DEFAULT, ALTER key_number DROP NOT NULL",
            "defaults",
            id="defaults",
        ),
        pytest.param("CREATE INDEX ON session (seen_on)", "indexes.renewals", id="renewals"),
        pytest.param(
            "CREATE INDEX ON session (user_id) INCLUDE (verifier)", "indexes.renewals", id="include"
        ),
        pytest.param(
            "CREATE INDEX ON session ((session_data ->> 'a'))", "indexes.value", id="value"
        ),
        pytest.param(
            "CREATE INDEX ON session (user_id) WHERE seen_on IS NULL",
            "indexes.renewals",
            id="predicate",
        ),
        pytest.param(
            "ALTER TABLE session ADD UNIQUE (expire_date, session_key)",
            "indexes.renewals",
            id="UNIQUE",
        ),
        pytest.param(
            "ALTER TABLE session ADD EXCLUDE USING btree (expire_date WITH =)",
            "indexes.renewals",
            id="EXCLUDE",
        ),
        pytest.param("DROP INDEX session_user_id_idx", "indexes.users", id="users"),
        pytest.param("DROP INDEX session_key_hash_idx", "indexes.keys", id="keys"),
        pytest.param("DROP INDEX session_client_idx", "indexes.clients", id="clients"),
        pytest.param("CREATE UNIQUE INDEX ON session (user_id)", "indexes.unique", id="unique"),
        pytest.param(
            "ALTER TABLE session ADD EXCLUDE (login_actor WITH =)", "indexes.unique", id="exclude"
        ),
        pytest.param("ALTER TABLE session SET UNLOGGED", "storage", id="unlogged"),
        pytest.param(
            "ALTER TABLE session DROP CONSTRAINT session_pkey", "table.unfit", id="primary key"
        ),
        pytest.param(
            "ALTER TABLE session SET (autovacuum_enabled = off)", "autovacuum.table", id="vacuum"
        ),
    ],
)
async def test_brought_back(
    database_url: str, table: Connection, migrated_schema: str, damage: str, code: str
) -> None:
    """Each loss is one finding, and its statements bring it back."""
    url = make_conninfo(database_url, options=f"-csearch_path={migrated_schema}")
    table.execute(damage.encode())

    found = await checked(url, migrated_schema)

    assert set(found) == {code}
    statements = statements_of(found[code].remedy)
    assert statements
    for statement in statements:
        table.execute(statement.encode())
    assert await checked(url, migrated_schema) == {}


async def test_invalid_index(database_url: str, table: Connection, migrated_schema: str) -> None:
    """An index that CREATE INDEX CONCURRENTLY has left behind is found, and dropped."""
    url = make_conninfo(database_url, options=f"-csearch_path={migrated_schema}")
    async with PostgresStore(url) as store:
        await store.generate({})
    with pytest.raises(psycopg.errors.DivisionByZero):
        table.execute("CREATE INDEX CONCURRENTLY ON session ((1 / login_number))")

    found = await checked(url, migrated_schema)

    assert set(found) == {"indexes.invalid"}
    for statement in statements_of(found["indexes.invalid"].remedy):
        table.execute(statement.encode())
    assert await checked(url, migrated_schema) == {}


async def test_index_under_construction(
    database_url: str, table: Connection, migrated_schema: str
) -> None:
    """An index that is being built is no fault, and nobody is told to drop it."""
    url = make_conninfo(database_url, options=f"-csearch_path={migrated_schema}")
    table.execute("DROP INDEX session_key_hash_idx")
    building = "CREATE INDEX CONCURRENTLY session_key_hash_idx ON session USING hash (session_key)"
    async with (
        await AsyncConnection.connect(url) as holder,
        await AsyncConnection.connect(url, autocommit=True) as builder,
    ):
        await holder.execute("UPDATE session SET user_id = NULL")  # which the building waits for
        task = asyncio.create_task(builder.execute(building.encode()))
        while "indexes.building" not in (found := await checked(url, migrated_schema)):
            assert set(found) <= {"indexes.keys"}

        assert set(found) == {"indexes.building"}
        assert statements_of(found["indexes.building"].remedy) == []
        await holder.rollback()
        await task
    assert await checked(url, migrated_schema) == {}


async def test_copied(database_url: str, table: Connection, migrated_schema: str) -> None:
    """A copy by CREATE TABLE AS, which has lost everything, is brought back step by step."""
    table.execute("ALTER TABLE session RENAME TO old")
    table.execute("CREATE TABLE session AS SELECT * FROM old")
    table.execute("DROP TABLE old")
    url = make_conninfo(database_url, options=f"-csearch_path={migrated_schema}")

    for _ in range(4):
        for finding in (await checked(url, migrated_schema)).values():
            for statement in statements_of(finding.remedy):
                table.execute(statement.encode())

    assert await checked(url, migrated_schema) == {}


async def test_partitioned(database_url: str, table: Connection, migrated_schema: str) -> None:
    """The statements about the indexes of a partitioned table work on one."""
    for statement in (
        "ALTER TABLE session RENAME TO old",
        "CREATE TABLE session (LIKE old INCLUDING DEFAULTS) PARTITION BY HASH (session_key)",
        "ALTER TABLE session ADD PRIMARY KEY (session_key)",
        "CREATE TABLE part PARTITION OF session FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
        "DROP TABLE old",
        "CREATE INDEX ON session (expire_date)",
    ):
        table.execute(statement.encode())
    url = make_conninfo(database_url, options=f"-csearch_path={migrated_schema}")

    found = await checked(url, migrated_schema)
    assert set(found) == {
        "indexes.renewals",
        "indexes.users",
        "indexes.keys",
        "indexes.clients",
    }
    for finding in found.values():
        for statement in statements_of(finding.remedy):
            table.execute(statement.encode())

    assert await checked(url, migrated_schema) == {}


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[AsyncConnection]:
    """Yield a connection in autocommit."""
    async with await AsyncConnection.connect(url, autocommit=True) as connection:
        yield connection


async def test_holders(database_url: str) -> None:
    """A transaction that keeps dead rows is named, with its process, age and application."""
    url = make_conninfo(database_url, application_name="report")
    with psycopg.connect(url) as reader:
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT FROM pg_class")
        async with connected(database_url) as connection:
            holders = await read_holders(connection)
            assert await read_sees_others(connection)
        process = reader.info.backend_pid
        [holder] = [each for each in old_holders(holders, old=0.0) if each.pid == process]

    assert not {holder} & set(old_holders(holders))
    assert (holder.application_name, holder.state) == ("report", "idle in transaction")
    finding = check_holders([holder], sees_others=True)
    assert finding.verdict is Verdict.WARNING
    assert finding.remedy == f"SELECT pg_terminate_backend({process});"


async def test_hidden_holders(database_url: str, stranger: str) -> None:
    """A role that may not see the transactions of others does not claim that there are none."""
    migrate(database_url, schema=SCHEMA)
    async with connected(make_conninfo(database_url, user=stranger)) as connection:
        assert not await read_sees_others(connection)

    assert "not visible" in check_holders([], sees_others=False).text


def _holder(
    kind: str, *, name: str | None = None, pid: int | None = None, application_name: str = "psql"
) -> Holder:
    return Holder(kind, name, pid, "ann", application_name, "idle in transaction", 900.0, 7)


@pytest.mark.parametrize(
    ("holder", "remedy"),
    [
        (_holder("prepared transaction", name="ann's"), "ROLLBACK PREPARED 'ann''s';"),
        (_holder("replication slot", name="old"), "pg_drop_replication_slot('old')"),
        (_holder("transaction", pid=7, application_name="a\x1b[2Jb"), "pg_terminate_backend(7)"),
    ],
    ids=["prepared", "slot", "application"],
)
def test_described_holders(holder: Holder, remedy: str) -> None:
    """Each kind of holder has its remedy, and no name moves the cursor of a terminal."""
    finding = check_holders([holder], sees_others=True)

    assert remedy in finding.remedy
    assert finding.text.isprintable()


@pytest.mark.parametrize(
    ("sample", "verdict"),
    [
        pytest.param(Sample(10, 0, bytes=4000, pages=4095), Verdict.OK, id="small"),
        pytest.param(Sample(10, 0, bytes=4000, pages=5000), Verdict.WARNING, id="empty"),
        pytest.param(Sample(15_000, 0, bytes=6_000_000, pages=50_000), Verdict.OK, id="full"),
        pytest.param(Sample(1000, 0, bytes=400_000, pages=50_000), Verdict.WARNING, id="sparse"),
    ],
)
def test_space(sample: Sample, verdict: Verdict) -> None:
    """A large table of which most is free is a warning, a small one is not."""
    finding = check_space(sample, "web.session")

    assert finding.verdict is verdict
    assert ("VACUUM FULL web.session;" in finding.remedy) is (verdict is Verdict.WARNING)


@pytest.mark.parametrize(
    ("path", "schemas"),
    [
        ('"$user", public', ["ann", "public"]),
        ('"We ""b""", web', ['We "b"', "web"]),
        ('"a,b"', ["a,b"]),
        ("", []),
        ('WEB , "WEB",\u00c4b', ["web", "WEB", "\u00c4b"]),
        ('"' + "\u00e4" * 40 + '"', ["\u00e4" * 31]),
        ('"", web', ["", "web"]),
    ],
)
def test_schemas_of(path: str, schemas: list[str]) -> None:
    """The names of a search_path are read as PostgreSQL reads them."""
    assert schemas_of(path, "ann") == schemas
