"""What is stored, as far as one request knows: what its changes are found against."""

from __future__ import annotations

from typing import Any, Self

from pgsession.core.value import decode_value, encode_text, same


class Baseline:
    """A plain value, apart from all that a handler may alter.

    It is kept as text, and as a value once somebody compares.
    """

    __slots__ = ("_text", "_value")

    def __init__(self, text: bytes) -> None:
        self._text: bytes | None = text
        self._value: dict[str, Any] | None = None

    @classmethod
    def of(cls, value: dict[str, Any]) -> Self:
        """Return the baseline of a plain value that nobody else holds."""
        baseline = cls(b"")
        baseline._text, baseline._value = None, value
        return baseline

    @property
    def text(self) -> bytes:
        """Its JSON text."""
        if self._text is None:
            self._text = encode_text(self._value)
        return self._text

    @property
    def value(self) -> dict[str, Any]:
        """The value, to be looked at and not altered."""
        if self._value is None:
            self._value = decode_value(self.text)
        return self._value

    def is_same(self, content: dict[str, Any]) -> bool:
        """Tell cheaply, at C speed, that `content` is the same JSON; False may be wrong."""
        return same(content, self.value, text=self.text)
