"""Proofs as Chromium 156 has made them, of one session: a registration and a refresh."""

import json

import pytest

from pgsession.dbsc.proofs import ProofError, read_refresh, read_registration

REGISTRATION = (
    "eyJhbGciOiJFUzI1NiIsImp3ayI6eyJjcnYiOiJQLTI1NiIsImt0eSI6IkVDIiwieCI6InpvXzhOei0xR081UzlrYVhx"
    "Y29rY2Vnc0NYNnk0TzdsbzNTSlJmMG5Xd3MiLCJ5IjoiZ1BvMGNybjcxVWpEeTJ1UVNtUE9Vcl9ELVdZdzVkWjNJZ0w1"
    "NFNTRDF2SSJ9LCJ0eXAiOiJkYnNjK2p3dCJ9.eyJqdGkiOiJqWHo0N0ZjazVwRFNhbTVoQ1NzRy0yTm5KX182LUVBM1I"
    "zSk5lajZsLjEuLnBlcWhOSmRwYlhTZ2p6dWpyOXZFZ3hvaTEtTFVrVGZHQ3NQVTkxNUFPdzQifQ.Rkm0n5zKyYArw9fl"
    "oBHcI4vrVOGw1Oo1FaHu4Y9yznX8ZJjOcXNSqCOB30sVxkbLLq_vduupwn2JZKnHTBtFQQ"
)
REFRESH = (
    "eyJhbGciOiJFUzI1NiIsInR5cCI6ImRic2Mrand0In0.eyJqdGkiOiIxNzk1ODM4ODQ5LjZBbU5XQWRpRFRNcElmR2w2"
    "U0VaT3J0MzBseTZ5NGl6dG5ha2k4cHFNN3MifQ.-_7RJNU9QxAficnWiTqNKBTxA5mFCyNLs05DGI6PDNBt18aGyvNxP"
    "UVyaKW4qzQMln4bgVHKejNQp5vzkEhZFw"
)


def test_read() -> None:
    """Both are verified, and their challenges are those that the server gave."""
    registration = read_registration(REGISTRATION)
    refresh = read_refresh(REFRESH, registration.public_key)

    assert json.loads(registration.public_key)["kty"] == "EC"
    assert registration.challenge.startswith("jXz47Fck5pDSam5hCSsG-2NnJ__6-EA3R3JNej6l.1..")
    assert refresh.challenge == "1795838849.6AmNWAdiDTMpIfGl6SEZOrt30ly6y4iztnaki8pqM7s"


@pytest.mark.parametrize("at", range(0, len(REFRESH), 7))
def test_altered(at: int) -> None:
    """A proof with one character changed is refused."""
    key = read_registration(REGISTRATION).public_key
    other = "A" if REFRESH[at] != "A" else "B"

    with pytest.raises(ProofError):
        read_refresh(f"{REFRESH[:at]}{other}{REFRESH[at + 1 :]}", key)
