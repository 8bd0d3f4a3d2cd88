"""Requests that fail because of the table or the role's privileges: what the log says of them."""

from collections.abc import AsyncIterator, Callable

import pytest
from httpx import AsyncClient
from psycopg import Connection
from starlette.exceptions import HTTPException

from pgsession import PostgresStore, SchemaError, Session
from tests.pages import fill, logout, read


@pytest.fixture
async def granted(
    database_url: str, migrated_schema: str, table: Connection
) -> AsyncIterator[PostgresStore]:
    """An open store of a role of its own, which is called as the schema."""
    role = migrated_schema
    table.execute(f"CREATE ROLE {role}".encode())
    try:
        table.execute(f"GRANT USAGE ON SCHEMA {migrated_schema} TO {role}".encode())
        table.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON session TO {role}".encode())
        async with PostgresStore(
            database_url, schema=migrated_schema, options=f"-crole={role}"
        ) as store:
            yield store
    finally:
        table.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())


async def save(session: Session) -> None:
    """Answers the error itself, so that it does not reach the middleware."""
    session["more"] = 1
    try:
        await session.save()
    except SchemaError:
        raise HTTPException(500) from None


@pytest.mark.parametrize(
    ("privilege", "page"),
    [("SELECT", read), ("INSERT", fill), ("UPDATE", save), ("DELETE", logout)],
)
async def test_privilege(  # noqa: PLR0917 - pytest passes them by name
    visit: Callable[..., AsyncClient],
    granted: PostgresStore,
    migrated_schema: str,
    table: Connection,
    caplog: pytest.LogCaptureFixture,
    privilege: str,
    page: Callable[[Session], object],
) -> None:
    """Requests without a privilege fail, and one ERROR line of pgsession says what to do."""
    client = visit(granted, fill, page, raises=False)
    if page is not fill:
        await client.get("/fill")
    table.execute(f"REVOKE {privilege} ON session FROM {migrated_schema}".encode())

    answers = {(await client.get(f"/{page.__name__}")).status_code for _ in range(5)}

    assert answers == {500}
    (record,) = [record for record in caplog.records if record.name == "pgsession"]
    assert record.levelname == "ERROR"
    fields = vars(record)
    assert (fields["pgsession_event"], fields["pgsession_requests"]) == ("table_unfit", 1)
    assert fields["pgsession_sqlstate"] == "42501"
    assert "lacks a privilege on the table session" in record.getMessage()
    assert "`pgsession check` names it" in record.getMessage()


@pytest.mark.parametrize(
    "statement", ["DROP TABLE session", "ALTER TABLE session DROP device_key"], ids=["table", "col"]
)
async def test_table(
    visit: Callable[..., AsyncClient],
    postgres: PostgresStore,
    table: Connection,
    caplog: pytest.LogCaptureFixture,
    statement: str,
) -> None:
    """Requests that do not find the table or a column fail, and one ERROR line says so."""
    client = visit(postgres, fill, read, raises=False)
    await client.get("/fill")
    table.execute(statement.encode())

    answers = {(await client.get("/read")).status_code for _ in range(5)}

    assert answers == {500}
    assert [record.levelname for record in caplog.records if record.name == "pgsession"] == [
        "ERROR"
    ]
    assert "run `pgsession migrate`" in caplog.text
