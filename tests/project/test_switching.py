"""The pages say how an application switches from session["user"] to session.login()."""

from typing import Final

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from pgsession import Changes, PostgresStore, Session, SessionMiddleware
from pgsession.core.keys import digest
from pgsession.core.login import Login
from tests.project.documents import Document

(FRAGMENT,) = Document("docs/operations/migrations.md").programs
(END_ALL,) = Document("docs/operations/migrations.md").statements
*_, TAKE_OVER = Document("docs/how-to/users.md").statements

SECRET: Final = "a secret of more than thirty-two bytes"


def session_of(request: Request) -> Session:
    session = request.session
    assert isinstance(session, Session)
    return session


async def log_in(request: Request) -> JSONResponse:
    session_of(request).login("ann")
    return JSONResponse(None)


async def sign_in_as_before(request: Request) -> JSONResponse:
    session = session_of(request)
    session.clear()
    session["user"] = "bob"
    session.renew()
    return JSONResponse(None)


async def sign_in_beside(request: Request) -> JSONResponse:
    exec(FRAGMENT, {"session": session_of(request)})  # noqa: S102 - the project's own page
    return JSONResponse(None)


async def show(request: Request) -> JSONResponse:
    session = session_of(request)
    return JSONResponse([session.user_id, session.get("user")])


ROUTES: Final = [Route(f"/{it.__name__}", it) for it in (sign_in_as_before, sign_in_beside)]


@pytest.fixture
def url(database_url: str, migrated_schema: str) -> str:
    """The database, with the schema of the table in its search_path."""
    return make_conninfo(database_url, options=f"-csearch_path={migrated_schema}")


@pytest.mark.parametrize(
    ("as_before", "seen", "left"),
    [
        pytest.param("sign_in_as_before", ["ann", "bob"], [None, None], id="as-before"),
        pytest.param("sign_in_beside", [None, "bob"], [None, "bob"], id="beside"),
    ],
)
def test_beside(url: str, as_before: str, seen: list[str | None], left: list[str | None]) -> None:
    """A sign-in the old way leaves the user of the row, unless it ends that session first."""
    app = Starlette(routes=[*ROUTES, Route("/log_in", log_in), Route("/", show)])
    app.add_middleware(SessionMiddleware, store=PostgresStore(url), secret_key=SECRET)
    with TestClient(app, base_url="https://testserver") as visitor:
        visitor.get("/log_in")
        visitor.get(f"/{as_before}")
        assert visitor.get("/").json() == seen

        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(END_ALL)
        assert visitor.get("/").json() == left


async def test_take_over(url: str) -> None:
    """The statement of the page signs the users of before in, and no visitor or other user."""
    async with PostgresStore(url) as store:
        before = await store.generate({"user": "ann", "theme": "dark"})
        visitor = await store.generate({"theme": "dark"})
        bob = await store.login(None, Login("bob"), Changes(set={"user": "ann"}))
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(TAKE_OVER)

        found = await store.get(visitor)
        assert found is not None
        assert found.signed_in is None
        for user_id, key in (("ann", before), ("bob", bob)):
            found = await store.get(key)
            assert found is not None
            assert found.signed_in is not None
            assert found.signed_in.stamp is None
            (device,) = await store.devices(user_id)
            assert device.handle == digest(key)
            assert device.created_at == device.authenticated_at == found.signed_in.authenticated_at
