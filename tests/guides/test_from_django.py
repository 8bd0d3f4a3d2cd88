"""The programs of docs/how-to/from-django.md: a Django project and Starlette with one login."""

import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg import Connection, sql
from starlette.testclient import TestClient

from pgsession.postgres.schema import migrate
from tests.guides.django_site import write_site
from tests.pages import NAME
from tests.project.documents import Document

PROGRAM, ONE_LOGIN, MIDDLEWARE = Document("docs/how-to/from-django.md").programs

pytest.importorskip("django", reason="Django is not installed")

Browser = Callable[[], TestClient]


@pytest.fixture(scope="module")
def url(database_url: str, schema_connection: Connection) -> Iterator[str]:
    """A database for the tests of this module: Django is set up once in a process."""
    schema = sql.Identifier("pgsession_test_django")
    schema_connection.execute(sql.SQL("CREATE SCHEMA {}").format(schema))
    migrate(database_url, schema="pgsession_test_django")
    yield make_conninfo(database_url, options="-csearch_path=pgsession_test_django")
    schema_connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(schema))


@pytest.fixture(scope="module")
def page(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The names of the program, with the users ann and bob in Django's table."""
    folder = tmp_path_factory.mktemp("site")
    write_site(folder, ONE_LOGIN, MIDDLEWARE)
    (folder / "app.py").write_text(PROGRAM, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("SESSION_DATABASE_URL", url)
        patch.setenv("SESSION_SECRET_KEY", "a secret of more than thirty-two bytes")
        patch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
        found = runpy.run_path(str(folder / "app.py"))
        from django.contrib.auth import get_user_model
        from django.core.management import call_command
        from django.db import connections

        call_command("migrate", run_syncdb=True, verbosity=0)
        for name in ("ann", "bob"):
            get_user_model().objects.create_user(name, password="sesame")
        connections.close_all()
        yield found
        for name in [each for each in sys.modules if each.partition(".")[0] == "mysite"]:
            del sys.modules[name]


@pytest.fixture
def browser(page: dict[str, Any]) -> Iterator[Browser]:
    """Opens browsers at the site."""
    with TestClient(page["app"], base_url="https://testserver") as first:
        yield lambda: TestClient(first.app, base_url="https://testserver")
