"""Keys: the one that comes with a request carries its digests, and shows as little as any other."""

import copy
import pickle
from collections.abc import Callable

import pytest

from pgsession.core.keys import RequestKey, digest, key_digest, new_key, renewed_key, request_key

KEYS = [new_key(), renewed_key(new_key()), "short"]
IDS = ["new", "renewed", "malformed"]


@pytest.mark.parametrize("text", KEYS, ids=IDS)
def test_request_key(text: str) -> None:
    """The key of a request equals its text, and has the digests of that."""
    key = request_key(text.encode())

    assert key == text
    assert {key} == {text}
    assert key_digest(key) == key_digest(text)
    assert digest(key) == digest(text)


@pytest.mark.parametrize("text", KEYS, ids=IDS)
@pytest.mark.parametrize(
    "again",
    [copy.copy, copy.deepcopy, lambda key: pickle.loads(pickle.dumps(key))],  # noqa: S301 - ours
)
def test_copied(text: str, again: Callable[[RequestKey], RequestKey]) -> None:
    """A copy of the key of a request is such a key too."""
    key = again(request_key(text.encode()))

    assert type(key) is RequestKey
    assert key == text
    assert key_digest(key) == key_digest(text)


def test_heir() -> None:
    """A key that was renewed from the one of a request has digests of its own."""
    key = request_key(new_key().encode())

    heir = renewed_key(key)

    assert digest(heir) == digest(key)
    assert key_digest(heir) != key_digest(key)


def test_hidden() -> None:
    """The repr of the key of a request shows nothing of it."""
    assert repr(request_key(new_key().encode())) == "<hidden>"
