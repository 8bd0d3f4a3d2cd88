"""Models of typed content: how their objects are written as JSON, and made from it.

msgspec knows dataclasses, `TypedDict`, its own `Struct` and attrs. A pydantic model has a
`TypeAdapter`. It is found where the application has imported pydantic: this package does not.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from functools import lru_cache, partial
from typing import Any, Final, is_typeddict

import msgspec

from pgsession.core.codec import Codec
from pgsession.core.pydantic_codec import pydantic_codec
from pgsession.core.value import ATOMS, JSON
from pgsession.errors import UnsupportedTypeError

#: The texts of msgspec that name types and constraints of the model, and nothing of the content.
_SAFE: Final = re.compile(
    r"Expected `[\w |.\[\],]+`(?:, got `[\w |]+`)?|Object missing required field `\w+`"
)
_PLACE: Final = re.compile(r" - at (?:`key` in )?`\$([^`]*)`$")
_INDEX: Final = re.compile(r"\[\d+\]")
_FIELD: Final = re.compile(r"\.([^.\[\]]+)")


# Models are made when an application starts. The bound is for one that makes them in a function.
@lru_cache(maxsize=256)
def codec_of(model: Any) -> Codec[Any]:  # noqa: ANN401 - a model, or a TypeAdapter of one
    """Return the codec of a model.

    Raises `UnsupportedTypeError` for what is none, and what msgspec raises for an unknown name.
    """
    if hasattr(model, "validate_json") and hasattr(model, "dump_python"):
        return pydantic_codec(model, str(model), partial(model.validate_json, b"{}"), None)
    name = getattr(model, "__name__", None) or str(model)
    if _is_object(model):
        raise no_model(model)
    if hasattr(model, "__pydantic_validator__"):
        adapter = sys.modules["pydantic"].TypeAdapter(model)
        is_root = getattr(model, "__pydantic_root_model__", False)
        names = None if is_root else model.__pydantic_fields__.keys()
        return pydantic_codec(adapter, name, model, names)
    try:
        msgspec.json.Decoder(model)  # raises for what cannot be a model, such as an unknown name
        is_known = not isinstance(msgspec.inspect.type_info(model), msgspec.inspect.CustomType)
    except TypeError as error:
        raise no_model(model) from error
    if not is_known:
        raise no_model(model)
    return Codec(
        name,
        _fields_of(model),
        _msgspec_encode,
        partial(_msgspec_decode, model=model),
        partial(msgspec.convert, {}, type=model) if is_typeddict(model) else model,
        _msgspec_reason,
        # msgspec writes no private attributes of attrs.
        is_partial=any(each.name[0] == "_" for each in getattr(model, "__attrs_attrs__", ())),
    )


def no_model(model: object) -> UnsupportedTypeError:
    """Return the error for what is given in place of a model."""
    if isinstance(model, str):
        wrong = 'The model comes first, then the name: session.typed(Cart, "cart")'
    elif _is_object(model):
        wrong = (
            f"The model is the class {type(model).__name__}, not an object of it. Give an object "
            "as the default"
        )
    else:
        name = model.__name__ if isinstance(model, type) else f"an object of {type(model).__name__}"
        wrong = (
            f"{name} is no model that session.typed() knows. Make it a dataclass, a TypedDict, or "
            "a class of pydantic, msgspec or attrs"
        )
    return UnsupportedTypeError(f"{wrong}.")


def _is_object(model: object) -> bool:
    """Return True for an object of a class that is a model."""
    marks = "__dataclass_fields__", "__struct_fields__", "__attrs_attrs__", "__pydantic_fields__"
    return not isinstance(model, type) and any(hasattr(type(model), mark) for mark in marks)


def _fields_of(model: Any) -> AbstractSet[str] | None:  # noqa: ANN401 - as in `codec_of`
    info = msgspec.inspect.type_info(model)
    match info:
        case msgspec.inspect.StructType(array_like=False):
            tag = {info.tag_field} if info.tag_field is not None else set()
            return frozenset({field.encode_name for field in info.fields} | tag)
        case msgspec.inspect.DataclassType() | msgspec.inspect.TypedDictType():
            return frozenset(field.encode_name for field in info.fields)
        case _:
            return None


def _msgspec_encode(made: object) -> JSON:
    encode = partial(msgspec.to_builtins, made, str_keys=True, enc_hook=_base_of)
    try:
        return encode(order="deterministic")
    except TypeError:  # a set of what has no order, such as enums
        return encode()


def _msgspec_decode(plain: JSON, *, model: Any) -> object:  # noqa: ANN401 - as in `codec_of`
    made: object = msgspec.convert(plain, model, str_keys=True)
    _complete(made)
    return made


def _complete(part: Any) -> None:  # noqa: ANN401 - any part of an object
    """Set the defaults of dataclasses, which msgspec leaves to the class and then does not write.

    Without that, a field would differ once it is set to the default that it has.
    """
    kind: object = type(part)
    if kind in ATOMS:
        return
    match part:
        case list() | tuple() | set() | frozenset():
            parts: Iterable[object] = part
        case dict():
            parts = part.values()
        case msgspec.Struct():
            parts = [getattr(part, name) for name in part.__struct_fields__]
        case _ if names := _dataclass_names(kind):
            parts = [getattr(part, name) for name in names]
            for name, each in zip(names, parts, strict=True):
                object.__setattr__(part, name, each)  # also of a frozen one
        case _:
            return
    for each in parts:
        _complete(each)


@lru_cache(maxsize=256)
def _dataclass_names(kind: object) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind)) if is_dataclass(kind) else ()


def _base_of(part: object) -> object:
    """Return a text of a subclass, such as Markup, as a `str`."""
    if isinstance(part, str):
        return str.__str__(part)
    raise TypeError


def _msgspec_reason(error: Exception) -> tuple[str, str] | None:
    """Return where content does not fit and why, without the texts that show a value."""
    if not isinstance(error, msgspec.ValidationError):
        return None
    text = str(error)
    found = _PLACE.search(text)
    place = _FIELD.sub(r'["\1"]', found[1]) if found else ""
    reason = _SAFE.fullmatch(text[: found.start()] if found else text)
    # An error with a cause is that of the model's own code: it may show anything.
    if reason is None or error.__cause__ is not None:
        return place, "a value that the model does not allow"
    return place, reason[0]


#: A path may hold the key of a dict, so there may be many.
_MOST_REPORTS: Final = 1_000


class Reports:
    """Which misfits this process has reported: each of a model once."""

    def __init__(self) -> None:
        self._reported: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def is_new(self, model: str, reason: str) -> bool:
        """Record a misfit; return True if it is the first of its kind."""
        kind = model, _INDEX.sub("[]", reason)
        with self._lock:
            before = len(self._reported)
            if before < _MOST_REPORTS:
                self._reported.add(kind)
            return len(self._reported) > before
