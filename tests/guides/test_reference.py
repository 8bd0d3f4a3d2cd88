"""The reference in docs/reference has every public name, and each says what it does."""

import importlib
import inspect
import re
from dataclasses import fields
from functools import cache
from typing import Any, Final

import pytest
from sphinx.pycode import ModuleAnalyzer
from starlette.requests import Request

import pgsession
from docs._extensions.names import MODULES
from pgsession import SessionSettings
from tests.project.documents import DOCS, ROOT, Document

REFERENCE: Final = [page for page in DOCS if page.name.startswith("docs/reference/")]

_DIRECTIVE: Final = re.compile(
    r"^\.\. (?:auto|py:)?(?!current)(\w+):: (\S+?)(?:\(.*)?\n((?:   :.*\n)*)", re.MULTILINE
)
_SETTING: Final = re.compile(r"^```\{setting\} (\w+)$", re.MULTILINE)

#: The methods of a store may be described at any of these.
STORES: Final = ("Store", "UserStore", "BindingStore", "AdoptingStore", "PostgresStore")

#: Of other types than public ones: the command line calls it.
INTERNAL: Final = {"PostgresStore.end_sessions"}

PUBLIC: Final = {
    f"{module}.{name}": getattr(importlib.import_module(module), name)
    for module in MODULES
    for name in importlib.import_module(module).__all__
}

CLASSES: Final = {path: it for path, it in PUBLIC.items() if inspect.isclass(it)}


def described() -> dict[str, str]:
    """Return what directives of the reference describe, by path, with the options of each."""
    found = {
        f"pgsession.SessionSettings.{name}": ""
        for page in REFERENCE
        for name in _SETTING.findall(page.text)
    }
    for page in REFERENCE:
        for _, path, options in _DIRECTIVE.findall(page.text):
            whole = path if path.startswith("pgsession.") else f"pgsession.{path}"
            assert whole not in found, f"{whole} is described twice."
            found[whole] = options
    return found


DESCRIBED: Final = described()


def members(kind: type) -> list[str]:
    """Return the public members of a class that are this package's."""
    named = {
        name
        for base in kind.__mro__
        if base.__module__.startswith("pgsession")
        for name in (*vars(base), *vars(base).get("__annotations__", ()))
        if not name.startswith("_")
    }
    if issubclass(kind, dict):
        named = {name for name in named if not hasattr(dict, name)} | {"clear"}
    return sorted(named)


def has_member(path: str, name: str) -> bool:
    """Tell whether the reference describes a member of a class, there or at a base of it."""
    owners = [path, *(other for other, it in CLASSES.items() if it in CLASSES[path].__mro__)]
    if path.endswith("Store"):
        owners += [f"pgsession.{store}" for store in STORES]
    return any(f"{owner}.{name}" in DESCRIBED or _is_member_of(owner, name) for owner in owners)


def _is_member_of(owner: str, name: str) -> bool:
    options = DESCRIBED.get(owner, "")
    if ":members:" not in options:
        return False
    listed = re.findall(r":members: (.+)", options)
    if listed:
        return name in listed[0].split(", ")
    kind = CLASSES[owner]
    own = {*vars(kind), *vars(kind).get("__annotations__", ())}
    own |= {it for owner, it in comments(kind.__module__) if owner == kind.__qualname__}
    return name in own or ":inherited-members:" in options


@cache
def comments(module: str) -> dict[tuple[str, str], Any]:
    """Return the `#:` comments of a module, by class and attribute."""
    return ModuleAnalyzer.for_module(module).find_attr_docs()


def is_explained(kind: type, name: str) -> bool:
    """Tell whether a member has a docstring, or a comment that counts as one."""
    for base in kind.__mro__:
        if not base.__module__.startswith("pgsession"):
            continue
        if (base.__qualname__, name) in comments(base.__module__):
            return True
        member = vars(base).get(name)
        is_called = isinstance(member, property | classmethod) or inspect.isroutine(member)
        if is_called and inspect.getdoc(getattr(kind, name)):
            return True
    return False


def test_modules() -> None:
    """Each module outside of a room that names its public names is in the reference."""
    root = ROOT / "src" / "pgsession"
    found = {
        ".".join(path.relative_to(root.parent).with_suffix("").parts).removesuffix(".__init__")
        for path in [*root.glob("*.py"), *root.glob("*/__init__.py")]
        if "\n__all__ = " in path.read_text(encoding="utf-8")
    }
    assert found - {"pgsession.memory"} == {*MODULES}


@pytest.mark.parametrize("path", PUBLIC)
def test_described(path: str) -> None:
    """The reference describes each public name once, with its members, and each has a docstring."""
    kind = CLASSES.get(path)
    if kind is None:
        is_plain = not inspect.isfunction(PUBLIC[path])  # the version, an alias of a type
        assert path in DESCRIBED or path == "pgsession.__version__"
        assert is_plain or inspect.getdoc(PUBLIC[path])
        return
    named = [it for it in members(kind) if f"{kind.__name__}.{it}" not in INTERNAL]
    assert path in DESCRIBED
    assert inspect.getdoc(kind)
    assert [name for name in named if not has_member(path, name)] == []
    assert [name for name in named if not is_explained(kind, name)] == []


def test_nothing_else() -> None:
    """The reference describes nothing that is not public."""
    types = {"pgsession.Period", "pgsession.Content", "pgsession.SecretKey"}
    types |= {"pgsession.Exclude", "pgsession.OnUnavailable", "pgsession.Source"}
    members_of = {f"{path}.{name}" for path, kind in CLASSES.items() for name in members(kind)}
    directives = {*PUBLIC, *members_of, *types}

    assert {path for path in DESCRIBED if path not in directives} == set()


def test_versions() -> None:
    """Each setting says since which version it is there: one that was released, or the next."""
    text = Document("docs/reference/settings.md").text
    since = dict(
        re.findall(r"^```\{setting\} (\w+)\n(?::\w+: .+\n)*?:since: (\S+)\n", text, re.MULTILINE)
    )
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.findall(r"^## \[?(\d+\.\d+\.\d+)", changelog, re.MULTILINE)
    coming = pgsession.__version__.partition(".dev")[0]

    assert [*since] == [each.name for each in fields(SessionSettings)]
    assert set(since.values()) <= {coming, *released}


@pytest.mark.parametrize("page", ["middleware", "predecessors", "session", "settings"])
async def test_program(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program at the top of a page runs as it stands, and counts visits if it is to."""
    monkeypatch.setenv("SESSION_SECRET_KEY", "a secret of more than thirty-two bytes")
    monkeypatch.setenv("SESSION_DATABASE_URL", "postgresql:///app")
    [text] = Document(f"docs/reference/{page}.md").programs
    names: dict[str, Any] = {}
    exec(compile(text, page, "exec"), names)  # noqa: S102 - the page's own

    if page == "session":
        request = Request({"type": "http", "session": pgsession.Session({"visits": 1})})
        response = await names["count"](request)
        assert response.body == b'{"visits":2,"user":null}'
