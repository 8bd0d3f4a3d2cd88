"""Keys, their digests, and the reprs of entries and changes."""

import base64
import hashlib
import re
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pgsession.core.keys import digest, new_key
from pgsession.core.store import Changes, Entry
from pgsession.errors import InvalidValueError, ValueTooLargeError

PRIVATE = "hunter2"


def test_new_key() -> None:
    """A key has 40 URL-safe characters, and all keys differ."""
    keys = {new_key() for _ in range(1000)}

    assert len(keys) == 1000
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{40}", key) for key in keys)


def test_key_bits() -> None:
    """A key has 240 bits, and every bit varies."""
    numbers = [int.from_bytes(base64.urlsafe_b64decode(new_key())) for _ in range(200)]

    ever_set, always_set = 0, -1
    for number in numbers:
        ever_set |= number
        always_set &= number
    assert ever_set == 2**240 - 1
    assert always_set == 0


def test_digest() -> None:
    """A store keeps the first 30 bytes of the key's SHA-256 as 40 URL-safe characters."""
    key = "k" * 40

    hashed = hashlib.sha256(b"k" * 40).digest()[:30]

    assert digest(key) == base64.urlsafe_b64encode(hashed).decode()
    assert len(digest(key)) == 40


@given(st.text(st.characters(exclude_categories=[])))
@example("\ud800")
def test_digest_is_total(key: str) -> None:
    """The digest of any string has the same shape, so an invalid key is just not found."""
    assert re.fullmatch(r"[A-Za-z0-9_-]{40}", digest(key))


def test_one_spelling() -> None:
    """Keys that differ only in trailing blanks, which char(40) ignores, have different digests."""
    assert len({digest("k"), digest("k "), digest("k\0"), digest(" k"), digest("K")}) == 5


def test_entry_repr() -> None:
    """The repr of an entry shows its periods and no part of its value."""
    entry = Entry({PRIVATE: PRIVATE}, period=timedelta(days=1))

    assert PRIVATE not in repr(entry)
    assert repr(entry).startswith("Entry(period=datetime.timedelta(days=1), granted=None")


def test_changes_repr() -> None:
    """The repr of changes shows their number, not their names."""
    changes = Changes(
        set={PRIVATE: PRIVATE}, removed={PRIVATE, "other"}, encoded=b'{"hunter2":"hunter2"}'
    )

    assert repr(changes) == "Changes(1 set, 2 removed, replaced=False)"


@pytest.mark.parametrize(
    ("changes", "truth"),
    [
        pytest.param(Changes(), False, id="none"),
        pytest.param(Changes(encoded=b"{}"), False, id="none, encoded"),
        pytest.param(Changes(set={"a": None}), True, id="set"),
        pytest.param(Changes(removed={"a"}), True, id="removed"),
        pytest.param(Changes(replaced=True), True, id="replaced by nothing"),
    ],
)
def test_changes_truth(changes: Changes, truth: bool) -> None:
    """Changes are true if they change anything."""
    assert bool(changes) is truth


def test_changes_equality() -> None:
    """Changes are equal if they have the same effect, whether encoded or not."""
    assert Changes(set={"a": 1}) == Changes(set={"a": 1}, encoded=b'{"a":1}')
    assert Changes(set={"a": 1}) != Changes(set={"a": 1}, replaced=True)


def test_encode() -> None:
    """Changes made by hand are checked and encoded on demand."""
    assert Changes(set={"a": (1, 1e16)}).encode(limit=100) == b'{"a":[1,10000000000000000.0]}'
    assert Changes(set={"a": 1}, encoded=b'{"a":1}').encode(limit=100) == b'{"a":1}'


def test_encode_refuses() -> None:
    """Changes that cannot be stored raise the same errors as values."""
    with pytest.raises(InvalidValueError, match=r'session\["a"\] is of type set'):
        Changes(set={"a": {1}}).encode(limit=100)
    with pytest.raises(ValueTooLargeError):
        Changes(set={"a": "x" * 100}).encode(limit=100)


def test_changes_equal() -> None:
    """Changes are equal if they have the same effect, encoded or not; they are not hashable."""
    changes = Changes(set={"a": 1}, removed=["b"])

    assert changes == Changes(set={"a": 1}, removed={"b"}, encoded=b'{"a":1}')
    assert changes != Changes(set={"a": 1})
    assert changes != ({"a": 1}, ["b"])
    with pytest.raises(TypeError, match="not hashable"):
        hash(changes)
