"""Signatures are those of itsdangerous and of the standard library."""

import base64
import hashlib
import hmac
import traceback
from types import TracebackType

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from itsdangerous import Signer

from pgsession.core import secret_keys
from pgsession.core.hidden import HiddenBytes
from pgsession.core.secret_keys import CookieSigner

#: HMAC takes a secret of one block as it is, a longer one as its hash, and pads a shorter one.
BLOCK = 64


@given(secret=st.binary(max_size=3 * BLOCK), salt=st.text(max_size=80), text=st.binary())
@example(secret=b"", salt="", text=b"")
@example(secret=b"s" * (BLOCK - 1), salt="salt", text=b"t" * (BLOCK - 1))
@example(secret=b"s" * BLOCK, salt="salt", text=b"t" * BLOCK)
@example(secret=b"s" * (BLOCK + 1), salt="salt", text=b"t" * (BLOCK + 1))
@settings(max_examples=200)
def test_signature(secret: bytes, salt: str, text: bytes) -> None:
    """A signature is HMAC-SHA-256 under a key that is derived by HMAC-SHA-256, as itsdangerous's.

    A second signature of the same signer does not depend on the first.
    """
    signer = CookieSigner(secret, salt=salt)
    theirs = Signer(secret, salt=salt, key_derivation="hmac", digest_method=hashlib.sha256)
    derived = hmac.digest(secret, salt.encode(), "sha256")
    expected = base64.urlsafe_b64encode(hmac.digest(derived, text, "sha256")).rstrip(b"=")

    signatures = [signer.sign(text), signer.sign(b"another"), signer.sign(text)]

    assert signatures[0] == signatures[2] == expected == theirs.get_signature(text)
    assert (signatures[1] == expected) is (text == b"another")


def test_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error in the constructor shows neither the secret nor the key derived from it."""
    secret = HiddenBytes(b"a secret that no traceback shows!")
    derived = hmac.digest(secret, b"salt", "sha256")
    monkeypatch.setattr(secret_keys, "_OUTER", b"too short")

    with pytest.raises(ValueError, match="256") as raised:
        CookieSigner(secret, salt="salt")

    shown = _locals_of(raised.tb, file=secret_keys.__file__)
    assert "<hidden>" in shown
    assert repr(derived)[2:20] not in shown
    assert "no traceback" not in shown


def _locals_of(tb: TracebackType, *, file: str) -> str:
    """Return the reprs of the local variables of the frames that run a file."""
    frames = [frame for frame, _ in traceback.walk_tb(tb) if frame.f_code.co_filename == file]
    return " ".join(repr(value) for frame in frames for value in frame.f_locals.values())
