"""What a mutant is: texts of the source that are replaced, and the tests that must fail."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edit:
    """A text that stands exactly once in a file of the package, and what takes its place."""

    file: str
    old: str
    new: str

    def apply(self, text: str) -> str:
        """Return the text with the replacement made."""
        if text.count(self.old) != 1:
            raise ValueError(f"{self.file} does not hold this text exactly once:\n{self.old}")
        return text.replace(self.old, self.new)


@dataclass(frozen=True, slots=True)
class Mutant:
    """A law broken."""

    name: str
    edits: tuple[Edit, ...]
    #: Each of these must fail.
    tests: tuple[str, ...]
