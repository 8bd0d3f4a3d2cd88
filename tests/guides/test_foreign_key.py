"""The page about a foreign key: the deletion of a user ends their sessions."""

import re

import psycopg
import pytest
from psycopg.errors import DatatypeMismatch, ForeignKeyViolation, InvalidTextRepresentation

from pgsession import Changes, PostgresStore, UnknownUserError
from pgsession.core.login import Login
from tests.guides.conftest import client
from tests.project.conftest import Names
from tests.project.documents import Document

PAGE = Document("docs/how-to/foreign-key.md")
(PROGRAM,) = PAGE.programs
_, BY_TEXT, END_STRANGERS, BY_NUMBER = PAGE.statements


def test_page(names: Names, accounts: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """An account that is deleted is signed out, and nobody signs in to it any more."""
    accounts.execute("DROP TABLE account")
    accounts.execute(PAGE.statements[0])
    accounts.execute(BY_TEXT)
    monkeypatch.setenv("SESSION_DATABASE_URL", accounts.info.dsn)
    with client(names(PROGRAM)) as visitor:
        assert visitor.post("/sign-in/ann").status_code == 403
        assert "set-cookie" not in visitor.post("/sign-in/ann").headers
        assert visitor.post("/accounts/ann").status_code == 200
        assert visitor.get("/account").json() == "ann"
        assert visitor.post("/accounts/ann").status_code == 409
        visitor.delete("/accounts/ann")
        assert visitor.get("/account").json() is None


async def test_statements(accounts: psycopg.Connection) -> None:
    """The statements make the key, for users with a text and for users with a number."""
    async with PostgresStore(accounts.info.dsn) as store:
        await store.login(None, Login("eve"), Changes())
        with pytest.raises(ForeignKeyViolation):
            accounts.execute(BY_TEXT)
        accounts.execute(END_STRANGERS)
        accounts.execute(BY_TEXT)
        await store.login(None, Login("ann"), Changes())
        with pytest.raises(UnknownUserError):
            await store.login(None, Login("eve"), Changes())
        accounts.execute("DELETE FROM account")
        assert await store.devices("ann") == []

        accounts.execute("DROP TABLE account CASCADE")
        accounts.execute("CREATE TABLE account (id bigint PRIMARY KEY)")
        accounts.execute("INSERT INTO account VALUES (7)")
        with pytest.raises(DatatypeMismatch):
            accounts.execute(BY_TEXT)
        for user_id in ("7", "8", "ann"):
            await store.login(None, Login(user_id), Changes())
        with pytest.raises(InvalidTextRepresentation):
            accounts.execute(BY_NUMBER)
        accounts.execute(END_STRANGERS)
        accounts.execute(BY_NUMBER)
        assert len(await store.devices("7")) == 1
        with pytest.raises(UnknownUserError):
            await store.login(None, Login("ann"), Changes())
        accounts.execute("DELETE FROM account")
        assert await store.devices("7") == []


def test_figures() -> None:
    """The page names the SQLSTATEs of these errors."""
    codes = re.findall(r"\((\d\w{4})\)", PAGE.text)

    assert codes == [
        error.sqlstate
        for error in (ForeignKeyViolation, InvalidTextRepresentation, DatatypeMismatch)
    ]
