"""FastAPI-Users signs in and out with our session: with the code of docs/how-to/frameworks.md."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import anyio
import pytest
from fastapi import Depends, FastAPI

from pgsession import MemoryStore, SessionMiddleware
from tests.applications import SECRET
from tests.neighbours.frameworks import Visitor, program, visiting
from tests.pages import DELETED, NAME

# Not in the locks: it needs a newer PyJWT than the oldest that pgsession works with.
users = pytest.importorskip("fastapi_users", reason="FastAPI-Users is not installed")
passwords = pytest.importorskip("fastapi_users.password")
pwdlib = pytest.importorskip("pwdlib")
argon2 = pytest.importorskip("pwdlib.hashers.argon2")

#: A hash that takes no time.
HASHER = argon2.Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1)
PASSWORDS = passwords.PasswordHelper(pwdlib.PasswordHash([HASHER]))

#: Looks users up.
Manager: Any = type("Manager", (users.IntegerIDMixin, users.BaseUserManager), {})


@dataclass
class Person:
    """A user of the site."""

    id: int
    email: str
    hashed_password: str
    is_active: bool = True
    is_superuser: bool = False
    is_verified: bool = False


class People:
    """A table of users with one row."""

    def __init__(self) -> None:
        self.ann: Person | None = Person(1, "ann@site.example", PASSWORDS.hash("secret"))

    async def get(self, id: int) -> Person | None:  # noqa: A002 - the name that it has there
        return self.ann if id == 1 else None

    async def get_by_email(self, email: str) -> Person | None:
        return self.ann if self.ann is not None and self.ann.email == email else None


@pytest.fixture
def people() -> People:
    return People()


@pytest.fixture
def visitor(people: People) -> Iterator[Visitor]:
    store = MemoryStore()
    backend = program("FastAPI-Users", store)["sessions"]
    routers = users.FastAPIUsers(lambda: Manager(people, PASSWORDS), [backend])
    app = FastAPI()
    app.add_middleware(SessionMiddleware, store=store, secret_key=SECRET)
    app.include_router(routers.get_auth_router(backend))
    current = Depends(routers.current_user(active=True))

    @app.get("/me")
    async def me(user: Any = current) -> str:
        return str(user.email)

    with visiting(app, store) as it:
        yield it


def sign_in(visitor: Visitor, *, password: str) -> int:
    form = {"username": "ann@site.example", "password": password}
    return visitor.post("/login", data=form).status_code


def test_signed_in(visitor: Visitor) -> None:
    """The login route signs the user in, under the id that FastAPI-Users knows."""
    assert visitor.get("/me").status_code == 401

    assert sign_in(visitor, password="secret") == 204

    assert visitor.get("/me").json() == "ann@site.example"
    (device,) = anyio.run(visitor.store.devices, "1")
    assert visitor.lives(visitor.key)
    assert device.handle


def test_wrong_password(visitor: Visitor) -> None:
    """Nobody is signed in with a wrong password, and there is no session."""
    assert sign_in(visitor, password="guessed") == 400
    assert NAME not in visitor.cookies


def test_signed_out(visitor: Visitor) -> None:
    """The logout route ends the session before it answers."""
    sign_in(visitor, password="secret")
    key = visitor.key

    response = visitor.post("/logout")

    assert response.headers["set-cookie"] == DELETED
    assert not visitor.lives(key)
    assert visitor.get("/me").status_code == 401


def test_revoked(visitor: Visitor) -> None:
    """A revocation signs the user out."""
    sign_in(visitor, password="secret")

    anyio.run(visitor.store.revoke_all, "1")

    assert visitor.get("/me").status_code == 401


def test_deleted(visitor: Visitor, people: People) -> None:
    """A user who does not exist any more is signed in no longer."""
    sign_in(visitor, password="secret")

    people.ann = None

    assert visitor.get("/me").status_code == 401


def test_described(visitor: Visitor) -> None:
    """The cookie is in the description of the API."""
    schemes = visitor.get("/openapi.json").json()["components"]["securitySchemes"]
    assert schemes["SessionUser"]["name"] == NAME
