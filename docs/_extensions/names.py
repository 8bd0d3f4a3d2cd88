"""The names that docstrings and signatures have: which are public, and which need no page."""

import builtins
import inspect
import pkgutil
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import Final

#: The modules whose ``__all__`` is public.
MODULES: Final = (
    "pgsession",
    "pgsession.testing",
    "pgsession.embedded",
    "pgsession.alembic",
    "pgsession.predecessors",
)

#: Names of libraries as docstrings write them.
FOREIGN: Final = {
    "ASGITransport": "httpx.ASGITransport",
    "AsyncConnectionPool": "psycopg_pool.AsyncConnectionPool",
    "Authlib": "authlib",
    "Connection": "sqlalchemy.Connection",
    "PostgresDsn": "pydantic.PostgresDsn",
    "TestClient": "starlette.testclient.TestClient",
    "MeterProvider": "opentelemetry.metrics.MeterProvider",
    "Request": "starlette.requests.Request",
    "Secret": "starlette.datastructures.Secret",
    "TracerProvider": "opentelemetry.trace.TracerProvider",
    "WebSocket": "starlette.websockets.WebSocket",
    "WebSocketTestSession": "starlette.testclient.WebSocketTestSession",
    "WebSocketDisconnect": "starlette.websockets.WebSocketDisconnect",
    "Scope": "starlette.types.Scope",
    "date": "datetime.date",
    "datetime": "datetime.datetime",
    "timedelta": "datetime.timedelta",
}

#: Types that stand in signatures alone. What they need is said there.
STRUCTURAL: Final = frozenset({
    "AsyncRedis", "BuiltRequest", "Client", "Cookie", "Cookies", "Deserializer", "HasHandle",
    "HasScope", "Hidden", "ReadableStore", "Rotation", "Rows", "SecretValue", "_Dialect", "_T",
    "_AsyncClientT", "_TestClientT",
})  # fmt: skip

#: What docstrings call the objects of some classes.
OBJECTS: Final = {"held": "Store", "session": "Session", "store": "PostgresStore"}

#: Classes that an application gets, and does not make: their fields say it all.
HANDED_OUT: Final = frozenset({
    "Adopted", "Adoption", "Bound", "BoundDevice", "Device", "Entry", "Flash", "Login",
    "LoginState", "NewDevice", "SignedIn", "SignedInUser", "Swept", "Written",
})  # fmt: skip

#: Stores that describe the methods of others.
STORES: Final = ("Store", "UserStore", "BindingStore", "AdoptingStore")


@cache
def public() -> dict[str, object]:
    """Return what is public, by its path."""
    return {
        f"{name}.{each}": getattr(module, each)
        for name in MODULES
        for module in [import_module(name)]
        for each in module.__all__
    }


@cache
def paths() -> dict[str, str]:
    """Return the public path of each name."""
    return {path.rpartition(".")[2]: path for path in reversed([*public()])}


@cache
def parameters() -> frozenset[str]:
    """Return the names of the parameters of public functions and methods."""
    functions: list[object] = [it for it in public().values() if inspect.isfunction(it)]
    for kind in filter(inspect.isclass, public().values()):
        members = inspect.getmembers(kind, inspect.isroutine)
        functions += [it for name, it in members if not name.startswith("_")]
    return frozenset().union(*map(_parameters_of, functions))


def candidates(target: str, kind: str | None) -> Iterator[str]:
    """Yield the public paths that a name in the docstring of a class may mean."""
    head, _, name = target.rpartition(".")
    if target == "request.session":
        yield "pgsession.Session"
    if target in paths():
        yield paths()[target]
    yield from _paths_of_member((head or kind or "").rpartition(".")[2], name)
    if target.startswith("pgsession.") and name in paths():
        yield paths()[name]
    if not head and target not in parameters():
        yield f"pgsession.SessionSettings.{target}"
        yield f"pgsession.Session.{target}"


def _paths_of_member(owner: str, name: str) -> Iterator[str]:
    owner = OBJECTS.get(owner, owner)
    kind = public().get(paths().get(owner, ""))
    if not inspect.isclass(kind):
        return
    for base in kind.__mro__:
        if base.__name__ in paths():
            yield f"{paths()[base.__name__]}.{name}"
    if owner.endswith("Store"):
        yield from (f"pgsession.{store}.{name}" for store in STORES)


def is_known(target: str, kind: str | None) -> bool:
    """Tell whether a name is a parameter, or of Python or a library."""
    if target.startswith("pgsession."):
        return target.rpartition(".")[2] in STRUCTURAL
    if target in parameters() | STRUCTURAL | FOREIGN.keys() or hasattr(builtins, target):
        return True
    maker = public().get(paths().get((kind or "").rpartition(".")[2], ""))
    if inspect.isclass(maker) and target in _parameters_of(maker.__init__):
        return True
    return "." in target and _can_be_imported(target.partition("[")[0])


def _can_be_imported(target: str) -> bool:
    head, _, rest = target.partition(".")
    for path in (target, f"{FOREIGN.get(head, head)}.{rest}"):
        with suppress(ImportError, AttributeError, ValueError):
            pkgutil.resolve_name(path)
            return True
    return False


def _parameters_of(function: object) -> frozenset[str]:
    """Return the names of the parameters of a function of this package; none of another."""
    if callable(function) and (getattr(function, "__module__", None) or "").startswith("pgsession"):
        with suppress(ValueError):  # it wraps a method of dict
            return frozenset(inspect.signature(function).parameters)
    return frozenset()
