"""The lock files in requirements/ are complete: installing one leaves nothing to resolve."""

import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).parents[2]
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PIN: Final = re.compile(
    r"^(?P<name>[a-z0-9.-]+)==(?P<version>\S+)(?: ; (?P<marker>.*?))? \\$", re.MULTILINE
)

#: The purpose of each lock file: its extras and its groups in pyproject.toml.
PURPOSES: Final = {
    "demo": (("embedded",), ("demo",)),
    "dev": (("cli", "dbsc", "embedded"), ("dev", "demo", "neighbours")),
    "lowest": (("cli", "dbsc", "embedded"), ("dev", "demo", "neighbours")),
    "matrix": (("embedded",), ("demo", "matrix")),
}


class Pin(NamedTuple):
    """A package in a lock file."""

    version: str
    marker: str | None

    @property
    def applies(self) -> bool:
        """Return whether this Python on this system installs it."""
        if self.marker is None:
            return True
        marker = Requirement(f"it ; {self.marker}").marker
        return marker is None or marker.evaluate()


def pins(lock: str) -> dict[str, Pin]:
    """Return the pins of a lock file. Of two for one package, take the one that applies."""
    text = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    found: dict[str, Pin] = {}
    for match in PIN.finditer(text):
        pin = Pin(match["version"], match["marker"])
        if match["name"] not in found or pin.applies:
            found[match["name"]] = pin
    return found


def is_installed(lock: str) -> bool:
    """Return whether this environment has the versions of a lock file, and so their metadata."""
    try:
        return all(version(name) == pin.version for name, pin in pins(lock).items() if pin.applies)
    except PackageNotFoundError:
        return False


def wanted(lock: str) -> Iterator[Requirement]:
    """Yield the project's own requirements for the purpose of a lock file."""
    extras, groups = PURPOSES[lock]
    project = PROJECT["project"]
    texts = [*project["dependencies"]]
    for extra in extras:
        texts += project["optional-dependencies"][extra]
    for group in groups:
        texts += [each for each in PROJECT["dependency-groups"][group] if isinstance(each, str)]
    yield from map(Requirement, texts)


def needed(lock: str) -> Iterator[Requirement]:
    """Yield every direct and indirect requirement of the project that applies here."""
    queue, seen = list(wanted(lock)), set[str]()
    while queue:
        requirement = queue.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        yield requirement
        for extra in ("", *sorted(requirement.extras)):
            if (asked := f"{requirement.name}[{extra}]") not in seen:
                seen.add(asked)
                queue += _requirements(requirement.name, extra)


def _requirements(name: str, extra: str) -> Iterator[Requirement]:
    for text in requires(name) or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            requirement.marker = None
            yield requirement


def test_complete() -> None:
    """Every requirement of a package in a lock file is in that file, in an accepted version."""
    known = [lock for lock in PURPOSES if is_installed(lock)]
    assert known, "This environment is that of no lock: remove it and run make again."
    for lock in known:
        locked = pins(lock)
        for requirement in needed(lock):
            pin = locked.get(canonicalize_name(requirement.name))
            assert pin is not None, f"{lock}.txt lacks {requirement}"
            assert pin.applies, f"{lock}.txt has {requirement} for other systems only"
            assert pin.version in requirement.specifier, f"{lock}.txt has no {requirement}"


@pytest.mark.parametrize("lock", ["demo", "dev", "lowest", "bench", "matrix"])
def test_pinned_with_hashes(lock: str) -> None:
    """Each line of a lock file is a pin, a hash or a comment, without URLs or version ranges."""
    text = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    assert pins(lock)
    for line in text.splitlines():
        is_hash = re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?", line)
        assert is_hash or PIN.match(line) or line.strip().startswith("#"), line


def test_demo_is_small() -> None:
    """The demo installs the same versions as the tests, without the development tools."""
    demo, dev = pins("demo"), pins("dev")
    assert {name: dev[name].version for name in demo} == {
        name: pin.version for name, pin in demo.items()
    }
    assert not demo.keys() & {"mypy", "pyright", "pytest", "ruff", "hypothesis", "hatchling"}
