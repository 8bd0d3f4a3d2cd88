"""The programs of docs/how-to/switching-over.md do what the page says."""

import json
from base64 import b64encode
from datetime import date

import psycopg
from itsdangerous import TimestampSigner
from psycopg import sql
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from pgsession import MemoryStore, SessionMiddleware, SessionSettings
from tests.project.conftest import Names
from tests.project.documents import Document

WHOLE, ACCEPT, SOURCE = Document("docs/how-to/switching-over.md").programs

SECRET = "a secret of more than thirty-two bytes"


def test_program(names: Names, database_url: str, migrated_schema: str) -> None:
    """The first program keeps the session of a visitor, and signs the user in."""
    names_of = names(WHOLE)
    content = b64encode(json.dumps({"name": "Ann", "user_id": 7}).encode())
    old = TimestampSigner("the secret_key of the old middleware").sign(content).decode()
    cookies = {"session": old}

    with TestClient(names_of["app"], base_url="https://testserver", cookies=cookies) as visitor:
        assert visitor.get("/").text == "Ann, user 7"

    query = sql.SQL("SELECT count(*) FROM {} WHERE verifier IS DISTINCT FROM 'adopted'")
    with psycopg.connect(database_url) as connection:
        found = connection.execute(query.format(sql.Identifier(migrated_schema, "session")))
        assert found.fetchall() == [(1,)]


async def test_accept() -> None:
    """The second one tells users apart by the date of their password, and accepts visitors."""

    async def password_changed_on(user_id: str) -> date:
        return {"ann": date(2026, 12, 31), "bob": date(2027, 1, 1)}[user_id]

    scope = {"date": date, "password_changed_on": password_changed_on}
    exec(ACCEPT, scope)  # noqa: S102 - the project's own page

    assert await scope["accept"]({"user_id": "ann"})  # type: ignore[operator] # a function of the page
    assert await scope["accept"]({"cart": [1]})  # type: ignore[operator] # as above
    assert not await scope["accept"]({"user_id": "bob"})  # type: ignore[operator] # as above


def test_source(names: Names) -> None:
    """The third one reads sessions of its own."""
    files = names(SOURCE)["Files"]({"0" * 32: {"user": "ann"}}, until=date(2100, 1, 1))
    settings = SessionSettings(secret_key=SECRET, predecessor=files)

    async def show(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.session.get("user", "nobody"))

    app = Starlette(routes=[Route("/", show)])
    app.add_middleware(SessionMiddleware, store=MemoryStore(), settings=settings)
    for value, user in (("0" * 32, "ann"), ("1" * 32, "nobody"), ("0", "nobody")):
        visitor = TestClient(app, base_url="https://testserver", cookies={"session": value})
        assert visitor.get("/").text == user
