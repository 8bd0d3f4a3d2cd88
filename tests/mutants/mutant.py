"""A mutant: replacements in the source, and the tests that must fail."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edit:
    """A text that occurs exactly once in a file of the package, and its replacement."""

    file: str
    old: str
    new: str

    def apply(self, text: str) -> str:
        """Return the text with the replacement."""
        if text.count(self.old) != 1:
            raise ValueError(f"{self.file} does not hold this text exactly once:\n{self.old}")
        return text.replace(self.old, self.new)


@dataclass(frozen=True, slots=True)
class Mutant:
    """A rule that is broken on purpose."""

    name: str
    edits: tuple[Edit, ...]
    #: Each of these tests must fail.
    tests: tuple[str, ...]
