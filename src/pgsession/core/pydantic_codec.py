"""The codecs of pydantic models. The application has imported pydantic: this package does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from functools import lru_cache, partial
from inspect import signature
from typing import Any, Final

from pgsession.core.codec import Codec
from pgsession.core.value import JSON, encode_text
from pgsession.errors import SessionError


def pydantic_codec(
    adapter: Any,  # noqa: ANN401 - a TypeAdapter
    name: str,
    default: Callable[[], Any],
    fields: AbstractSet[str] | None,
) -> Codec[Any]:
    """Return the codec of a `pydantic.TypeAdapter`, whose fields may be members of a session."""
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

    reason, is_partial = partial(_reason, names=names), _has_hidden(adapter.core_schema)
    return Codec(name, fields, encode, decode, default, reason, is_partial=is_partial)


def is_same_adapter(one: Any, other: Any) -> bool:  # noqa: ANN401 - models
    """Return True for two `pydantic.TypeAdapter` of equal types."""
    schema = getattr(other, "core_schema", None)
    return type(one) is type(other) and schema is not None and bool(one.core_schema == schema)


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


def _reason(error: Exception, *, names: Callable[[], AbstractSet[str]]) -> tuple[str, str] | None:
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
