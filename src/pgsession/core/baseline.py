"""The stored value of a session, as far as one request knows it. Changes are compared with it."""

from __future__ import annotations

from typing import Any, Self

from pgsession.core.value import decode_value, encode_text, same_content


class Baseline:
    """A plain value that shares nothing with the session, so a handler cannot change it.

    It is kept as JSON text, and also as a value once it is compared.
    """

    __slots__ = ("_text", "_value")

    def __init__(self, text: bytes) -> None:
        self._text: bytes | None = text
        self._value: dict[str, Any] | None = None

    @classmethod
    def of(cls, value: dict[str, Any]) -> Self:
        """Return the baseline of a plain value. The caller must not keep the value."""
        baseline = cls(b"")
        baseline._text, baseline._value = None, value
        return baseline

    @property
    def text(self) -> bytes:
        """The JSON text of the value."""
        if self._text is None:
            self._text = encode_text(self._value)
        return self._text

    @property
    def value(self) -> dict[str, Any]:
        """The value. Do not change it."""
        if self._value is None:
            self._value = decode_value(self.text)
        return self._value

    def is_same(self, content: dict[str, Any]) -> bool:
        """Return True if `content` is the same JSON. This is a fast check: False may be wrong."""
        return same_content(content, self.value, text=self.text)
