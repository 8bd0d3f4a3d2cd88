"""docs/concepts/request.md: the statements of each request in its table."""

import re
from collections.abc import Callable

import pytest
from httpx import AsyncClient, Response

from pgsession import PostgresStore, Session, SessionSettings
from tests.applications import SECRET
from tests.pages import NAME, fill, key_of, login, logout, pop, read
from tests.project.documents import Document

#: What a request does, and the statements that the page says for it.
ROWS = dict(
    re.findall(
        r"^\| ((?:has|is|reads|stores|changes|signs|removes|repeats) [^|]+) \| ([^|]+) \|$",
        Document("docs/concepts/request.md").text,
        re.MULTILINE,
    )
)

#: The verb of a statement that changes something.
_CHANGE = re.compile(r"\b(INSERT) INTO |\b(UPDATE) \S+ AS |\b(DELETE) FROM ")

FORGED = {"cookie": f"{NAME}={'k' * 40}...1800000000.{'s' * 43}"}

Visit = Callable[..., AsyncClient]


def change(session: Session) -> None:
    session["n"] = session.get("n", 0) + 1


def sign_in(session: Session) -> None:
    session.login("ann")


def said(statements: list[str]) -> str:
    """Return statements as the page names them."""
    verbs = (
        next(filter(None, found.groups())) if (found := _CHANGE.search(each)) else "SELECT"
        for each in statements
    )
    return ", ".join(f"`{verb}`" for verb in verbs) or "none"


@pytest.mark.parametrize("row", ROWS)
async def test_statements(
    visit: Visit, counted: PostgresStore, statements: list[str], row: str
) -> None:
    """Each row of the table names the statements that such a request runs, in order."""
    due = 0 if "expiry is due" in row else None
    settings = SessionSettings(
        secret_key=SECRET, exclude=["/health"], csrf_protection=True, touch_after=due
    )
    browser = visit(counted, fill, change, read, login, sign_in, logout, pop, settings=settings)
    has_cookie = "no cookie" not in row and "forged" not in row
    if has_cookie:
        await browser.get("/fill")
    if row.startswith("repeats"):
        await counted.clear(key_of(browser))
        await browser.get("/read")
    if "its session was not found" in row:
        await counted.clear(key_of(browser))
    statements.clear()

    await _request(browser, row)

    assert said(statements) == ROWS[row].partition(", for")[0]


async def _request(browser: AsyncClient, row: str) -> Response:
    match row:
        case "is rejected by `csrf_protection`":
            return await browser.post("/fill", headers={"sec-fetch-site": "cross-site"})
        case "has a forged cookie":
            return await browser.get("/read", headers=FORGED)
    pages = {
        "stores nothing": "/read",
        "is on a path in `exclude`": "/health",
        "stores something": "/fill",
        "uses no session": "/elsewhere",
        "reads the session": "/read",
        "stores what is there": "/fill",
        "changes the session": "/change",
        "and signs in": "/sign_in",
        "signs in, or renews the key": "/login",
        "signs out": "/logout",
        "removes the last member": "/pop",
        "repeats a cookie": "/read",
    }
    return await browser.get(next(page for words, page in pages.items() if words in row))
