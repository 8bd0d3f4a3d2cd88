"""docs/reference/settings.md lists every setting correctly."""

from dataclasses import MISSING, fields
from datetime import timedelta

import pytest

from pgsession import SessionSettings
from pgsession.core.period import as_period, parse_period
from tests.project.documents import Document

SECRET = "a secret of more than thirty-two bytes"

#: The table shows this if there is no default.
NONE = "\N{EN DASH}"

LISTED = Document("docs/reference/settings.md").settings

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


def written(default: object) -> str:
    """Return a setting's default as the table shows it; no default is a dash."""
    match default:
        case bool():
            return f"`{str(default).lower()}`"
        case None | () | "default":
            return NONE
        case _:
            return NONE if default is MISSING else f"`{default}`"


def test_table() -> None:
    """The table lists every setting in order, with its variable and its default."""
    settings = [each for each in fields(SessionSettings) if each.name not in CALLED]
    assert [name for name, _, _ in LISTED] == [each.name for each in settings]
    for (name, variable, default), setting in zip(LISTED, settings, strict=True):
        assert variable == {"session_cookie": "SESSION_COOKIE"}.get(name, f"SESSION_{name.upper()}")
        if isinstance(setting.default, timedelta | float):
            assert parse_period(default.strip("`")) == as_period(setting.default)
        else:
            assert default == written(setting.default)


@pytest.mark.parametrize("variable", [variable for _, variable, _ in LISTED])
def test_variable(variable: str) -> None:
    """`from_env` reads each variable of the table."""
    plain = SessionSettings.from_env({"SESSION_SECRET_KEY": SECRET})
    given = {"SESSION_SECRET_KEY": SECRET, variable: SAMPLES.get(variable, "9")}
    assert SessionSettings.from_env(given) != plain
