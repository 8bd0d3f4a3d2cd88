"""The header fields, with quotes and without."""

import json

import pytest

from pgsession.dbsc import headers, instructions


def test_written() -> None:
    """The fields are those that browsers read."""
    assert headers.registration("/.session/register", "c.1") == (
        b"secure-session-registration",
        b'(ES256 RS256);path="/.session/register";challenge="c.1"',
    )
    assert headers.challenge("c.1", "id.2") == (
        b"secure-session-challenge",
        b'"c.1";id="id.2"',
    )


@pytest.mark.parametrize("text", [b"a.b.c", b'"a.b.c"', b" a.b.c ", b'\t"a.b.c"'])
def test_read(text: bytes) -> None:
    """A field is read with quotes and without, and whatever the case of its name is."""
    assert headers.read([(b"Secure-Session-Response", text)], headers.RESPONSE) == "a.b.c"


@pytest.mark.parametrize(
    "given",
    [
        [],
        [(b"other", b"a")],
        [(headers.RESPONSE, b"a"), (headers.RESPONSE, b"b")],
        [(headers.RESPONSE, b"a" * 5000)],
        [(headers.RESPONSE, "é".encode())],
    ],
)
def test_not_read(given: list[tuple[bytes, bytes]]) -> None:
    """A field that is missing, twice, too long or no ASCII is not read."""
    assert headers.read(given, headers.RESPONSE) is None


def test_skipped() -> None:
    """The reason for a missing proof is read; what is of another form is not."""
    text = b'quota_exceeded;session_identifier="id.2"'
    assert headers.read_skipped([(headers.SKIPPED, text)]) == "quota_exceeded"
    for other in (b"quota_exceeded_", b'A;session_identifier="i"', b""):
        assert headers.read_skipped([(headers.SKIPPED, other)]) is None


def test_instructions() -> None:
    """The instructions are those that browsers were seen to accept."""
    text = instructions.write(
        identifier="id.2",
        refresh_path="/.session/refresh",
        origin="https://app.example.com:8443",
        cookie_name="__Host-session-bound",
        cookie_attributes="Path=/; Secure; HttpOnly; SameSite=Lax",
        exclude=["/static/"],
    )

    assert json.loads(text) == {
        "session_identifier": "id.2",
        "refresh_url": "/.session/refresh",
        "scope": {
            "origin": "https://app.example.com:8443",
            "include_site": False,
            "scope_specification": [
                {"type": "exclude", "domain": "app.example.com", "path": "/static/"}
            ],
        },
        "credentials": [
            {
                "type": "cookie",
                "name": "__Host-session-bound",
                "attributes": "Path=/; Secure; HttpOnly; SameSite=Lax",
            }
        ],
        "allowed_refresh_initiators": ["*"],
    }
