"""docs/reference/logging.md lists every line of the log, with its level and its text."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

import pytest

from pgsession.core.logs import Event
from tests.project.documents import ROOT, Document

EVENTS = set(get_args(Event))

#: The methods of a logger that log a line. Those of `log` are all that the module names.
LEVELS = {
    "debug": "DEBUG",
    "info": "INFO",
    "warning": "WARNING",
    "error": "ERROR",
    "exception": "ERROR",
    "critical": "CRITICAL",
    "log": "",
}

_ROW = re.compile(r"^\| `(\w+)` \| ([A-Z, or]+) \| (.+?) \|", re.MULTILINE)
_PLACE = re.compile(r"%[.\d]*[sdrgf]")


@dataclass(frozen=True)
class Row:
    """A row of the page: an event, its levels, and the beginnings of its texts."""

    event: str
    levels: set[str]
    texts: list[str]

    def has(self, text: str) -> bool:
        """Tell whether a line of the source begins with a text of this row."""
        return any(text.startswith(each) for each in self.texts)


@dataclass(frozen=True)
class Line:
    """A call in the source that logs, or passes an event and a text on to one that does."""

    place: str
    #: None if it is an argument of the function around the call, as is an unknown text.
    event: str | None
    text: str | None
    levels: frozenset[str]


def read_rows() -> list[Row]:
    return [
        Row(
            event,
            set(re.findall(r"[A-Z]+", levels)),
            [text.removesuffix("…") for text in re.findall(r"`([^`]+)`", texts)],
        )
        for event, levels, texts in _ROW.findall(Document("docs/reference/logging.md").text)
    ]


def read_lines() -> Iterator[Line]:
    for path in sorted((ROOT / "src/pgsession").rglob("*.py")):
        module = ast.parse(path.read_text(encoding="utf-8"))
        texts = dict(_constants(module))
        for node in ast.walk(module):
            if not isinstance(node, ast.Call):
                continue
            place = f"{path.stem}:{node.lineno}"
            if (level := _level_of(node.func)) is not None:
                levels = frozenset({level} if level else _named_levels(module))
                yield _logged(node, levels, texts, place)
            elif len(node.args) > 1 and _written(node.args[0], texts) in EVENTS:
                event, text = (_written(each, texts) for each in node.args[:2])
                given = [each.value for each in node.keywords if each.arg == "level"]
                yield Line(place, event, text, frozenset(_passed_levels(module, given)))


def _named_levels(tree: ast.AST) -> Iterator[str]:
    """Yield the levels that the code names."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="logging"), attr=level) if level.isupper():
                yield level
            case _:
                pass


def _passed_levels(module: ast.Module, given: list[ast.expr]) -> Iterator[str]:
    """Yield the level of a call that passes an event on: `given`, or the default of ``level``.

    It is DEBUG if no function of the module has such a parameter.
    """
    if not given:
        given = [
            default
            for node in ast.walk(module)
            if isinstance(node, ast.FunctionDef)
            for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
            if argument.arg == "level" and default is not None
        ]
    if not given:
        yield "DEBUG"
    for each in given:
        yield from _named_levels(each)


def _level_of(function: ast.expr) -> str | None:
    """Return the level if `function` is a method of the logger that logs."""
    match function:
        case ast.Attribute(value=ast.Name(id="_LOGGER"), attr=method):
            return LEVELS.get(method)
        case _:
            return None


def _logged(node: ast.Call, levels: frozenset[str], texts: dict[str, str], place: str) -> Line:
    extra = next((each.value for each in node.keywords if each.arg == "extra"), None)
    match extra:
        case ast.Call(func=ast.Name(id="event"), args=[name]):
            is_log = isinstance(node.func, ast.Attribute) and node.func.attr == "log"
            text = _written(node.args[1 if is_log else 0], texts)
            return Line(place, _written(name, texts), text, levels)
        case _:
            pytest.fail(f"{place} logs a line that has no event")


def _constants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in tree.body:
        match node:
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant(value=str(text))):
                yield name, text
            case _:
                pass


def _written(node: ast.expr, texts: dict[str, str]) -> str | None:
    match node:
        case ast.Constant(value=str(text)):
            return _PLACE.sub("…", text)
        case ast.Name(id=name) if name in texts:
            return _PLACE.sub("…", texts[name])
        case _:
            return None


ROWS = read_rows()
LINES = list(read_lines())


def test_all() -> None:
    """The page, the source and the type `Event` have the same events."""
    assert {row.event for row in ROWS} == EVENTS == {line.event for line in LINES if line.event}
    assert len(ROWS) == len(EVENTS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.event)
def test_row(row: Row) -> None:
    """The lines of an event have the level and the beginning of a text that its row shows."""
    lines = [line for line in LINES if line.event == row.event]
    texts = [line.text for line in lines if line.text is not None]

    assert row.levels == {level for line in lines for level in line.levels}
    assert row.texts
    assert [text for text in texts if not row.has(text)] == []
    if texts:
        assert [each for each in row.texts if not any(it.startswith(each) for it in texts)] == []


def test_every_line() -> None:
    """Every call of the logger has an event, and no module has a logger of another name."""
    names = {
        name
        for path in (ROOT / "src").rglob("*.py")
        for name in re.findall(r"getLogger\(\"(.+?)\"\)", path.read_text(encoding="utf-8"))
    }

    assert names == {"pgsession", "psycopg.pool"}
    assert [line.place for line in LINES if not line.levels] == []
