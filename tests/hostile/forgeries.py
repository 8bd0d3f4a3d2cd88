"""Hostile Cookie headers, with their numbers in docs/security/hostile-input.md."""

from collections.abc import Callable
from typing import Final, TypeAlias

from itsdangerous import Signer, TimestampSigner

from pgsession.core.cookie import Cookie
from tests.applications import SECRET
from tests.pages import NAME

#: Makes Cookie headers from the value of a live session's cookie: a key, four dots, a signature.
Forgery: TypeAlias = Callable[[bytes], list[bytes]]

PREFIX: Final = NAME.encode() + b"="
KEY: Final = "Zm9vYmFyLV9mb29iYXItX2Zvb2Jhci1fZm9vYmFy"


def signed(key: str = KEY, *, number: int = 0, secret: str = SECRET, name: str = NAME) -> bytes:
    """Return the cookie value for `key`, signed with this secret and for this cookie name."""
    cookie = Cookie(secret_keys=[secret], name=name)
    pair, _, _ = cookie.write(key, None, number=number).partition(b";")
    return pair.partition(b"=")[2]


def _holding(make: Callable[[bytes], bytes]) -> Forgery:
    """Return headers with one cookie of our name, whose value `make` returns."""
    return lambda good: [PREFIX + make(good)]


def _flipped(good: bytes) -> bytes:
    """Return another spelling of the same signature: base64 ignores its last two bits."""
    return good[:-1] + bytes([good[-1] + 1])


#: None of these opens a session, and none of them causes a statement.
FORGERIES: Final[dict[str, Forgery]] = {
    "01-no-header": lambda _: [],
    "01-other-cookie": lambda _: [b"theme=dark"],
    "02-empty": _holding(lambda _: b""),
    "02-name-alone": lambda _: [NAME.encode()],
    "03-dot": _holding(lambda _: b"."),
    "03-two-dots": _holding(lambda _: b".."),
    "03-a.b": _holding(lambda _: b"a.b"),
    "03-a.b.c": _holding(lambda _: b"a.b.c"),
    "03-signed-and-more": _holding(lambda good: good + b".c"),
    "03-verifier": _holding(lambda good: good.replace(b"...", b"." + b"v" * 32 + b"..")),
    "03-number": _holding(lambda good: good.replace(b"...", b"..1.")),
    "03-verifier-and-number": _holding(lambda good: good.replace(b"...", b".%b.1." % (b"v" * 32))),
    "13-other-time": _holding(lambda good: b"%b...1999999999.%b" % (good[:40], good[-43:])),
    "13-older-text": _holding(lambda good: b"%b.%b" % (good[:40], good[-43:])),
    "04-long": _holding(lambda _: b"x" * 100_000),
    "04-long-and-signed": _holding(lambda good: b"x" * 100_000 + good),
    "05-quoted-backslashes": _holding(lambda _: b'"' + b"\\" * 60_000 + b'"'),
    "05-quoted-quotes": _holding(lambda _: b'"' + b'\\"' * 30_000 + b'"'),
    "06-quoted": _holding(lambda good: b'"' + good + b'"'),
    "06-open-quote": _holding(lambda good: b'"' + good),
    "07-octal-NUL": _holding(lambda good: b'"' + good + rb'\000"'),
    "07-octal-newline": _holding(lambda good: b'"' + good + rb'\012"'),
    "07-octal-letters": _holding(lambda good: b'"' + b"".join(b"\\%03o" % c for c in good) + b'"'),
    "07-NUL": _holding(lambda good: good + b"\0"),
    "07-NUL-first": _holding(lambda good: b"\0" + good),
    "08-high-bytes": _holding(lambda _: bytes(range(0x80, 0x100))),
    "08-no-break-space": _holding(lambda good: good + b"\xa0"),
    "09-surrogate": _holding(lambda good: b"\xed\xa0\x80" + good[3:]),
    "10-CR-LF": _holding(lambda good: good + b"\r\nset-cookie: evil=1"),
    "10-LF": _holding(lambda good: good + b"\n"),
    "10-LF-first": lambda good: [b"\n" + PREFIX + good],
    "11-semicolon": _holding(lambda good: good.replace(b".", b";")),
    "11-comma": _holding(lambda good: good.replace(b".", b",")),
    "11-comma-between": lambda good: [b"a=b," + PREFIX + good],
    "11-blank": _holding(lambda good: good.replace(b".", b" ")),
    "11-tab": _holding(lambda good: good.replace(b".", b"\t")),
    "11-blank-before-equals": lambda good: [NAME.encode() + b" =" + good],
    "11-blank-after-equals": _holding(lambda good: b" " + good),
    "12-percent-encoded": _holding(lambda good: good.replace(b".", b"%2E")),
    "12-encoded-name": lambda good: [b"__Host%2Dsession=" + good],
    "13-wrong-signature": _holding(lambda good: good[:41] + b"s" * 43),
    "13-no-signature": _holding(lambda good: good[:40]),
    "13-short-signature": _holding(lambda good: good[:-1]),
    "13-upper-case": _holding(lambda good: good.upper()),
    "14-signature-of-another-key": _holding(lambda good: good[:41] + signed()[41:]),
    "15-other-salt": _holding(lambda good: Signer(SECRET).sign(good[:40])),
    "15-other-name": _holding(lambda good: signed(good[:40].decode(), name="admin")),
    "16-other-secret": _holding(lambda good: signed(good[:40].decode(), secret=SECRET[::-1])),
    "18-other-spelling": _holding(_flipped),
    "18-padding": _holding(lambda good: good + b"="),
    "18-letter-that-base64-ignores": _holding(lambda good: good[:50] + b"\xc3" + good[50:]),
    "19-timestamp": _holding(lambda good: TimestampSigner(SECRET).sign(good[:40])),
    "25-name-in-another-case": lambda good: [b"__host-Session=" + good],
    "25-longer-name": lambda good: [b"x" + PREFIX + good],
    "25-as-the-value-of-another": lambda good: [b"a=" + PREFIX + good],
    "25-in-brackets": lambda good: [NAME.encode() + b"[]=" + good],
    "29-39-letters": _holding(lambda _: signed("k" * 39)),
    "29-41-letters": _holding(lambda _: signed("k" * 41)),
    "29-blank-at-the-end": _holding(lambda _: signed("k" * 39 + " ")),
    "29-other-letter": _holding(lambda _: signed("k" * 39 + "~")),
    "29-empty-key": _holding(lambda _: signed("")),
    "29-short-verifier": _holding(lambda good: signed(good[:40].decode() + "." + "v" * 31)),
    "29-long-verifier": _holding(lambda good: signed(good[:40].decode() + "." + "v" * 33)),
    "29-two-verifiers": _holding(lambda good: signed(good[:40].decode() + 2 * ("." + "v" * 32))),
    "29-negative-number": _holding(lambda good: signed(good[:40].decode(), number=-1)),
    "29-number-of-ten-digits": _holding(lambda good: signed(good[:40].decode(), number=10**9)),
    "30-quote": _holding(lambda _: b"1' OR '1'='1"),
    "30-signed-quote": _holding(lambda _: signed("k" * 28 + "' OR '1'='1'")),
    "30-signed-wildcards": _holding(lambda _: signed("%_" * 19 + "\\%")),
}
