"""The cookie: finding it in hostile headers, writing it, and rejecting bad settings."""

import base64
import copy
import hashlib
import hmac
import pickle
import re
import string
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from itsdangerous import Signer, TimestampSigner, URLSafeTimedSerializer

from pgsession.core.cookie import Cookie, cookie_due
from pgsession.core.keys import key_digest
from pgsession.core.secret_keys import is_guessable
from pgsession.errors import SettingsError

SECRET = "one-secret-that-is-long-enough-for-it"
OTHER = "another-secret-that-is-long-enough-too"
KEY = "Zm9vYmFyLV9mb29iYXItX2Zvb2Jhci1fZm9vYmFy"
SECOND_KEY = "k" * 40
RENEWED = KEY + "." + "v" * 32

cookie = Cookie(secret_keys=[SECRET], name="session")


def signed(key: str = KEY, *, by: Cookie = cookie) -> bytes:
    """Return the value of the cookie for `key`, as a browser would send it."""
    pair, _, _ = by.write(key, None).partition(b";")
    return pair.partition(b"=")[2]


def found(*headers: bytes, by: Cookie = cookie) -> str | None:
    """Return the key of the only session cookie in the headers, or None."""
    cookies = by.find([(b"cookie", header) for header in headers])
    if not cookies:
        return None
    (only,) = cookies
    return only.key


def found_all(*headers: bytes) -> list[str]:
    return [each.key for each in cookie.find([(b"cookie", header) for header in headers])]


GOOD = b"session=" + signed()
TURNED = cookie.write(RENEWED, None, number=7).partition(b";")[0]
FORGED = GOOD[:-10] + b"forgedsig_"


@pytest.mark.parametrize("key", [KEY, RENEWED])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_key(key: str, protocol: int) -> None:
    """A key of a cookie has its own digests, as its copies do, and no repr shows it."""
    (only,) = cookie.find([(b"cookie", b"session=" + signed(key))])

    for each in (only.key, copy.copy(only.key), pickle.loads(pickle.dumps(only.key, protocol))):  # noqa: S301 - our own
        assert each == key
        assert key_digest(each) == key_digest(key)
        assert repr(each) == "<hidden>"


def test_signature() -> None:
    """The signature is HMAC-SHA256; its salt names the package and the cookie.

    The signature is part of the format: a different one would log out all users.
    """
    derived = hmac.digest(SECRET.encode(), b"pgsession.cookie.session", hashlib.sha256)
    text = KEY.encode() + b"..."
    signature = base64.urlsafe_b64encode(hmac.digest(derived, text, hashlib.sha256))

    assert signed() == text + b"." + signature.rstrip(b"=")


def test_older_text() -> None:
    """A cookie of the older text, with the key and its signature alone, is found."""
    derived = hmac.digest(SECRET.encode(), b"pgsession.cookie.session", hashlib.sha256)
    signature = base64.urlsafe_b64encode(hmac.digest(derived, KEY.encode(), hashlib.sha256))
    older = b"session=" + KEY.encode() + b"." + signature.rstrip(b"=")

    (only,) = cookie.find([(b"cookie", older)])

    assert (only.key, only.until, only.is_current) == (KEY, None, False)


def test_until() -> None:
    """The signed text says when the browser drops the cookie, in Unix seconds."""
    before = time.time()

    pair, _, _ = cookie.write(KEY, timedelta(hours=1)).partition(b";")
    (only,) = cookie.find([(b"cookie", pair)])

    assert only.is_current
    assert only.until is not None
    assert before + 3600 <= only.until <= time.time() + 3601


def test_until_is_signed() -> None:
    """Nobody can change in a cookie when it ends, or leave it out."""
    pair, _, _ = cookie.write(KEY, timedelta(hours=1)).partition(b";")
    text, _, signature = pair.rpartition(b".")

    assert found(text[:-1] + b"." + signature) is None
    assert found(text[:-1] + str(9 - int(text[-1:])).encode() + b"." + signature) is None
    assert found(b"session=" + KEY.encode() + b"." + signature) is None


@pytest.mark.parametrize(
    ("key", "number", "text"),
    [
        pytest.param(KEY, 0, f"{KEY}...", id="generated"),
        pytest.param(KEY, 7, f"{KEY}..7.", id="generated and rotated"),
        pytest.param(RENEWED, 0, f"{RENEWED}..", id="renewed"),
        pytest.param(RENEWED, 999_999_999, f"{RENEWED}.999999999.", id="renewed and rotated"),
    ],
)
@pytest.mark.parametrize("max_age", [None, timedelta(hours=1)], ids=["browser", "an hour"])
def test_number(key: str, number: int, text: str, max_age: timedelta | None) -> None:
    """The text holds the key, with its verifier, and the number, and zero is left out."""
    pair, _, _ = cookie.write(key, max_age, number=number).partition(b";")
    (only,) = cookie.find([(b"cookie", b"a=b; " + pair + b"; c=d")])

    assert pair.startswith(b"session=" + text.encode())
    assert (only.key, only.number, only.is_current) == (key, number, True)
    assert (only.until is None) is (max_age is None)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"{KEY}..0.", id="zero"),
        pytest.param(f"{KEY}..07.", id="leading zero"),
        pytest.param(f"{KEY}..+7.", id="plus"),
        pytest.param(f"{KEY}..-7.", id="minus"),
        pytest.param(f"{KEY}..7_0.", id="underscore"),
        pytest.param(f"{KEY}..1000000000.", id="ten digits"),
        pytest.param(f"{KEY}..\u0667.".encode().decode("latin-1"), id="other digits"),
        pytest.param(f"{KEY}..7", id="no end"),
        pytest.param(f"{KEY}..7..", id="a dot more"),
        pytest.param(f"{KEY}.{'v' * 31}..", id="short verifier"),
        pytest.param(f"{KEY}.{'v' * 33}..", id="long verifier"),
        pytest.param(f"{KEY}.{'+' * 32}..", id="verifier in the other alphabet"),
        pytest.param(RENEWED, id="verifier in the older text"),
        pytest.param(f"{RENEWED}.7", id="number in the older text"),
        pytest.param(f"{RENEWED}.{'v' * 32}..", id="two verifiers"),
    ],
)
def test_shape_of_text(text: str) -> None:
    """A text in a form that `write` never gives is rejected even if its signature is valid."""
    (signer,) = cookie._signers  # noqa: SLF001 - to sign what this version never writes
    raw = text.encode("latin-1")

    assert found(b"session=" + raw + b"." + signer.sign(raw)) is None


def test_number_is_signed() -> None:
    """Nobody can change the number or the verifier of a cookie, or leave them out."""
    pair, _, _ = cookie.write(RENEWED, None, number=7).partition(b";")

    assert found(pair) == RENEWED
    for forged in (b".8.", b".6.", b".77.", b"..", b"."):
        assert found(pair.replace(b".7.", forged)) is None
    assert found(pair.replace(b"." + b"v" * 32, b".")) is None
    assert found(pair.replace(b"v" * 32, b"w" * 32)) is None


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(GOOD, id="alone"),
        pytest.param(b"a=b; " + GOOD, id="last"),
        pytest.param(GOOD + b"; a=b", id="first"),
        pytest.param(b"a=b;" + GOOD + b";c=d", id="without blanks"),
        pytest.param(b"a=b;\t " + GOOD + b" \t; c=d", id="with more blanks"),
        pytest.param(b";;; ;" + GOOD + b";", id="empty pairs"),
        pytest.param(b"novalue; =noname; " + GOOD, id="odd neighbours"),
        pytest.param(b'a="\\"; ' + GOOD, id="neighbour with a quote"),
        pytest.param(b"\xff\x00=\x80; " + GOOD, id="neighbour of raw bytes"),
        pytest.param(b"session=; " + GOOD, id="after an empty one"),
        pytest.param(FORGED + b"; " + GOOD, id="after a forged one"),
        pytest.param(GOOD + b"; " + FORGED, id="before a forged one"),
        pytest.param(b"a=1; " * 1000 + GOOD, id="after a thousand others"),
        pytest.param(GOOD + b"; session=" + b"x" * 100_000, id="before a huge one"),
    ],
)
def test_found(header: bytes) -> None:
    """The cookie is found at any position in its header."""
    assert found(header) == KEY


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(b"", id="empty header"),
        pytest.param(b"a=b", id="other cookie"),
        pytest.param(b"session", id="name alone"),
        pytest.param(b"session=", id="empty value"),
        pytest.param(b"session=.", id="a dot"),
        pytest.param(b"session=..", id="two dots"),
        pytest.param(b"session=a.b", id="a.b"),
        pytest.param(b"session=a.b.c", id="a.b.c"),
        pytest.param(b"session=" + KEY.encode(), id="no signature"),
        pytest.param(b"session=" + KEY.encode() + b".", id="empty signature"),
        pytest.param(GOOD[:-1], id="truncated"),
        pytest.param(GOOD + b"A", id="a letter more"),
        pytest.param(GOOD + b"=", id="padding"),
        pytest.param(GOOD + b".x", id="a dot more"),
        pytest.param(GOOD[:-5] + b"\xc3" + GOOD[-5:], id="byte that base64 ignores"),
        pytest.param(FORGED, id="forged"),
        pytest.param(b"session=" + b"x" * 100_000, id="100 KB"),
        pytest.param(b"session=" + b"x" * 100_000 + b"." + b"x" * 43, id="100 KB and a signature"),
        pytest.param(b'session="' + b"\\" * 60_000 + b'"', id="quoted backslashes"),
        pytest.param(b'session="' + b'\\"' * 30_000 + b'"', id="quoted quotes"),
        pytest.param(b"session=" * 10_000, id="name over and over"),
        pytest.param(b'session="' + signed() + b'"', id="quoted"),
        pytest.param(b'session="' + signed() + rb'\000"', id="octal NUL"),
        pytest.param(b'session="' + signed() + rb'\012"', id="octal newline"),
        pytest.param(GOOD + rb"\012", id="octal newline, unquoted"),
        pytest.param(GOOD + b"\0", id="NUL"),
        pytest.param(GOOD + b"\r", id="CR at the end"),
        pytest.param(GOOD + b"\n", id="LF at the end"),
        pytest.param(GOOD + b"\r\nSet-Cookie: a=b", id="CR LF and a header"),
        pytest.param(b"\r\n" + GOOD, id="CR LF at the start"),
        pytest.param(b"a=b\r\n" + GOOD, id="CR LF in place of a semicolon"),
        pytest.param(GOOD + b"\x0b", id="vertical tab"),
        pytest.param(GOOD + b"\xa0", id="no-break space in latin-1"),
        pytest.param(b"session=" + bytes(range(0x80, 0x100)), id="high bytes"),
        pytest.param(b"session=\xed\xa0\x80." + b"x" * 43, id="surrogate in UTF-8"),
        pytest.param(GOOD.replace(b".", b"%2E"), id="percent-encoded"),
        pytest.param(GOOD.replace(b".", b","), id="comma"),
        pytest.param(GOOD.replace(b".", b";"), id="semicolon"),
        pytest.param(GOOD.replace(b".", b" "), id="blank"),
        pytest.param(GOOD.replace(b".", b"\t"), id="tab"),
        pytest.param(GOOD.replace(b"=", b" = ", 1), id="blanks around the equals sign"),
        pytest.param(GOOD.replace(b"session", b"Session"), id="name in another case"),
        pytest.param(b"x" + GOOD, id="longer name"),
        pytest.param(b"a=" + GOOD, id="as another's value"),
        pytest.param(b"session[]=" + signed(), id="name with brackets"),
        pytest.param(b"session=1' OR '1'='1", id="SQL"),
        pytest.param(b"session=%_\\", id="LIKE wildcards"),
    ],
)
def test_not_found(header: bytes) -> None:
    """A cookie that differs in any byte from what we wrote is ignored without an error."""
    assert found(header) is None


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("", id="empty"),
        pytest.param("k" * 39, id="39 characters"),
        pytest.param("k" * 41, id="41 characters"),
        pytest.param("k" * 39 + " ", id="blank at the end"),
        pytest.param("k" * 39 + "=", id="padding"),
        pytest.param("k" * 39 + "%", id="wildcard"),
        pytest.param("k" * 39 + "'", id="quote"),
        pytest.param("k" * 20 + "." + "k" * 19, id="dot"),
        pytest.param("k" * 39 + "\n", id="newline"),
    ],
)
def test_shape_of_key(key: str) -> None:
    """A key with the wrong shape is rejected even if its signature is valid."""
    assert found(b"session=" + signed(key)) is None


def test_either_alphabet() -> None:
    """A key with + and / is found, because an older application may have issued it."""
    key = "+/" * 20

    assert found(b"session=" + signed(key)) == key


def test_no_headers() -> None:
    """A request without a Cookie header has no session, whatever its other headers contain."""
    assert cookie.find([]) == []
    assert cookie.find([(b"host", GOOD), (b"cookie2", GOOD), (b"set-cookie", GOOD)]) == []


def test_header_names() -> None:
    """The name of the header is case-insensitive, because not every server lower-cases it."""
    assert [each.key for each in cookie.find([(b"Cookie", GOOD)])] == [KEY]


def test_headers_in_lists() -> None:
    """The headers may be lists instead of tuples."""
    headers: Any = [[b"cookie", GOOD]]

    assert [each.key for each in cookie.find(headers)] == [KEY]


BAD = [
    pytest.param(b"session=", id="empty"),
    pytest.param(b"session=a.b", id="garbage"),
    pytest.param(FORGED, id="forged"),
    pytest.param(b"session=" + signed(by=Cookie(secret_keys=[OTHER])), id="foreign"),
    pytest.param(b"a=b", id="other name"),
]


@pytest.mark.parametrize("bad", BAD)
def test_same_name_twice(bad: bytes) -> None:
    """Of several cookies with the name, the one with a valid signature counts, in any order."""
    assert found(bad + b"; " + GOOD) == KEY
    assert found(GOOD + b"; " + bad) == KEY
    assert found(bad, GOOD) == KEY
    assert found(GOOD, bad) == KEY
    assert found(bad, b"a=b; " + GOOD, bad) == KEY


def test_two_good_ones() -> None:
    """All cookies that verify are found, in the order of the header."""
    second = b"session=" + signed(SECOND_KEY)

    assert found_all(GOOD + b"; " + second) == [KEY, SECOND_KEY]
    assert found_all(second, GOOD, second) == [SECOND_KEY, KEY, SECOND_KEY]


@pytest.mark.parametrize("forgery", [FORGED, b"session=junk"], ids=["right shape", "wrong shape"])
def test_flood(forgery: bytes) -> None:
    """Forgeries hide no cookie within the 64 kB of headers that are read."""
    flood = [forgery] * (64_000 // (len(forgery) + 2))

    assert found(b"; ".join([*flood, GOOD])) == KEY
    assert found(*flood, GOOD) == KEY


def test_cut_header() -> None:
    """A cookie that is not read to its end is not found, even if what is read of it verifies."""
    filler = b"a=" + b"b" * (65_536 - len(GOOD) - 4) + b"; "

    assert found(filler + GOOD) == KEY
    assert found(filler + GOOD + b"x") is None
    assert found(filler + GOOD + b"; c=d") == KEY


def test_longer_header() -> None:
    """No more than 64 kB of the Cookie headers are read."""
    assert found(b"a=" + b"b" * 65_536 + b"; " + GOOD) is None
    assert found(b"a=" + b"b" * 65_536, GOOD) is None
    assert found(b"a=b; p=" + b"x" * 70_000, GOOD, b"a=b; " + GOOD) is None


def test_flood_of_good_ones() -> None:
    """No number of cookies that verify hides one, within the part of the header that is read."""
    good = [b"session=" + signed(f"{number:040}") for number in range(580)]

    assert found_all(b"; ".join([*good, GOOD]))[-1] == KEY


def test_count() -> None:
    """It is known how many cookies of the name came, whatever their values are."""
    headers = [
        (b"Cookie", GOOD + b"; session ; xsession=1; session=; a=session=b"),
        (b"host", GOOD),
    ]

    assert cookie.count(headers) == 2
    assert cookie.count([]) == 0


@pytest.mark.parametrize(
    ("attributes", "host", "several", "deleted"),
    [
        pytest.param({}, "app.example.org", True, [], id="__Host-"),
        pytest.param(
            {"name": "__Host-sid"}, "app.example.org", True, ["/ partitioned"], id="own name"
        ),
        pytest.param({"secure": False}, "app.example.org", False, [], id="host alone"),
        pytest.param(
            {"secure": False},
            "app.example.org:8000",
            True,
            ["/ app.example.org", "/ example.org"],
            id="domains above",
        ),
        pytest.param({"secure": False}, "10.0.0.1", True, [], id="address"),
        pytest.param({"secure": False}, "localhost", True, [], id="no dot"),
        pytest.param({"secure": False}, "a;b.org", True, [], id="no host"),
        pytest.param({"secure": False}, "a." * 200 + "org", True, [], id="no host so long"),
        pytest.param(
            {"secure": False},
            "a." * 100 + "org",
            True,
            [f"/ {'a.' * number}org" for number in (5, 4, 3, 2, 1)],
            id="many names",
        ),
        pytest.param(
            {"secure": False, "domain": "example.org"}, "", False, ["/"], id="domain added"
        ),
        pytest.param(
            {"name": "sid", "partitioned": True}, "", False, ["/"], id="partitioned added"
        ),
        pytest.param({"secure": False, "path": "/app"}, "localhost", True, ["/"], id="path added"),
    ],
)
def test_delete_twins(
    *, attributes: dict[str, Any], host: str, several: bool, deleted: list[str]
) -> None:
    """Cookies of our name with other attributes can be deleted, as far as they can be named."""
    own = Cookie(secret_keys=[SECRET], **attributes)
    shape = re.compile(
        rf"{own.name}=null; path=(\S+); expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; "
        r"httponly; samesite=lax(?:; secure)?(?:; domain=(\S+))?(?:; (partitioned))?"
    )

    texts = [text.decode() for text in own.delete_twins(host, several=several)]

    named = [shape.fullmatch(text.replace(";;", ";")) for text in texts]
    assert [" ".join(filter(None, match.groups())) for match in named if match] == deleted
    assert own.delete().decode() not in texts


@pytest.mark.parametrize("secrets", [[OTHER], [OTHER, SECRET + "x"]], ids=["one", "two"])
def test_wrong_secret(secrets: Sequence[str]) -> None:
    """A cookie signed with another secret, or with a retired one, is ignored."""
    assert found(GOOD, by=Cookie(secret_keys=secrets, name="session")) is None


def test_rotation() -> None:
    """Any listed secret verifies a cookie, and the newest one signs it."""
    rotated = Cookie(secret_keys=[OTHER, SECRET], name="session")
    newest = Cookie(secret_keys=[OTHER], name="session")

    assert found(GOOD, by=rotated) == KEY
    assert rotated.write(KEY, None) == newest.write(KEY, None) != cookie.write(KEY, None)


def test_secret_bytes() -> None:
    """A secret means the same as str and as bytes."""
    assert found(GOOD, by=Cookie(secret_keys=[SECRET.encode()], name="session")) == KEY


def test_other_name() -> None:
    """A value signed for a cookie with another name is ignored, even if the secret is the same."""
    value = signed(by=Cookie(secret_keys=[SECRET], name="admin"))

    assert found(b"session=" + value) is None


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(Signer(SECRET).sign(KEY), id="defaults"),
        pytest.param(
            Signer(SECRET, key_derivation="hmac", digest_method=hashlib.sha256).sign(KEY),
            id="our digest, default salt",
        ),
        pytest.param(
            Signer(
                SECRET, salt="cookie-session", key_derivation="hmac", digest_method=hashlib.sha256
            ).sign(KEY),
            id="Flask's salt",
        ),
        pytest.param(TimestampSigner(SECRET).sign(KEY), id="with a timestamp, as Starlette's"),
        pytest.param(URLSafeTimedSerializer(SECRET).dumps(KEY).encode(), id="serializer"),
    ],
)
def test_other_token(token: bytes) -> None:
    """A token that other code signed with the same secret is ignored."""
    assert found(b"session=" + token) is None


FORMS = [
    pytest.param(KEY, 0, id="generated"),
    pytest.param(KEY, 12, id="rotated"),
    pytest.param(RENEWED, 0, id="renewed"),
    pytest.param(RENEWED, 12, id="renewed and rotated"),
]


@pytest.mark.parametrize(("key", "number"), FORMS)
@pytest.mark.parametrize("max_age", [None, timedelta(hours=1)], ids=["browser", "an hour"])
def test_malleable(key: str, number: int, max_age: timedelta | None) -> None:
    """No other byte in any place of a cookie verifies: each has exactly one spelling."""
    pair, _, _ = cookie.write(key, max_age, number=number).partition(b";")
    alphabet = (string.ascii_letters + string.digits + "-_.+/=").encode()
    spellings = {
        pair[:place] + bytes([letter]) + pair[place + 1 :]
        for place in range(len(b"session="), len(pair))
        for letter in alphabet
    }
    cut = {pair[:place] + pair[place + 1 :] for place in range(len(b"session="), len(pair))}

    assert [each for each in spellings | cut if found(each) is not None] == [pair]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"cookie", b"host", b"COOKIE"]),
            st.lists(
                st.sampled_from(
                    [b"session", b"=", b";", b".", b" ", b'"', b"\\", GOOD, signed(), KEY.encode()]
                )
                | st.sampled_from([TURNED, b".7.", b"v" * 32, RENEWED.encode()])
                | st.binary()
            ).map(b"".join),
        )
    )
)
@example([(b"cookie", b"session=" + b"\xff" * 84)])
@settings(deadline=None)
def test_fuzz(headers: list[tuple[bytes, bytes]]) -> None:
    """Any headers give either a key and a number that we signed or none."""
    found = {(each.key, each.number) for each in cookie.find(headers)}

    assert found <= {(KEY, 0), (RENEWED, 7)}


@pytest.mark.parametrize(
    ("given_cookie", "written"),
    [
        pytest.param(
            Cookie(secret_keys=[SECRET]),
            "__Host-session=…; path=/; Max-Age=60; httponly; samesite=lax; secure",
            id="defaults",
        ),
        pytest.param(
            Cookie(secret_keys=[SECRET], name="sid", secure=False),
            "sid=…; path=/; Max-Age=60; httponly; samesite=lax",
            id="plain HTTP",
        ),
        pytest.param(
            Cookie(
                secret_keys=[SECRET],
                path="/app",
                domain="example.org",
                same_site="none",
                partitioned=True,
            ),
            "session-partitioned=…; path=/app; Max-Age=60; httponly; samesite=none; secure; "
            "domain=example.org; partitioned",
            id="everything",
        ),
        pytest.param(
            Cookie(secret_keys=[SECRET], same_site="strict", domain=".example.org"),
            "session=…; path=/; Max-Age=60; httponly; samesite=strict; secure; domain=.example.org",
            id="strict",
        ),
    ],
)
def test_written(given_cookie: Cookie, written: str) -> None:
    """The Set-Cookie text contains every attribute, in Starlette's order."""
    value = signed(by=given_cookie).decode()

    text = given_cookie.write(KEY, timedelta(seconds=60)).decode()
    assert re.sub(r"=[\w.-]{97};", "=…;", text) == written
    assert given_cookie.write(KEY, None).decode() == written.replace("…", value).replace(
        " Max-Age=60;", ""
    )
    assert given_cookie.delete().decode() == written.replace("…", "null").replace(
        "Max-Age=60", "expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0"
    )


def test_size() -> None:
    """The value of a cookie has 97 to 138 bytes, whatever the session contains."""
    shortest = cookie.write(KEY, timedelta(days=7))
    longest = cookie.write(RENEWED, timedelta(days=7), number=999_999_999)

    sizes = [len(text.partition(b"=")[2].partition(b";")[0]) for text in (shortest, longest)]
    assert sizes == [97, 138]


@pytest.mark.parametrize(
    ("max_age", "seconds"),
    [
        pytest.param(timedelta(seconds=60), 60, id="whole"),
        pytest.param(timedelta(seconds=59, microseconds=1), 60, id="rounded up"),
        pytest.param(timedelta(microseconds=1), 1, id="a tick"),
        pytest.param(timedelta(0), 0, id="zero"),
        pytest.param(timedelta(microseconds=-1), 0, id="just over"),
        pytest.param(timedelta(days=-7), 0, id="negative"),
        pytest.param(timedelta(days=400), 34_560_000, id="400 days"),
        pytest.param(timedelta(days=400, microseconds=1), 34_560_000, id="a tick more"),
        pytest.param(timedelta.max, 34_560_000, id="for ever"),
    ],
)
def test_max_age(max_age: timedelta, seconds: int) -> None:
    """Max-Age is rounded up, so that no cookie expires before its row, and is at most 400 days."""
    assert f"; Max-Age={seconds}; ".encode() in cookie.write(KEY, max_age)


def test_null_is_no_key() -> None:
    """A browser that keeps the value written by `delete` has no session."""
    assert found(cookie.delete().partition(b";")[0]) is None


@pytest.mark.parametrize(
    ("attributes", "name"),
    [
        pytest.param({}, "__Host-session", id="defaults"),
        pytest.param({"secure": False}, "session", id="plain HTTP"),
        pytest.param({"path": "/app"}, "session", id="path"),
        pytest.param({"domain": "example.org"}, "session", id="domain"),
        pytest.param({"partitioned": True}, "__Host-session-partitioned", id="partitioned"),
        pytest.param({"name": "sid"}, "sid", id="given"),
        pytest.param({"name": "sid", "partitioned": True}, "sid", id="given and partitioned"),
        pytest.param({"name": "__Secure-sid", "path": "/app"}, "__Secure-sid", id="secure prefix"),
    ],
)
def test_name(attributes: dict[str, Any], name: str) -> None:
    """The default name is `__Host-session` if the rules of that prefix are met, else `session`.

    That of a partitioned cookie is another one.
    """
    assert Cookie(secret_keys=[SECRET], **attributes).name == name


@pytest.mark.parametrize(
    ("secrets", "message"),
    [
        pytest.param([], "is missing", id="empty list"),
        pytest.param((), "is missing", id="empty tuple"),
        pytest.param([""], "is 0 bytes long", id="empty secret"),
        pytest.param(["hunter2"], "is 7 bytes long", id="short"),
        pytest.param([b"hunter2"], "is 7 bytes long", id="short bytes"),
        pytest.param(["hunter2" * 4 + "abc"], "is 31 bytes long", id="a byte short"),
        pytest.param([SECRET, "hunter2"], "is 7 bytes long", id="second is short"),
        pytest.param([None], "must be str or bytes, not NoneType", id="None in a list"),
        pytest.param([SECRET, 5], "must be str or bytes, not int", id="a number"),
        pytest.param(["${SESSION_SECRET_KEY_OF_OUR_APPLICATION}"], "holds a placeholder", id="${}"),
        pytest.param(["{{ vault.session_secret_key_of_app }}"], "holds a placeholder", id="{{}}"),
        pytest.param(["$(cat /run/secrets/session-secret-key)"], "holds a placeholder", id="$()"),
        pytest.param(["%(session_secret_key_of_our_app)s"], "holds a placeholder", id="%()s"),
        pytest.param(["prefix-${SESSION_SECRET}-and-its-suffix"], "holds a placeholder", id="part"),
        pytest.param([b"${SESSION_SECRET_KEY_OF_OUR_APPLICATION}"], "holds a", id="bytes"),
        pytest.param(["$SESSION_SECRET_KEY_OF_OUR_APPLICATION"], "holds a placeholder", id="$"),
        pytest.param(["<the secret key of our application>"], "holds a placeholder", id="<>"),
        pytest.param([SECRET.encode() + b"\n"], "has a line break", id="line break in bytes"),
        pytest.param([SECRET + "\n"], "has a line break", id="line break"),
        pytest.param([SECRET + "\x00"], "has a line break", id="NUL"),
    ],
)
def test_bad_secret(secrets: Any, message: str) -> None:
    """A missing, empty or short secret is rejected at startup, and the error does not quote it."""
    with pytest.raises(SettingsError, match=f"secret_key {message}") as caught:
        Cookie(secret_keys=secrets)

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "secret", ["x" * 32, "é" * 16, b"\xff" * 32, "\ud800" * 11], ids=["32", "16x2", "raw", "odd"]
)
def test_good_secret(secret: str | bytes) -> None:
    """Any 32 bytes are accepted as a secret."""
    own = Cookie(secret_keys=[secret], name="session")

    assert found(b"session=" + signed(by=own), by=own) == KEY


@pytest.mark.parametrize(
    ("attributes", "setting"),
    [
        pytest.param({"name": "my session"}, "session_cookie", id="name with a blank"),
        pytest.param({"name": "a=b"}, "session_cookie", id="name with an equals sign"),
        pytest.param({"name": "a;b"}, "session_cookie", id="name with a semicolon"),
        pytest.param({"name": "a\r\nb"}, "session_cookie", id="name with a line break"),
        pytest.param({"name": "session\n"}, "session_cookie", id="name ends in a newline"),
        pytest.param({"name": "sitzungé"}, "session_cookie", id="name beyond ASCII"),
        pytest.param({"name": 5}, "session_cookie", id="name is a number"),
        pytest.param({"name": "a" * 4000}, "session_cookie", id="name of 4,000 letters"),
        pytest.param({"path": "/" + "a" * 1024}, "path", id="path of 1,025 letters"),
        pytest.param({"path": "/${PATH}"}, "path", id="path with a placeholder"),
        pytest.param({"path": "/a b"}, "path", id="path with a blank"),
        pytest.param({"path": "/a?b=1"}, "path", id="path with a query"),
        pytest.param({"path": "/{tenant}"}, "path", id="path with a pattern"),
        pytest.param({"path": "/a/../b"}, "path", id="path with dots"),
        pytest.param({"path": "/."}, "path", id="path that is a dot"),
        pytest.param({"domain": "com"}, "domain", id="top-level domain"),
        pytest.param({"domain": ".com"}, "domain", id="top-level domain with a dot"),
        pytest.param({"domain": "localhost"}, "domain", id="localhost"),
        pytest.param({"domain": "10.0.0.1"}, "domain", id="address"),
        pytest.param({"domain": "a.org\n"}, "domain", id="domain ends in a newline"),
        pytest.param({"domain": "${DOMAIN}"}, "domain", id="domain with a placeholder"),
        pytest.param({"name": "__Host-a", "secure": False}, "session_cookie", id="host, HTTP"),
        pytest.param({"name": "__Host-a", "path": "/x"}, "session_cookie", id="host, path"),
        pytest.param({"name": "__Host-a", "domain": "a.org"}, "session_cookie", id="host, domain"),
        pytest.param({"name": "__hOST-a", "path": "/x"}, "session_cookie", id="host in any case"),
        pytest.param({"name": "__Secure-a", "secure": False}, "session_cookie", id="secure, HTTP"),
        pytest.param({"name": "__http-a", "secure": False}, "session_cookie", id="http, HTTP"),
        pytest.param({"path": ""}, "path", id="empty path"),
        pytest.param({"path": "app"}, "path", id="path without a slash"),
        pytest.param({"path": "/a;b"}, "path", id="path with a semicolon"),
        pytest.param({"path": "/a\r\nb"}, "path", id="path with a line break"),
        pytest.param({"path": "/é"}, "path", id="path beyond ASCII"),
        pytest.param({"path": None}, "path", id="no path"),
        pytest.param({"domain": ""}, "domain", id="empty domain"),
        pytest.param({"domain": "a b"}, "domain", id="domain with a blank"),
        pytest.param({"domain": "a.org; secure"}, "domain", id="domain with a semicolon"),
        pytest.param({"domain": "a..org"}, "domain", id="domain with two dots"),
        pytest.param({"domain": "https://a.org"}, "domain", id="domain is a URL"),
        pytest.param({"domain": "a.org:80"}, "domain", id="domain with a port"),
        pytest.param({"domain": 5}, "domain", id="domain is a number"),
        pytest.param({"same_site": "Lax"}, "same_site", id="same_site in another case"),
        pytest.param({"same_site": "lax; secure"}, "same_site", id="same_site with more"),
        pytest.param({"same_site": None}, "same_site", id="no same_site"),
        pytest.param({"same_site": "none", "secure": False}, "same_site", id="none, HTTP"),
        pytest.param({"partitioned": True, "secure": False}, "partitioned", id="partitioned, HTTP"),
    ],
)
def test_impossible(attributes: dict[str, Any], setting: str) -> None:
    """Settings that browsers would reject fail at startup, and the error names the setting."""
    with pytest.raises(SettingsError, match=f"^{setting}"):
        Cookie(secret_keys=[SECRET], **attributes)


@pytest.mark.parametrize(
    ("secret", "guessable"),
    [
        pytest.param("s" * 40, True, id="a line of one letter"),
        pytest.param("abcabc" * 10, True, id="a few letters"),
        pytest.param(b"\0" * 32, True, id="zeros"),
        pytest.param("0123456789abcdef" * 2, False, id="hexadecimal"),
        pytest.param(SECRET, False, id="words"),
    ],
)
def test_guessable(secret: str | bytes, *, guessable: bool) -> None:
    """A secret of a few different characters is not random."""
    assert is_guessable(secret) is guessable


NOW = 1_800_000_000.0
WEEK = timedelta(days=7)
YEARS = timedelta(days=365 * 20)


@pytest.mark.parametrize(
    ("until", "remaining", "period", "touch_after", "due"),
    [
        pytest.param(NOW + 604_800, WEEK, WEEK, None, False, id="as it was set"),
        pytest.param(NOW + 604_801, WEEK, WEEK, None, False, id="rounded up"),
        pytest.param(NOW + 544_321, WEEK, WEEK, None, False, id="less than a tenth behind"),
        pytest.param(NOW + 544_320, WEEK, WEEK, None, True, id="a tenth behind"),
        pytest.param(NOW + 665_280, WEEK, WEEK, None, True, id="a tenth ahead: it was shortened"),
        pytest.param(NOW + 604_800 - 3600, WEEK, WEEK, timedelta(hours=1), True, id="touch_after"),
        pytest.param(NOW + 544_320, WEEK, WEEK, WEEK, True, id="long touch_after: a tenth counts"),
        pytest.param(NOW + 604_799, WEEK, WEEK, timedelta(0), False, id="zero, and in time"),
        pytest.param(NOW + 604_790, WEEK, WEEK, timedelta(0), True, id="zero, and behind"),
        pytest.param(None, WEEK, WEEK, None, True, id="unknown"),
        pytest.param(NOW + 86_400 * 400, YEARS, YEARS, None, False, id="years: for 400 days"),
        pytest.param(NOW + 86_400 * 361, YEARS, YEARS, None, False, id="years, a month later"),
        pytest.param(NOW + 86_400 * 360, YEARS, YEARS, None, True, id="years, 40 days later"),
        pytest.param(NOW + 1, timedelta(seconds=2), timedelta(seconds=3), None, False, id="short"),
    ],
)
def test_due(
    *,
    until: float | None,
    remaining: timedelta,
    period: timedelta,
    touch_after: timedelta | None,
    due: bool,
) -> None:
    """A cookie is due when it ends otherwise than the session, by a tenth of the period."""
    is_due = cookie_due(
        until=None if until is None else int(until),
        now=NOW,
        remaining=remaining,
        period=period,
        touch_after=touch_after,
    )

    assert is_due is due


def test_repr() -> None:
    """The repr contains no secret."""
    shown = repr(Cookie(secret_keys=[SECRET, OTHER.encode()]))

    assert SECRET not in shown
    assert OTHER not in shown
    assert shown == "<Cookie __Host-session path=/ domain=None>"
