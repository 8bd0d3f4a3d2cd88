"""Whether a member of a session is the same JSON as what is stored."""

from __future__ import annotations

from pgsession.core.plain import Budget
from pgsession.core.value import (
    ATOMS,
    JSON,
    canonical_text,
    checked_member,
    encode_member,
    encode_text,
    printed_bound,
)
from pgsession.errors import InvalidValueError


def same(one: JSON, other: JSON) -> bool:
    """Return True if two values are the same JSON. This is a fast check: False may be wrong.

    `other` must be plain. Both checks are needed: ``==`` does not distinguish
    True from 1, and the text does not distinguish a set from a list or NaN from
    null.
    """
    try:
        return bool(one == other) and (
            _are_atoms(one, other) or encode_text(one) == encode_text(other)
        )
    except Exception:  # noqa: BLE001 - the comparison of a foreign object may raise anything
        return False


def changed_text(name: str, member: JSON, stored: JSON, budget: Budget) -> bytes | None:
    """Return the `encode_member` text of ``session[name]``, or None if it equals `stored`."""
    if same(member, stored):
        return None
    checked = checked_member(name, member, budget)
    text = canonical_text(checked)
    if not _are_atoms(member, stored):
        # What is written as it is has no numbers that must be written in full.
        other = stored if checked is member else checked_member(name, stored, Budget())
        if text == canonical_text(other):
            return None
    return text


def differs(name: str, member: JSON, stored: JSON) -> bool:
    """Return True if ``session[name]`` is not the same JSON as the plain `stored`.

    A member that cannot be stored always differs.
    """
    if same(member, stored):
        return False
    limit = printed_bound(encode_member(name, stored, Budget()))
    try:
        return changed_text(name, member, stored, Budget(limit)) is not None
    except InvalidValueError:
        return True


def _are_atoms(one: object, other: object) -> bool:
    """Return True if ``==`` is enough to compare the two values as JSON."""
    return type(one) is type(other) and type(one) in ATOMS
