"""The parts of objects: how two are compared, and how one gets the content of another."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, Final

import msgspec

#: Slots that are no content.
_NO_PARTS: Final = frozenset({"__dict__", "__weakref__", "__pydantic_fields_set__"})


def is_alike(one: Any, other: Any) -> bool:  # noqa: ANN401 - any two objects
    """Return True if two objects are equal, or of one class and alike in all their parts.

    Objects of a class without an equality of its own are so compared by what they hold. A
    tuple is like a list, as it is in JSON.
    """
    try:
        if one == other:
            return True
        match one, other:
            case (list() | tuple(), list() | tuple()):
                return len(one) == len(other) and all(map(is_alike, one, other))
            case (dict(), dict()):
                return _are_alike(one, other)
            case _ if type(one) is not type(other):
                return False
        parts = _parts_of(one)
        return _are_alike(parts, _parts_of(other)) if parts else not _has_equality(type(one))
    except Exception:  # noqa: BLE001 - the code of the class may raise anything
        return False


def copy_parts(fresh: Any, made: Any) -> bool:  # noqa: ANN401 - any two objects
    """Make the content of `made` that of `fresh`, of the same class; return False if it cannot be.

    The fields are set as the class itself would set them, also those of a frozen one.
    """
    match made:
        case dict() | set():
            made.clear()
            made.update(fresh)
            return True
        case list():
            made[:] = fresh
            return True
        case msgspec.Struct():
            for field in made.__struct_fields__:
                msgspec.structs.force_setattr(made, field, getattr(fresh, field))
            return True
        case _:
            names = [*_slots_of(type(made)), *(["__dict__"] if hasattr(made, "__dict__") else [])]
            for name in names:
                if hasattr(fresh, name):
                    object.__setattr__(made, name, getattr(fresh, name))
            return bool(names)


def _are_alike(parts: dict[Any, Any], others: dict[Any, Any]) -> bool:
    return parts.keys() == others.keys() and all(
        is_alike(part, others[name]) for name, part in parts.items()
    )


def _has_equality(kind: type) -> bool:
    return any("__eq__" in vars(each) for each in kind.__mro__ if each is not object)


def _parts_of(node: object) -> dict[str, object]:
    """Return the attributes of an object, without what it has computed of them."""
    if isinstance(node, msgspec.Struct):
        return {name: getattr(node, name) for name in node.__struct_fields__}
    kind = type(node)
    parts = {
        name: part
        for name, part in getattr(node, "__dict__", {}).items()
        if not isinstance(getattr(kind, name, None), cached_property)
    }
    slots = (name for name in _slots_of(kind) if name not in _NO_PARTS and hasattr(node, name))
    return {**parts, **{name: getattr(node, name) for name in slots}}


def _slots_of(kind: type) -> Iterator[str]:
    for each in kind.__mro__:
        slots = each.__dict__.get("__slots__", ())
        for slot in [slots] if isinstance(slots, str) else slots:
            if slot not in {"__dict__", "__weakref__"}:
                yield slot
