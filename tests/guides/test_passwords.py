"""The page about a change of the password: who is out, and who cannot undo it."""

import ast
from datetime import timedelta
from threading import current_thread
from typing import Any
from urllib.parse import urlencode

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import text as sql_text
from sqlalchemy.ext.asyncio import create_async_engine

from pgsession import Changes, PostgresStore, Session, SessionSettings
from pgsession.core.keys import digest
from pgsession.core.login import Login
from tests.guides.conftest import client
from tests.project.conftest import Names
from tests.project.documents import Document

PAGE = Document("docs/how-to/passwords.md")
CHANGE, SQLALCHEMY, KEYWORDS = PAGE.programs
ENDING = Document("docs/how-to/devices-of-a-user.md").programs[1]


def test_change(
    names: Names, accounts: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two browsers list each other; a change of the password ends the other one."""
    monkeypatch.setenv("SESSION_DATABASE_URL", accounts.info.dsn)
    program = names(CHANGE)
    jars: dict[str, Any] = {"laptop": {}, "phone": {}}
    with client(program) as visitor:

        def ask(browser: str, method: str, path: str, **form: str) -> Any:
            visitor.cookies = jars[browser]
            response = visitor.request(method, path, json=form)
            jars[browser] = visitor.cookies
            return response.json() if response.status_code == 200 else response.status_code

        assert ask("laptop", "POST", "/sign-in", user="ann", password="his") == 403
        assert ask("laptop", "GET", "/devices") == 401
        for device in jars:
            name = f"{device}\0" + 300 * " "
            ask(device, "POST", "/sign-in", user="ann", password="old", device=name)

        listed = ask("phone", "GET", "/devices")
        assert [each[1:] for each in listed] == [["phone", True], ["laptop", False]]
        assert ask("laptop", "POST", "/password", password="new") == 1
        assert ask("phone", "GET", "/devices") == 401
        assert ask("laptop", "GET", "/devices") == [[listed[1][0], "laptop", True]]

        accounts.execute("UPDATE session SET login_on = login_on - interval '11 min'")
        assert ask("laptop", "POST", "/password", password="newer") == 403
        assert ask("laptop", "POST", "/confirm", password="old") == 403
        assert ask("laptop", "POST", "/confirm", password="new") == {}
        assert ask("laptop", "POST", "/password", password="newer") == 0

        # As after a login that has checked the old password.
        accounts.execute("UPDATE account SET stamp = stamp + 1")
        assert ask("laptop", "GET", "/devices") == 401
        assert accounts.execute("SELECT FROM session").rowcount == 0


@pytest.mark.parametrize(
    "body",
    ["x", "[]", "{}", '{"user": 5}', r'{"user": "\u0000"}', r'{"user": "\ud800"}', '{"user": ""}'],
)
def test_bad_form(
    names: Names, accounts: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    """What is no form of texts is a 400, and an empty password is none."""
    monkeypatch.setenv("SESSION_DATABASE_URL", accounts.info.dsn)
    with client(names(CHANGE)) as visitor:
        full = body.replace("}", ', "password": "old"}') if "user" in body else body
        assert visitor.post("/sign-in", content=full).status_code == 400
        visitor.post("/sign-in", json={"user": "ann", "password": "old"})
        bad = body.replace("user", "password")
        assert visitor.post("/password", content=bad).status_code == 400
        assert visitor.get("/devices").status_code == 200


def test_unknown_name(
    names: Names, accounts: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The password is checked, in a thread, also for a name that does not exist."""
    monkeypatch.setenv("SESSION_DATABASE_URL", accounts.info.dsn)
    program = names(CHANGE)
    checked: list[tuple[str, str]] = []

    def verify(password: str, stored: str) -> bool:
        assert current_thread().name == "AnyIO worker thread"
        checked.append((password, stored))
        return True

    monkeypatch.setitem(program["is_right"].__globals__, "verify", verify)
    with client(program) as visitor:
        form = {"user": "nobody", "password": "old"}
        assert visitor.post("/sign-in", json=form).status_code == 403
        form["user"] = "ann"
        forged = {"sec-fetch-site": "cross-site"}
        assert visitor.post("/sign-in", json=form, headers=forged).status_code == 403
        assert visitor.post("/sign-in", json=form).status_code == 200
    assert checked == [("old", program["NOBODY"]), ("old", "old")]


@pytest.mark.parametrize(
    "statement",
    ["UPDATE account SET stamp = stamp + 1 WHERE id = 'ann'", "DELETE FROM session"],
    ids=["changed", "signed-out"],
)
def test_late_change(
    names: Names, accounts: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    """A device that another one has signed out meanwhile does not change the password."""
    monkeypatch.setenv("SESSION_DATABASE_URL", accounts.info.dsn)
    program = names(CHANGE)
    is_fresh = Session.is_fresh

    def is_fresh_late(session: Session, within: timedelta) -> bool:
        accounts.execute(statement)
        return is_fresh(session, within)

    with client(program) as visitor:
        visitor.post("/sign-in", json={"user": "ann", "password": "old"})
        with monkeypatch.context() as patch:
            patch.setattr(Session, "is_fresh", is_fresh_late)
            assert visitor.post("/password", json={"password": "mine"}).status_code == 403

        assert visitor.get("/devices").status_code == 401
    found = accounts.execute("SELECT password FROM account WHERE id = 'ann'").fetchone()
    assert found == ("old",)
    assert accounts.execute("SELECT FROM session").rowcount == 0


def test_page_during_change(
    names: Names, accounts: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that read the session before a change of the password does not end it."""
    monkeypatch.setenv("SESSION_DATABASE_URL", accounts.info.dsn)
    program = names(CHANGE)
    user_of = program["user_of"]
    is_late = False

    async def user_of_late(session: Session) -> str:
        nonlocal is_late
        is_late = True
        accounts.execute("UPDATE account SET stamp = 2 WHERE id = 'ann'")
        accounts.execute("UPDATE session SET login_stamp = '2'")
        user: str = await user_of(session)
        return user

    with client(program) as visitor:
        visitor.post("/sign-in", json={"user": "ann", "password": "old"})
        monkeypatch.setitem(user_of.__globals__, "user_of", user_of_late)

        assert len(visitor.get("/devices").json()) == 1
    assert is_late


async def run_fragment(text: str, names: dict[str, Any]) -> None:
    """Run a fragment with these names."""
    code = compile(text, "fragment", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    await eval(code, names)  # noqa: S307 - the project's own page


async def test_ending_users(accounts: psycopg.Connection) -> None:
    """The fragments that end a user's sessions do so: with the store, and from SQLAlchemy."""
    url = f"postgresql://?{urlencode(conninfo_to_dict(accounts.info.dsn))}"
    settings = SessionSettings(
        secret_key="a secret of more than thirty-two bytes", database_url=url
    )
    async with PostgresStore(accounts.info.dsn) as store:
        names: dict[str, Any] = {"settings": settings, "store": store}
        for fragment in (ENDING, SQLALCHEMY):
            keys = [await store.login(None, Login("ann"), Changes()) for _ in range(3)]
            names |= {"user_id": "ann", "handle": digest(keys[0]), "session": None}

            await run_fragment(fragment, names)

            assert await store.devices("ann") == []
    await names["engine"].dispose()
    assert accounts.execute("SELECT stamp FROM account WHERE id = 'ann'").fetchone() == (2,)


async def test_sqlalchemy_with_keywords(accounts: psycopg.Connection) -> None:
    """The engine for a conninfo of libpq's keywords reaches the same database."""
    settings = SessionSettings(
        secret_key="a secret of more than thirty-two bytes", database_url=accounts.info.dsn
    )
    names: dict[str, Any] = {"settings": settings, "create_async_engine": create_async_engine}
    exec(compile(KEYWORDS, "fragment", "exec"), names)  # noqa: S102 - the project's own page
    async with names["engine"].connect() as connection:
        found = await connection.execute(sql_text("SELECT stamp FROM account WHERE id = 'ann'"))
        assert found.scalar() == 1
    await names["engine"].dispose()


async def test_ending_by_sql(accounts: psycopg.Connection) -> None:
    """The statements of the page end the sessions of a user: all but one, or all."""
    _, ordered, plain = PAGE.statements
    async with PostgresStore(accounts.info.dsn) as store:
        keys = [await store.login(None, Login("ann"), Changes()) for _ in range(4)]
        accounts.execute(ordered.replace("$1", "'ann'").replace("$2", f"'{digest(keys[2])}'"))
        assert [it.handle for it in await store.devices("ann")] == [digest(keys[2])]
        accounts.execute(plain)
        assert await store.devices("ann") == []
