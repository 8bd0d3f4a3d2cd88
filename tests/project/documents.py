"""The Markdown pages: their programs, commands, headings and links."""

import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]

_BLOCK = re.compile(r"^```([^`\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
_INLINE_LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_OTHER_LINK = re.compile(r"^ *\[[^\]]+\]: *(\S+)|(?:href|src)=\"([^\"]+)\"", re.MULTILINE)
_SETTING = re.compile(
    r"^\| \[?`(\w+)`(?:\]\(#\1\)| \|) `(SESSION_\w+)` \| ([^|]+) \|", re.MULTILINE
)


@dataclass(frozen=True)
class Document:
    """A page, with its path relative to the root of the repository."""

    name: str

    @property
    def path(self) -> Path:
        """The path of the file."""
        return ROOT / self.name

    @cached_property
    def text(self) -> str:
        """The whole text."""
        return self.path.read_text(encoding="utf-8")

    @property
    def programs(self) -> list[str]:
        """The Python blocks, in order."""
        return [text for language, text in _BLOCK.findall(self.text) if language == "python"]

    @property
    def statements(self) -> list[str]:
        """The SQL blocks, in order."""
        return [text for language, text in _BLOCK.findall(self.text) if language == "sql"]

    @property
    def commands(self) -> list[str]:
        """The lines of the console blocks that users type, without their comments."""
        blocks = [text for language, text in _BLOCK.findall(self.text) if language == "console"]
        lines = re.findall(r"^\$ (.+)$", "".join(blocks), re.MULTILINE)
        return [re.sub(r" +# .*$", "", line) for line in lines]

    @property
    def settings(self) -> list[tuple[str, str, str]]:
        """The settings in the tables: name, variable and default of each."""
        return [
            (name, variable, default) for name, variable, default in _SETTING.findall(self.text)
        ]

    @property
    def anchors(self) -> set[str]:
        """The anchors of the headings, as GitHub generates them."""
        seen = Counter[str]()
        anchors = set()
        for heading in _HEADING.findall(_BLOCK.sub("", self.text)):
            words = re.sub(r"[^\w\- ]", "", _linked_text(heading).lower())
            anchor = words.replace(" ", "-")
            anchors.add(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
            seen[anchor] += 1
        return anchors

    @property
    def links(self) -> list[str]:
        """The targets of the links, except those to other sites."""
        prose = _BLOCK.sub("", self.text)
        others = ("".join(target) for target in _OTHER_LINK.findall(prose))
        targets = [*_INLINE_LINK.findall(prose), *others]
        return [target for target in targets if not re.match(r"[a-z]+:", target)]


def _linked_text(heading: str) -> str:
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)


README = Document("README.md")

#: Every page in docs/.
DOCS = [
    Document(path.relative_to(ROOT).as_posix()) for path in sorted((ROOT / "docs").rglob("*.md"))
]

#: Every page for readers.
PAGES = [
    README,
    *DOCS,
    *map(
        Document,
        (
            "CHANGELOG.md",
            "CODE_OF_CONDUCT.md",
            "CONTRIBUTING.md",
            "SECURITY.md",
            "benchmarks/README.md",
        ),
    ),
]
