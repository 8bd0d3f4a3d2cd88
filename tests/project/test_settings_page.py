"""docs/reference/settings.md lists every setting correctly."""

import re
from collections.abc import Mapping
from dataclasses import MISSING, fields
from datetime import timedelta
from typing import Any, Final

import pytest

from docs._extensions.settings import UNSET, facts_of
from pgsession import (
    CookieSettings,
    MemoryStore,
    SessionMiddleware,
    SessionSettings,
    SettingsError,
    settings,
)
from pgsession.asgi.sockets import SESSION_ENDED
from pgsession.core.decision import touch_due
from pgsession.core.period import DEFAULT_PERIOD, MAX_PERIOD, as_period, parse_period
from pgsession.core.secret_keys import MIN_SECRET_BYTES
from pgsession.postgres.connections import locks
from tests.project.documents import Document

SECRET = "a secret of more than thirty-two bytes"

PAGE: Final = Document("docs/reference/settings.md")

LISTED = PAGE.settings

#: The heading of each setting, and the directive with its facts.
SECTIONS: Final = re.findall(
    r"^### `(\w+)`\n(?:(?!#).*\n)+?```\{setting\} (\w+)\n", PAGE.text, re.MULTILINE
)

#: A valid value for each variable that is not a number.
SAMPLES = {
    "SESSION_TABLE": "web_session",
    "SESSION_STRICT_START": "true",
    "SESSION_SECRET_KEY": SECRET[::-1],
    "SESSION_DATABASE_URL": "postgresql:///app",
    "SESSION_ASSURANCE_LEVEL": "3",
    "SESSION_PATH": "/below",
    "SESSION_SAME_SITE": "strict",
    "SESSION_HTTPS_ONLY": "no",
    "SESSION_DOMAIN": "example.com",
    "SESSION_PARTITIONED": "yes",
    "SESSION_EXCLUDE": "/static,/health",
    "SESSION_CSRF_PROTECTION": "yes",
    "SESSION_TRUSTED_ORIGINS": "https://a.example,http://localhost:3000",
    "SESSION_CSRF_EXEMPT": "/hooks",
    "SESSION_EXCLUDED_SESSION": "absent",
    "SESSION_ON_UNAVAILABLE": "anonymous",
    "SESSION_PREPARED": "no",
    "SESSION_END_ON_REUSE": "yes",
    "SESSION_CLOSE_WEBSOCKETS": "yes",
    "SESSION_RECORD_CLIENT": "yes",
    "SESSION_TELEMETRY": "no",
}

#: Settings that only code can give.
CALLED = {
    "choose_cookie",
    "cookies",
    "on_new_device",
    "predecessor",
    "require_device_binding",
    "unavailable_response",
}


def written(name: str, default: object) -> str:
    """Return a setting's default as the table shows it: in words if the code has no value."""
    match default:
        case bool():
            return f"`{str(default).lower()}`"
        case None | () | "default":
            return UNSET.get(name, "none")
        case _:
            return UNSET[name] if default is MISSING else f"`{default}`"


def test_table() -> None:
    """The table lists every setting in order, with its variable and its default."""
    settings = [each for each in fields(SessionSettings) if each.name not in CALLED]
    assert [name for name, _, _ in LISTED] == [each.name for each in settings]
    for (name, variable, default), setting in zip(LISTED, settings, strict=True):
        assert variable == {"session_cookie": "SESSION_COOKIE"}.get(name, f"SESSION_{name.upper()}")
        if isinstance(setting.default, timedelta | float):
            assert parse_period(default.strip("`")) == as_period(setting.default)
        else:
            assert default == written(name, setting.default)


@pytest.mark.parametrize("variable", [variable for _, variable, _ in LISTED])
def test_variable(variable: str) -> None:
    """`from_env` reads each variable of the table."""
    plain = SessionSettings.from_env({"SESSION_SECRET_KEY": SECRET})
    given = {"SESSION_SECRET_KEY": SECRET, variable: SAMPLES.get(variable, "9")}
    assert SessionSettings.from_env(given) != plain


def called(_scope: object) -> str:
    return "shop"


async def awaited(_scope: object) -> str:
    return "shop"


async def called_app(_scope: object, _receive: object, _send: object) -> None: ...


DAY: Final = timedelta(days=1)

TWO: Final = {"shop": CookieSettings(), "admin": CookieSettings()}

#: What the section of each setting says is rejected.
REJECTED: Final[dict[str, list[Mapping[str, Any]]]] = {
    "secret_key": [{"secret_key": it} for it in ("", "short", "${SECRET}")],
    "database_url": [{"database_url": it} for it in ("postgresql://a@b@c/d", "no equals sign")],
    "default_period": [
        {"default_period": 0},
        {"default_period": "7d"},
        {"default_period": 2, "max_inactivity": 1},
        {"default_period": timedelta(days=8), "assurance_level": 2},
    ],
    "max_lifetime": [
        {"max_lifetime": 0},
        {"max_lifetime": timedelta(days=40), "assurance_level": 1},
    ],
    "max_inactivity": [{"max_inactivity": 0}, {"max_inactivity": 7200, "assurance_level": 2}],
    "touch_after": [{"touch_after": "1h"}],
    "assurance_level": [{"assurance_level": 4}],
    "value_limit": [{"value_limit": 0}],
    "session_cookie": [
        {"session_cookie": "a b"},
        {"session_cookie": "__Host-a", "path": "/app"},
        {"session_cookie": "__Secure-a", "https_only": False},
    ],
    "max_age": [{"max_age": 0}, {"max_age": 2, "max_inactivity": 1}],
    "path": [{"path": "app"}],
    "same_site": [{"same_site": "any"}, {"same_site": "none", "https_only": False}],
    "https_only": [{"https_only": "false"}],
    "domain": [{"domain": "com"}, {"domain": "a.example", "session_cookie": "__Host-a"}],
    "partitioned": [{"partitioned": True, "https_only": False}],
    "cookies": [
        {"cookies": {}, "choose_cookie": called},
        {"cookies": TWO, "choose_cookie": called},
        {"cookies": {"shop": CookieSettings()}},
        {"cookies": {"shop": CookieSettings()}, "choose_cookie": called, "path": "/app"},
    ],
    "choose_cookie": [
        {"choose_cookie": called},
        {"cookies": {"shop": CookieSettings()}, "choose_cookie": awaited},
    ],
    "exclude": [{"exclude": ["static"]}],
    "excluded_session": [{"excluded_session": "empty"}],
    "csrf_protection": [{"csrf_protection": "false"}],
    "trusted_origins": [{"trusted_origins": ["https://app.example/path"]}],
    "csrf_exempt": [{"csrf_exempt": ["hooks"]}],
    "on_unavailable": [{"on_unavailable": "empty"}],
    "unavailable_response": [{"unavailable_response": "sorry"}],
    "strict_start": [{"strict_start": "false"}],
    "rotate_every": [{"rotate_every": 0}],
    "rotation_grace": [{"rotation_grace": 0}, {"rotation_grace": None}],
    "end_on_reuse": [{"end_on_reuse": "false"}],
    "max_sessions": [{"max_sessions": 0}, {"max_sessions": 2**31}],
    "record_client": [{"record_client": "false"}],
    "on_new_device": [{"on_new_device": called}],
    "close_websockets": [{"close_websockets": "false"}],
    "watch_every": [{"watch_every": 0}, {"watch_every": None}],
    "device_binding": [
        {"device_binding": 4},
        {"device_binding": 600, "domain": "a.example"},
        {"device_binding": 600, "partitioned": True},
        {"device_binding": 600, "same_site": "none"},
        {"device_binding": 600, "https_only": False},
    ],
    "device_binding_path": [{"device_binding_path": it} for it in ("/a", "a/", "a/../b", "a b")],
    "require_device_binding": [
        {"require_device_binding": called},
        {"require_device_binding": "/a", "device_binding": 600},
    ],
    "predecessor": [{"predecessor": object()}],
    "schema": [{"schema": "a\nb"}],
    "table": [{"table": it} for it in ("Session", "a-b", "a" * 51)],
    "pool_size": [{"pool_size": 0}],
    "timeout": [{"timeout": 0}],
    "prepared": [{"prepared": "false"}],
    "sweep_every": [{"sweep_every": 0}],
    "exclusive_limit": [{"exclusive_limit": 0}, {"exclusive_limit": None}],
    "telemetry": [{"telemetry": "false"}],
    "connection_lifetime": [{"connection_lifetime": 0.5}],
}


def test_sections() -> None:
    """Each setting has a section of its own with its facts, in order, and the table leads there."""
    names = [each.name for each in fields(SessionSettings)]
    assert [(name, name) for name in names] == SECTIONS
    assert re.findall(r"^\| \[`(\w+)`\]\(#\1\) ", PAGE.text, re.MULTILINE) == names


def test_facts() -> None:
    """The defaults that the build writes into the sections are those of the table."""
    shown = {each.name: facts_of(each.name)["Default"] for each in fields(SessionSettings)}
    rows = re.findall(r"^\| \[`(\w+)`\]\(#\1\) [^|]+ \| ([^|]+) \|", PAGE.text, re.MULTILINE)
    assert rows == [*shown.items()]


def test_required() -> None:
    """What the table calls required is an error if it is missing."""
    assert [name for name, words in UNSET.items() if words.startswith("required")] == [
        "secret_key",
        "database_url",
    ]
    with pytest.raises(SettingsError, match="SESSION_SECRET_KEY"):
        SessionSettings.from_env({})
    plain = SessionSettings(secret_key=SECRET)
    with pytest.raises(SettingsError, match="database_url"):
        SessionMiddleware(called_app, settings=plain)
    SessionMiddleware(called_app, settings=plain, store=MemoryStore())


def test_unset() -> None:
    """What the table says in words of a setting that is not set is what the code does."""
    plain = SessionSettings(secret_key=SECRET, database_url="postgresql:///app")
    store, cookie = plain.make_store(), plain.make_cookie()
    assert (UNSET["default_period"], store.default_period) == ("a week", timedelta(weeks=1))
    assert (UNSET["max_lifetime"], store.max_lifetime) == ("no limit", None)
    assert (UNSET["max_inactivity"], store.max_inactivity) == ("no limit", None)
    assert (UNSET["session_cookie"], cookie.name) == ("`__Host-session`", "__Host-session")
    assert (UNSET["domain"], cookie.domain) == ("this host alone", None)
    assert (UNSET["max_age"], plain.cookie_max_age()) == ("as `default_period`", "default")
    assert (UNSET["rotate_every"], plain.make_rotation().every) == ("never", None)
    assert plain.touch_after is None
    due = [
        touch_due(remaining=left, period=10 * DAY, lifetime=None, touch_after=None)
        for left in (9.1 * DAY, 8.9 * DAY)
    ]
    assert (UNSET["touch_after"], due) == ("a tenth of the period", [False, True])


@pytest.mark.parametrize("name", [each.name for each in fields(SessionSettings)])
def test_rejected(name: str) -> None:
    """What the section of a setting says is rejected raises `SettingsError`."""
    for wrong in REJECTED[name]:
        with pytest.raises(SettingsError):
            SessionSettings(**{"secret_key": SECRET, **wrong})


def test_figures() -> None:
    """The page has the limits of the code."""
    text = " ".join(PAGE.text.split())
    assert f"at most {MAX_PERIOD.days / 365.25:g} years" in text
    assert f"a text of {MIN_SECRET_BYTES} bytes or more" in text
    assert f"closed with code {SESSION_ENDED.code}" in text
    assert f"| close code {SESSION_ENDED.code} |" in Document("docs/reference/middleware.md").text
    assert f"[up to {locks._MOST}](" in text  # noqa: SLF001 - of this package
    assert f"less than {settings._SHORTEST_PROOF.seconds} seconds" in text  # noqa: SLF001 - as above
    assert "at most 50 lower-case letters" in text  # test_rejected tries one more
    assert SessionSettings(secret_key=SECRET, table="a" * 50).table == "a" * 50
    assert timedelta(weeks=1) == DEFAULT_PERIOD  # "a week"
