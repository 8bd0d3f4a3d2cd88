"""Handlers for small pages, and functions that look up the results."""

import re
from typing import Any

from httpx import AsyncClient, Response
from psycopg import Connection

from pgsession import Session, Store

NAME = "__Host-session"
DELETED = (
    "__Host-session=null; path=/; expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; "
    "httponly; samesite=lax; secure"
)


def fill(session: Session) -> None:
    session["user"] = "ann"


def read(session: Session) -> dict[str, Any]:
    return dict(session)


def logout(session: Session) -> None:
    session.clear()


def pop(session: Session) -> None:
    session.pop("user", None)


def refill(session: Session) -> None:
    session.clear()
    session["user"] = "bob"


def login(session: Session) -> None:
    session["user"] = "ann"
    session.renew()


def fail(session: Session) -> None:
    session["user"] = "eve"
    raise LookupError


def key_of(client: AsyncClient) -> str:
    return key_in(client.cookies[NAME])


def key_in(cookie: str) -> str:
    """Return the key in the value of a cookie: the selector, and the verifier if there is one."""
    selector, verifier, *_ = cookie.split(".")
    return f"{selector}.{verifier}" if verifier else selector


async def value_of(store: Store, key: str) -> dict[str, Any] | None:
    entry = await store.get(key)
    return None if entry is None else entry.value


def count(table: Connection) -> int:
    ((rows,),) = table.execute("SELECT count(*) FROM session").fetchall()
    return int(rows)


def max_age(response: Response) -> int | None:
    found = re.search(r"Max-Age=(\d+)", response.headers["set-cookie"])
    return None if found is None else int(found[1])
