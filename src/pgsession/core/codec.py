"""What writes the objects of one model as JSON, and makes them from it."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from copy import deepcopy
from dataclasses import dataclass
from typing import Generic, TypeVar

from pgsession.core.paths import format_path
from pgsession.core.value import JSON
from pgsession.errors import SessionError

T = TypeVar("T")


class MisfitError(Exception):
    """Content does not fit its model. The text names the place, and nothing of the content."""


@dataclass(frozen=True, slots=True)
class Codec(Generic[T]):
    """Writes and makes the objects of one model."""

    #: The name of the model, for messages.
    model: str
    #: The members that make up an object, for one that is the whole session; None for a model
    #: that has none.
    fields: AbstractSet[str] | None
    _encode: Callable[[T], JSON]
    _decode: Callable[[JSON], T]
    _default: Callable[[], T]
    _reason: Callable[[Exception], tuple[str, str] | None]
    #: True if JSON does not show all of an object: a part is excluded or secret.
    is_partial: bool = False

    def encode(self, made: T) -> JSON:
        """Return an object as JSON, that shares nothing with it, or raise `MisfitError`."""
        try:
            return self._encode(made)
        except Exception as error:  # noqa: BLE001 - the code of the model may raise anything
            kind = type(error).__name__
        # Raise outside of the block: the cause and the context may hold a value.
        raise MisfitError(f"{kind}: it has a part that {self.model} cannot write as JSON")

    def decode(self, plain: JSON, *, name: str | None) -> T:
        """Return an object made of JSON, or raise `MisfitError`. `name` is that of the member."""
        try:
            return self._decode(plain)
        except Exception as error:  # noqa: BLE001 - as in `encode`
            place, reason = self._reason(error) or ("", type(error).__name__)
        path = format_path(None if name is None else (None, name))
        raise MisfitError(f"{path}{place}: {reason}")

    def copy(self, made: T) -> T | None:
        """Return a copy of an object if its JSON does not show all of it, else None."""
        return deepcopy(made) if self.is_partial else None

    def takes(self, plain: JSON) -> bool:
        """Return True if an object can be made of JSON."""
        try:
            self._decode(plain)
        except Exception:  # noqa: BLE001 - as in `encode`
            return False
        return True

    def default(self) -> T:
        """Return an object of defaults. Raises `SessionError` if the model has none."""
        try:
            return self._default()
        except Exception as error:
            raise SessionError(
                f"{self.model} cannot be made without arguments ({type(error).__name__}), and the "
                "session does not have it yet. Give session.typed() a default, such as "
                "default=None."
            ) from error
