"""docs/security/guarantees.md: it has the guarantees of the README, and each is proved."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from httpx import AsyncClient

from pgsession import MemoryStore, Session
from pgsession.postgres.statements.table import Table
from pgsession.postgres.statements.text import Wording
from pgsession.postgres.table_name import TableName
from tests.guides.figures import missing, word
from tests.pages import read
from tests.project.documents import README, Document

PAGE = Document("docs/security/guarantees.md")

#: The sections: the number of a guarantee, and the text of the section.
SECTIONS = re.findall(r"^## (\d+)\. [^\n]+\n(.*?)(?=^## |\Z)", PAGE.text, re.DOTALL | re.MULTILINE)


def worded(text: str) -> str:
    """Return a text in one line, without the marks of a quotation."""
    return " ".join(re.sub(r"^> ?", "", text, flags=re.MULTILINE).split())


def quoted(section: str) -> str:
    return worded("\n".join(re.findall(r"^>.*$", section, re.MULTILINE)))


def promised() -> list[str]:
    """Return the guarantees of the README, in order."""
    _, _, rest = README.text.partition("## Guarantees\n")
    items = re.findall(
        r"^\d+\. (.*?)(?=^\d+\. |\Z)", rest.partition("\n## ")[0], re.DOTALL | re.MULTILINE
    )
    return [worded(item) for item in items]


def test_agrees() -> None:
    """The page begins with the guarantees of the README, word for word and in their order."""
    assert promised()
    assert [quoted(section) for _, section in SECTIONS][: len(promised())] == promised()
    assert [int(number) for number, _ in SECTIONS] == list(range(1, len(SECTIONS) + 1))
    more = word(len(SECTIONS) - len(promised()))
    told = f"Numbers 1 to {len(promised())} are the main ones; the last {more} add to them."
    assert missing(PAGE.name, [told]) == []


def test_complete() -> None:
    """Each guarantee has its words, where it holds, what it does not say, and a test."""
    parts = ("\n> ", "**Where it holds.**", "**What it does not say.**", "**Tests.** `tests/")

    assert [
        (number, part) for number, section in SECTIONS for part in parts if part not in section
    ] == []


def statements() -> Iterator[str]:
    """Yield each statement of a store's requests, for an ordinary table and a distributed one."""
    for is_distributed in (False, True):
        wording = Wording(TableName(), is_patient=True, is_distributed=is_distributed)
        table = Table(wording)
        for kind in [getattr(table, name) for name in dir(table)]:  # rare ones are written so
            for found in getattr(kind, "__dict__", {}).values():
                if isinstance(found, bytes):
                    yield found.decode()


def test_no_upsert() -> None:
    """No statement makes a row or changes it, whatever is there."""
    found = list(statements())

    assert len(found) > 100
    assert [each for each in found if re.search(r"\bON CONFLICT\b|\bMERGE INTO\b", each)] == []


def test_expiry_checked() -> None:
    """Each statement that reads a value or changes a row asks whether the session has expired."""
    inserting = re.compile(r"\s*INSERT INTO ")
    using = [
        each
        for each in statements()
        if re.search(r"\bsession_data\b|\bUPDATE \S+ AS ", each) and not inserting.match(each)
    ]

    assert len(using) > 20
    assert [each for each in using if "expire_date OPERATOR(pg_catalog.>)" not in each] == []


async def test_values_stay(visit: Callable[..., AsyncClient]) -> None:
    """What a handler stores is not changed in place, then or by later requests."""
    cart: dict[str, Any] = {"items": [{"n": 1}], "total": 2.5}

    def keep(session: Session) -> None:
        session["cart"] = cart

    def add(session: Session) -> None:
        session["cart"]["items"].append({"n": 2})

    client = visit(MemoryStore(), keep, add, read)
    for page in ("keep", "add", "read"):
        await client.get(f"/{page}")

    assert cart == {"items": [{"n": 1}], "total": 2.5}
    assert type(cart["items"]) is list
