"""Connexion with our middleware before its exception handling."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

from pgsession import MemoryStore, StoreUnavailableError
from tests.neighbours.frameworks import Visitor, check_signing, program, visiting

connexion = pytest.importorskip("connexion", reason="Connexion is not installed")

Serve = Callable[..., AbstractContextManager[Visitor]]


def basket() -> dict[str, Any]:
    connexion.request.scope["session"]["basket"] = ["tea"]
    return {}


def fail() -> None:
    basket()
    raise LookupError


def reject() -> None:
    connexion.request.scope["session"]["rejected"] = True
    raise connexion.exceptions.Forbidden


class BrokenStore(MemoryStore):
    """Saves nothing."""

    async def generate(self, *_: Any, **__: Any) -> str:
        raise StoreUnavailableError


def visit(store: MemoryStore) -> AbstractContextManager[Visitor]:
    """Serve the application of docs/how-to/frameworks.md, with further pages."""
    names = program("Connexion", store)
    pages = [("get", "account"), ("post", "sign_in"), ("delete", "sign_out")]
    account = {method: operation(names[name]) for method, name in pages}
    paths = {f"/{page.__name__}": {"get": operation(page)} for page in (basket, fail, reject)}
    functions = {**names, **{page.__name__: page for page in (basket, fail, reject)}}
    names["app"].add_api(
        {
            "openapi": "3.0.0",
            "info": {"title": "A site", "version": "1"},
            "paths": {"/account": account, **paths},
        },
        resolver=connexion.Resolver(functions.__getitem__),
    )
    return visiting(names["app"], store)


def operation(page: Callable[..., object]) -> dict[str, Any]:
    return {"operationId": page.__name__, "responses": {"200": {"description": "done"}}}


@pytest.fixture
def visitor() -> Iterator[Visitor]:
    with visit(MemoryStore()) as it:
        yield it


def test_signing(visitor: Visitor) -> None:
    """A login and a logout work as in Starlette."""
    check_signing(visitor)


def test_failed(visitor: Visitor) -> None:
    """Nothing is saved of a request that fails: Connexion answers 500."""
    assert visitor.get("/fail").status_code == 500
    assert not visitor.cookies


def test_rejected(visitor: Visitor) -> None:
    """What a request has stored that is answered with an error of the client is saved."""
    assert visitor.get("/reject").status_code == 403
    assert visitor.value() == {"rejected": True}


def test_unavailable() -> None:
    """An outage of the store is answered with 503, not with Connexion's 500."""
    with visit(BrokenStore()) as visitor:
        response = visitor.get("/basket")

    assert response.status_code == 503
    assert response.headers["retry-after"]
