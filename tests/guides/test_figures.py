"""The figures of the how-to pages are those of the code."""

import re
from datetime import timedelta
from inspect import signature

import pytest
from opentelemetry.sdk.trace.export import _DEFAULT_SCHEDULE_DELAY_MILLIS
from sqlalchemy.pool import QueuePool

from examples.devices import account, badge, signing, users
from examples.devices.listing import DEVICES
from pgsession import PostgresStore, SessionSettings
from pgsession.asgi.csrf import _INTERVAL, _POLICY_VIOLATION
from pgsession.asgi.device_binding import _LATE, _LONGEST
from pgsession.asgi.old_cookies import _MOST_TRIES
from pgsession.asgi.policy import _BRIEF
from pgsession.asgi.sockets import PROOF_ENDED as PROOF_CLOSE
from pgsession.asgi.sockets import SESSION_ENDED as SESSION_CLOSE
from pgsession.asgi.watching import SLICE
from pgsession.core.bound import REGISTERED_WITHIN
from pgsession.core.flash import MOST_MESSAGES
from pgsession.core.keys import SELECTOR_LENGTH
from pgsession.core.large import _LARGE_MEMBER, UNDECODED_VALUE
from pgsession.core.login import _EPOCH, MAX_AGENT, MAX_TEXT
from pgsession.core.logs import INTERVAL
from pgsession.core.period import DEFAULT_PERIOD
from pgsession.core.predecessor import _MARGIN as REMEMBERED_LONGER
from pgsession.core.secret_keys import MIN_SECRET_BYTES
from pgsession.core.users import RETIRED_FOR
from pgsession.core.value import encode_value
from pgsession.dbsc.bound_cookie import _MARGIN
from pgsession.postgres.attempts import LOCK_TIMEOUT
from pgsession.postgres.sweeping.sweeper import DEFAULT_SWEEP_EVERY
from pgsession.settings import DEFAULT_WATCH_EVERY
from tests.guides.figures import PINS, SOON, minutes, missing, said, word, words
from tests.project.documents import ROOT

SETTINGS = SessionSettings(secret_key="a secret of more than thirty-two bytes")

ENDED, PROOF_ENDED = SESSION_CLOSE.code, PROOF_CLOSE.code
LIMIT = SETTINGS.value_limit // 1_000_000
MEGABYTE = {1_000_000: "megabyte"}
TINY = encode_value({"n": 1e-300}, limit=999).removeprefix(b'{"n":').strip(b" }")
ENGINE = sum(
    parameter.default
    for name, parameter in signature(QueuePool).parameters.items()
    if name in {"pool_size", "max_overflow"}
)
PYDANTIC = re.search(r'"pydantic>=([\d.]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
(METRICS_EVERY,) = re.findall(
    r"export_interval_millis=([\d_]+)", said("docs/how-to/opentelemetry.md")
)
EACH_USER = signature(PostgresStore.signed_in).parameters

#: Phrases with a figure in them, made from the code, by the page that says them.
FIGURES = {
    "how-to/administrators": [
        f"It lists {EACH_USER['most'].default} users",
        f"`most={EACH_USER['most'].default}`, `skip={EACH_USER['skip'].default}`",
    ],
    "how-to/alembic": [f"`lock_timeout=` seconds ({LOCK_TIMEOUT:g})"],
    "how-to/csrf": [
        f"accepted (code {_POLICY_VIOLATION};",
        f"at most one in {word(_INTERVAL)} seconds",
    ],
    "how-to/device-binding": [
        f"with the code {PROOF_ENDED} instead of {ENDED}",
        f"at least {words(_MARGIN)}, or a tenth",
        f"in the same way {SOON} once it is",
        f"the period and {minutes(_LATE)} minutes",
        f"good for {words(REGISTERED_WITHIN)}, and for one key",
        f"in the last {minutes(_BRIEF)} minutes",
        f"Under {minutes(_BRIEF)} minutes browsers refresh beside each",
        f"within {_LONGEST:g} seconds whatever `timeout` says",
    ],
    "how-to/devices-of-a-user": [
        f"at most {MAX_AGENT} printable",
        f"{DEFAULT_PERIOD.total_seconds() / 36_000:.0f} hours of {DEFAULT_PERIOD.days} days",
    ],
    "how-to/devices": [
        f"says so {SOON}",
        f"period=timedelta(days={signing.REMEMBERED.days})",
        f"within=timedelta(minutes={account.FRESH / timedelta(minutes=1):g})",
        f"more than {minutes(account.FRESH)} minutes ago",
        f"most={users.SIZE + 1}, skip=…",
        f"closes with {badge.ENDED}: `close_websockets=True`",
        f"with the code {ENDED}. The script",
        f"the code is {PROOF_ENDED}, and",
        f"the {word(users.NAMED)} used last",
        f"a {word(users.FOUND)} at most",
        f"the {word(DEVICES)} devices used last",
    ],
    "how-to/fastapi": [f"closed with code {ENDED}"],
    "how-to/flash": [f"A session keeps {MOST_MESSAGES} messages."],
    "how-to/from-django": [f"`max_age`, {words(DEFAULT_PERIOD)} after the last use"],
    "how-to/from-ocaml": [f"every {minutes(DEFAULT_SWEEP_EVERY)} minutes"],
    "how-to/from-starlette": [
        f"the same, {MIN_SECRET_BYTES} bytes or more",
        f"{words(DEFAULT_PERIOD)} after the last use",
        f"{LIMIT} MB, in the database",
        f"the limit is {LIMIT} MB",
    ],
    "how-to/oauth": [f"Authlib {PINS['authlib']} does not look"],
    "how-to/opentelemetry": [
        f"spans come within {word(_DEFAULT_SCHEDULE_DELAY_MILLIS / 1_000)} seconds",
        f"the metrics within {word(int(METRICS_EVERY) / 1_000)},",
    ],
    "how-to/openid-connect": [f"[open streams](streams.md) {SOON}"],
    "how-to/pydantic-settings": [f"less than {MIN_SECRET_BYTES} bytes"],
    "how-to/sentry": [f"one every {word(INTERVAL)} seconds in each process"],
    "how-to/server-sent-events": [f"A stream ends {SOON}"],
    "how-to/secrets": [f"guess {6 * SELECTOR_LENGTH} random bits"],
    "how-to/sessions": [
        f"A {MEGABYTE.get(SETTINGS.value_limit)}, `value_limit`",
        f"more than {UNDECODED_VALUE // 1024} kB",
        f"a list or an object of {_LARGE_MEMBER} bytes or more",
        f"1e-300 has {len(TINY)} characters",
    ],
    "how-to/sqlalchemy": [
        f"store ({SETTINGS.pool_size}, and one more",
        f"of the engine ({ENGINE}), for each",
        f"open streams {SOON}",
    ],
    "how-to/starlette": [f"`pool_size` connections ({SETTINGS.pool_size})"],
    "how-to/streams": [
        f"learns of it {SOON}",
        f"`watch_every` ({DEFAULT_WATCH_EVERY.total_seconds()} seconds)",
        f"with code {PROOF_ENDED} instead of {ENDED}",
        f"after code {PROOF_ENDED}, as",
        f"longer than {words(_MARGIN)}.**",
        f"{words(_MARGIN)} before the proof ends",
        f"under {minutes(10 * _MARGIN)} minutes, a tenth of it",
        f"asks for a {word(SLICE)} sessions at most",
    ],
    "how-to/switching-over": [
        f"the beginning of {_EPOCH.year}",
        f"kept for {words(REMEMBERED_LONGER)} after the `until`",
        f"has ended, and {words(REMEMBERED_LONGER)} longer",
        f"the first {word(_MOST_TRIES)} are tried",
        f"a query, {word(_MOST_TRIES)} for one",
    ],
    "how-to/typed-content": [f"pydantic ({PYDANTIC[1] if PYDANTIC else '?'} or later)"],
    "how-to/users": [
        f"a `str` of 1 to {MAX_TEXT} characters",
        f"`str` of at most {MAX_TEXT} characters",
        f"for {words(RETIRED_FOR)} after the login",
    ],
    "how-to/websockets": [
        f"stops {SOON}",
        f"has ended, with code {ENDED}",
        f"`event.code` of the `close` event is {ENDED}",
    ],
}


@pytest.mark.parametrize("page", FIGURES)
def test_figures(page: str) -> None:
    """Each figure of a page is that of the code."""
    assert missing(f"docs/{page}.md", FIGURES[page]) == []


def test_badge() -> None:
    """The script of the example has the codes and the pause that its page names."""
    script = (ROOT / "examples/devices/static/badge.js").read_text(encoding="utf-8")
    constants = dict(re.findall(r"^const ([A-Z_]+) = ([\d_]+)", script, re.MULTILINE))

    assert badge.ENDED == ENDED
    assert (constants["ENDED"], constants["PROOF_ENDED"]) == (str(ENDED), str(PROOF_ENDED))
    pause = word(int(constants["SECOND_LOOK"]) / 1_000)
    assert missing("docs/how-to/devices.md", [f"once more after {pause} seconds"]) == []
