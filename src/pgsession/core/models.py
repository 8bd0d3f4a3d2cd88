"""Models of typed content: how their objects are written as JSON, and made from it.

msgspec knows dataclasses, `TypedDict`, its own `Struct` and attrs. A pydantic model has a
`TypeAdapter`. It is found where the application has imported pydantic: this package does not.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from copy import deepcopy
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache, partial
from inspect import signature
from typing import Any, Final, Generic, Protocol, TypeVar, is_typeddict

import msgspec

from pgsession.core.paths import format_path
from pgsession.core.value import ATOMS, JSON, encode_text
from pgsession.errors import SessionError, UnsupportedTypeError

T = TypeVar("T")

# A TypeAdapter is typed by what it returns alone.
_MadeT_co = TypeVar("_MadeT_co", covariant=True)

#: The texts of msgspec that name types and constraints of the model, and nothing of the content.
_SAFE: Final = re.compile(
    r"Expected `[\w |.\[\],]+`(?:, got `[\w |]+`)?|Object missing required field `\w+`"
)
_PLACE: Final = re.compile(r" - at (?:`key` in )?`\$([^`]*)`$")
_INDEX: Final = re.compile(r"\[\d+\]")
_FIELD: Final = re.compile(r"\.([^.\[\]]+)")


class Adapter(Protocol[_MadeT_co]):
    """What a `pydantic.TypeAdapter` has of which this module makes use."""

    def validate_json(self, data: str | bytes, /) -> _MadeT_co:
        """Return an object of the model."""
        ...

    def dump_python(self, instance: Any, /) -> Any:  # noqa: ANN401 - as pydantic declares it
        """Return the JSON of an object."""
        ...


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


# Models are made when an application starts. The bound is for one that makes them in a function.
@lru_cache(maxsize=256)
def codec_of(model: Any) -> Codec[Any]:  # noqa: ANN401 - a model, or a TypeAdapter of one
    """Return the codec of a model.

    Raises `UnsupportedTypeError` for what is none, and what msgspec raises for an unknown name.
    """
    if hasattr(model, "validate_json") and hasattr(model, "dump_python"):
        return _pydantic_codec(model, str(model), partial(model.validate_json, b"{}"), None)
    name = getattr(model, "__name__", None) or str(model)
    if _is_object(model):
        raise no_model(model)
    if hasattr(model, "__pydantic_validator__"):
        adapter = sys.modules["pydantic"].TypeAdapter(model)
        is_root = getattr(model, "__pydantic_root_model__", False)
        names = None if is_root else model.__pydantic_fields__.keys()
        return _pydantic_codec(adapter, name, model, names)
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


def is_same_adapter(one: Any, other: Any) -> bool:  # noqa: ANN401 - models
    """Return True for two `pydantic.TypeAdapter` of equal types."""
    schema = getattr(other, "core_schema", None)
    return type(one) is type(other) and schema is not None and bool(one.core_schema == schema)


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


def _pydantic_codec(
    adapter: Any,  # noqa: ANN401 - a TypeAdapter
    name: str,
    default: Callable[[], Any],
    fields: AbstractSet[str] | None,
) -> Codec[Any]:
    if "by_name" not in signature(adapter.validate_json).parameters:
        raise SessionError("Typed content needs pydantic 2.11 or later. Upgrade pydantic.")

    def encode(made: object) -> JSON:
        return adapter.dump_python(
            made, mode="json", round_trip=True, warnings=False, by_alias=False
        )

    def decode(plain: JSON) -> object:
        # As JSON text: a strict model takes a text for a datetime from there alone. By name, as
        # the alias for reading may be another than that for writing.
        return adapter.validate_json(encode_text(plain), by_alias=False, by_name=True)

    @lru_cache(maxsize=1)
    def names() -> AbstractSet[str]:
        return frozenset(_names_in(adapter.core_schema))

    reason, is_partial = partial(_pydantic_reason, names=names), _has_hidden(adapter.core_schema)
    return Codec(name, fields, encode, decode, default, reason, is_partial=is_partial)


def _has_hidden(schema: object) -> bool:
    """Return True if a field in a schema of pydantic may not be written as it is."""
    match schema:
        case {"serialization_exclude": True} | {"serialization": {"function": _}}:
            return True
        case dict():
            return any(_has_hidden(schema[key]) for key in schema.keys() - _OWN)
        case list() | tuple():
            return any(map(_has_hidden, schema))
        case _:
            return False


def _pydantic_reason(
    error: Exception, *, names: Callable[[], AbstractSet[str]]
) -> tuple[str, str] | None:
    if not hasattr(error, "error_count"):
        return None
    details: Any = error
    first = details.errors(include_input=False, include_context=False, include_url=False)[0]
    steps = (
        f"[{step}]" if isinstance(step, int) else f'["{step}"]' if step in names() else "[...]"
        for step in first["loc"]
    )
    return "".join(steps), first["type"]


#: What a schema of pydantic holds of the application's own.
_OWN: Final = frozenset({"cls", "default", "metadata"})


def _names_in(schema: object) -> Iterator[str]:
    """Yield the names of the fields in a schema of pydantic. Other names are of the content."""
    match schema:
        case {"fields": dict() as found}:
            yield from found
        case {"fields": list() as listed}:
            yield from (each["name"] for each in listed if "name" in each)
        case _:
            pass
    if isinstance(schema, dict):
        for key in schema.keys() - _OWN:
            yield from _names_in(schema[key])
    elif isinstance(schema, list | tuple):
        for part in schema:
            yield from _names_in(part)


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
