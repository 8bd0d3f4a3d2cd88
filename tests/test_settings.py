"""Settings from arguments and from the environment; a wrong setting raises one clear error."""

import math
import traceback
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.datastructures import Secret

from pgsession import MemoryStore, SessionMiddleware
from pgsession.core.period import DEFAULT_PERIOD
from pgsession.core.value import DEFAULT_VALUE_LIMIT
from pgsession.errors import SettingsError
from pgsession.postgres.store import PostgresStore
from pgsession.settings import SessionSettings

SECRET = "one-secret-that-is-long-enough-for-it"
OTHER = "another-secret-that-is-long-enough-too"

#: Part of every wrong value here; no error may contain it.
PRIVATE = "hunter2"

VARIABLES = [
    pytest.param("SESSION_SECRET_KEY", SECRET, "secret_key", (SECRET,), id="secret"),
    pytest.param(
        "SESSION_SECRET_KEY", f"{SECRET}, {OTHER},", "secret_key", (SECRET, OTHER), id="secrets"
    ),
    pytest.param(
        "SESSION_DATABASE_URL", "postgresql:///app", "database_url", "postgresql:///app", id="url"
    ),
    pytest.param(
        "SESSION_DEFAULT_PERIOD", "14d", "default_period", timedelta(days=14), id="default_period"
    ),
    pytest.param(
        "SESSION_DEFAULT_PERIOD", "90", "default_period", timedelta(seconds=90), id="plain seconds"
    ),
    pytest.param(
        "SESSION_MAX_LIFETIME", "26w", "max_lifetime", timedelta(weeks=26), id="max_lifetime"
    ),
    pytest.param(
        "SESSION_MAX_INACTIVITY", "30d", "max_inactivity", timedelta(days=30), id="max_inactivity"
    ),
    pytest.param("SESSION_TOUCH_AFTER", "15m", "touch_after", timedelta(minutes=15), id="touch"),
    pytest.param("SESSION_TOUCH_AFTER", "0", "touch_after", timedelta(0), id="touch always"),
    pytest.param("SESSION_ASSURANCE_LEVEL", "2", "assurance_level", 2, id="assurance_level"),
    pytest.param("SESSION_VALUE_LIMIT", "64000", "value_limit", 64_000, id="value_limit"),
    pytest.param("SESSION_MAX_SESSIONS", "5", "max_sessions", 5, id="max_sessions"),
    pytest.param("SESSION_RECORD_CLIENT", "yes", "record_client", True, id="record_client"),
    pytest.param("SESSION_COOKIE", "sid", "session_cookie", "sid", id="cookie"),
    pytest.param("SESSION_MAX_AGE", "12h", "max_age", timedelta(hours=12), id="max_age"),
    pytest.param("SESSION_MAX_AGE", "None", "max_age", None, id="dies with the browser"),
    pytest.param("SESSION_PATH", "/app", "path", "/app", id="path"),
    pytest.param("SESSION_SAME_SITE", "Strict", "same_site", "strict", id="same_site"),
    pytest.param("SESSION_HTTPS_ONLY", "false", "https_only", False, id="switch off"),
    pytest.param("SESSION_HTTPS_ONLY", "0", "https_only", False, id="switch 0"),
    pytest.param("SESSION_HTTPS_ONLY", "No", "https_only", False, id="switch no"),
    pytest.param("SESSION_HTTPS_ONLY", " True ", "https_only", True, id="switch on"),
    pytest.param("SESSION_DOMAIN", "example.org", "domain", "example.org", id="domain"),
    pytest.param("SESSION_PARTITIONED", "1", "partitioned", True, id="partitioned"),
    pytest.param(
        "SESSION_EXCLUDE", "/static, /health", "exclude", ("/static", "/health"), id="exclude"
    ),
    pytest.param("SESSION_CSRF_PROTECTION", "yes", "csrf_protection", True, id="csrf"),
    pytest.param(
        "SESSION_TRUSTED_ORIGINS",
        "https://a.org, http://b:3000",
        "trusted_origins",
        ("https://a.org", "http://b:3000"),
        id="trusted_origins",
    ),
    pytest.param(
        "SESSION_CSRF_EXEMPT", "/hooks,/saml", "csrf_exempt", ("/hooks", "/saml"), id="csrf_exempt"
    ),
    pytest.param(
        "SESSION_ON_UNAVAILABLE", "Anonymous", "on_unavailable", "anonymous", id="on_unavailable"
    ),
    pytest.param(
        "SESSION_EXCLUDED_SESSION", "Absent", "excluded_session", "absent", id="excluded_session"
    ),
    pytest.param("SESSION_STRICT_START", "true", "strict_start", True, id="strict_start"),
    pytest.param(
        "SESSION_ROTATE_EVERY", "15m", "rotate_every", timedelta(minutes=15), id="rotate_every"
    ),
    pytest.param("SESSION_ROTATE_EVERY", "none", "rotate_every", None, id="never rotates"),
    pytest.param(
        "SESSION_ROTATION_GRACE", "2m", "rotation_grace", timedelta(minutes=2), id="rotation_grace"
    ),
    pytest.param("SESSION_END_ON_REUSE", "yes", "end_on_reuse", True, id="end_on_reuse"),
    pytest.param(
        "SESSION_CLOSE_WEBSOCKETS", "yes", "close_websockets", True, id="close_websockets"
    ),
    pytest.param(
        "SESSION_WATCH_EVERY", "3s", "watch_every", timedelta(seconds=3), id="watch_every"
    ),
    pytest.param(
        "SESSION_DEVICE_BINDING",
        "10m",
        "device_binding",
        timedelta(minutes=10),
        id="device_binding",
    ),
    pytest.param(
        "SESSION_DEVICE_BINDING_PATH", ".dbsc/v1", "device_binding_path", ".dbsc/v1", id="place"
    ),
    pytest.param("SESSION_SCHEMA", "web", "schema", "web", id="schema"),
    pytest.param("SESSION_TABLE", "web_session", "table", "web_session", id="table"),
    pytest.param("SESSION_POOL_SIZE", "10", "pool_size", 10, id="pool_size"),
    pytest.param("SESSION_TIMEOUT", "2.5s", "timeout", 2.5, id="timeout"),
    pytest.param("SESSION_PREPARED", "no", "prepared", False, id="prepared"),
    pytest.param("SESSION_SWEEP_EVERY", "1h", "sweep_every", timedelta(hours=1), id="sweep_every"),
    pytest.param("SESSION_SWEEP_EVERY", "none", "sweep_every", None, id="never sweeps"),
    pytest.param(
        "SESSION_EXCLUSIVE_LIMIT", "2s", "exclusive_limit", timedelta(seconds=2), id="exclusive"
    ),
    pytest.param("SESSION_TELEMETRY", "false", "telemetry", False, id="telemetry"),
    pytest.param(
        "SESSION_CONNECTION_LIFETIME",
        "5m",
        "connection_lifetime",
        timedelta(minutes=5),
        id="connection_lifetime",
    ),
]


@pytest.mark.parametrize(("variable", "text", "setting", "content"), VARIABLES)
def test_variable(variable: str, text: str, setting: str, content: Any) -> None:
    """Each setting is read from its variable, and the other settings keep their defaults."""
    read = SessionSettings.from_env({"SESSION_SECRET_KEY": SECRET, variable: text})

    plain = SessionSettings(secret_key=(SECRET,))
    assert getattr(read, setting) == content
    assert read == replace(plain, **{setting: content})


#: Settings that only code can give.
CALLED = {
    "choose_cookie",
    "cookies",
    "on_new_device",
    "predecessor",
    "require_device_binding",
    "unavailable_response",
}


def test_every_setting() -> None:
    """Every setting has a variable and a row above."""
    rows: list[Any] = [row.values for row in VARIABLES]

    assert {row[2] for row in rows} == {field.name for field in fields(SessionSettings)} - CALLED


def test_empty_variables() -> None:
    """An empty variable counts as not set."""
    rows: list[Any] = [row.values for row in VARIABLES]
    empty = dict.fromkeys((row[0] for row in rows), "")

    read = SessionSettings.from_env({**empty, "SESSION_SECRET_KEY": SECRET})

    assert read == SessionSettings(secret_key=(SECRET,))


def test_foreign_variables() -> None:
    """Variables that are not settings are ignored, whatever they contain."""
    read = SessionSettings.from_env(
        {"SESSION_SECRET_KEY": SECRET, "SESSION_NAME": PRIVATE, "MAX_AGE": PRIVATE}
    )

    assert read == SessionSettings(secret_key=(SECRET,))


def test_env_file(tmp_path: Path) -> None:
    """A file may contain more variables; those of the environment win, unless they are empty."""
    env_file = tmp_path / ".env"
    env_file.write_text(
        f'SESSION_SECRET_KEY="{SECRET}"\nSESSION_PATH=/file\nSESSION_DOMAIN=file.org\n'
        "# SESSION_SCHEMA=no\nSESSION_SCHEMA=\n"
    )

    read = SessionSettings.from_env(
        {"SESSION_PATH": "/environment", "SESSION_DOMAIN": ""}, env_file=str(env_file)
    )

    assert read == SessionSettings(secret_key=(SECRET,), path="/environment", domain="file.org")


def test_process_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without arguments, the settings come from the process's environment."""
    monkeypatch.setenv("SESSION_SECRET_KEY", SECRET)
    monkeypatch.setenv("SESSION_PATH", "/app")

    read = SessionSettings.from_env()

    assert (read.secret_key, read.path) == ((SECRET,), "/app")


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        pytest.param({}, "SESSION_SECRET_KEY is missing", id="no secret"),
        pytest.param({"SESSION_SECRET_KEY": ""}, "SESSION_SECRET_KEY is missing", id="empty"),
        pytest.param({"SESSION_SECRET_KEY": " , "}, "secret_key is missing", id="empty list"),
        pytest.param({"SESSION_SECRET_KEY": PRIVATE}, "secret_key is 7 bytes", id="short secret"),
        pytest.param(
            {"SESSION_SECRET_KEY": f"{SECRET},{PRIVATE}"}, "secret_key is 7 bytes", id="short old"
        ),
        pytest.param(
            {"SESSION_SECRET_KEY": "${SECRET}"}, "SESSION_SECRET_KEY holds", id="placeholder"
        ),
        pytest.param({"SESSION_SCHEMA": "${SCHEMA:-app}"}, "SESSION_SCHEMA holds", id="${:-}"),
        pytest.param({"SESSION_SCHEMA": "app\n"}, "schema has", id="line break"),
        pytest.param({"SESSION_COOKIE": "$NAME"}, "SESSION_COOKIE holds", id="$"),
        pytest.param(
            {"SESSION_DATABASE_URL": "postgresql://u:${PASSWORD}@h/db"},
            "SESSION_DATABASE_URL holds",
            id="placeholder in a URL",
        ),
        pytest.param({"SESSION_EXCLUDE": "{{ exclude }}"}, "SESSION_EXCLUDE holds", id="{{}}"),
        pytest.param({"SESSION_DEFAULT_PERIOD": PRIVATE}, "SESSION_DEFAULT_PERIOD:", id="period"),
        pytest.param(
            {"SESSION_DEFAULT_PERIOD": "99999999d"}, "SESSION_DEFAULT_PERIOD:", id="endless"
        ),
        pytest.param({"SESSION_MAX_LIFETIME": PRIVATE}, "SESSION_MAX_LIFETIME:", id="lifetime"),
        pytest.param({"SESSION_TOUCH_AFTER": PRIVATE}, "SESSION_TOUCH_AFTER:", id="touch_after"),
        pytest.param({"SESSION_SWEEP_EVERY": PRIVATE}, "SESSION_SWEEP_EVERY:", id="sweep_every"),
        pytest.param({"SESSION_SWEEP_EVERY": "0"}, "sweep_every must", id="sweeps all the time"),
        pytest.param({"SESSION_ROTATE_EVERY": PRIVATE}, "SESSION_ROTATE_EVERY:", id="rotate"),
        pytest.param({"SESSION_ROTATE_EVERY": "0"}, "rotate_every must", id="rotates always"),
        pytest.param({"SESSION_ROTATION_GRACE": PRIVATE}, "SESSION_ROTATION_GRACE:", id="grace"),
        pytest.param({"SESSION_ROTATION_GRACE": "0"}, "rotation_grace must", id="no grace"),
        pytest.param({"SESSION_END_ON_REUSE": PRIVATE}, "SESSION_END_ON_REUSE:", id="reuse"),
        pytest.param({"SESSION_ASSURANCE_LEVEL": PRIVATE}, "SESSION_ASSURANCE_LEVEL:", id="level"),
        pytest.param({"SESSION_ASSURANCE_LEVEL": "4"}, "assurance_level must", id="no such level"),
        pytest.param({"SESSION_VALUE_LIMIT": PRIVATE}, "SESSION_VALUE_LIMIT:", id="limit"),
        pytest.param({"SESSION_VALUE_LIMIT": "1.5"}, "SESSION_VALUE_LIMIT:", id="half a byte"),
        pytest.param({"SESSION_VALUE_LIMIT": "9" * 5000}, "SESSION_VALUE_LIMIT:", id="digits"),
        pytest.param({"SESSION_VALUE_LIMIT": "0"}, "value_limit must", id="no byte"),
        pytest.param({"SESSION_COOKIE": f"{PRIVATE};"}, "session_cookie is", id="cookie"),
        pytest.param({"SESSION_MAX_AGE": PRIVATE}, "SESSION_MAX_AGE:", id="max_age"),
        pytest.param({"SESSION_PATH": PRIVATE}, "path:", id="path"),
        pytest.param({"SESSION_SAME_SITE": PRIVATE}, "same_site must", id="same_site"),
        pytest.param(
            {"SESSION_SAME_SITE": "none", "SESSION_HTTPS_ONLY": "no"}, 'same_site="none"', id="none"
        ),
        pytest.param({"SESSION_HTTPS_ONLY": PRIVATE}, "SESSION_HTTPS_ONLY:", id="https_only"),
        pytest.param({"SESSION_DOMAIN": f"{PRIVATE}/"}, "domain is", id="domain"),
        pytest.param({"SESSION_PARTITIONED": PRIVATE}, "SESSION_PARTITIONED:", id="partitioned"),
        pytest.param({"SESSION_EXCLUDE": PRIVATE}, "exclude:", id="exclude"),
        pytest.param({"SESSION_CSRF_PROTECTION": PRIVATE}, "SESSION_CSRF_PROTECTION:", id="csrf"),
        pytest.param(
            {"SESSION_TRUSTED_ORIGINS": f"https://{PRIVATE}/"}, "trusted_origins:", id="origin"
        ),
        pytest.param({"SESSION_CSRF_EXEMPT": PRIVATE}, "csrf_exempt:", id="exempt"),
        pytest.param({"SESSION_POOL_SIZE": PRIVATE}, "SESSION_POOL_SIZE:", id="pool_size"),
        pytest.param({"SESSION_POOL_SIZE": "0"}, "pool_size must", id="no connection"),
        pytest.param({"SESSION_TIMEOUT": PRIVATE}, "SESSION_TIMEOUT:", id="timeout"),
        pytest.param({"SESSION_TIMEOUT": "-1s"}, "timeout must", id="negative timeout"),
        pytest.param({"SESSION_PREPARED": PRIVATE}, "SESSION_PREPARED:", id="prepared"),
    ],
)
def test_wrong_variable(variables: dict[str, str], named: str) -> None:
    """A wrong variable raises one error that names the setting and never shows its value."""
    environment = {"SESSION_SECRET_KEY": SECRET, **variables} if variables else {}

    with pytest.raises(SettingsError, match=f"^{named}") as caught:
        SessionSettings.from_env(environment)

    shown = "".join(traceback.format_exception_only(caught.value))
    assert PRIVATE not in shown
    assert SECRET not in shown
    assert "9999" not in shown
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("setting", "content"),
    [
        pytest.param("secret_key", None, id="no secret"),
        pytest.param("secret_key", "", id="empty secret"),
        pytest.param("secret_key", b"", id="empty bytes"),
        pytest.param("secret_key", [], id="empty list"),
        pytest.param("secret_key", [""], id="list of an empty one"),
        pytest.param("secret_key", Secret(""), id="empty Secret"),
        pytest.param("secret_key", Secret(PRIVATE), id="short Secret"),
        pytest.param("secret_key", PRIVATE, id="short"),
        pytest.param("secret_key", [None], id="list of None"),
        pytest.param("secret_key", 5, id="number"),
        pytest.param("default_period", math.nan, id="NaN"),
        pytest.param("default_period", True, id="bool for a period"),
        pytest.param("default_period", "7d", id="text for a period"),
        pytest.param("default_period", "default", id="default of the default"),
        pytest.param("default_period", 10**400, id="huge"),
        pytest.param("max_lifetime", math.inf, id="endless"),
        pytest.param("touch_after", "x", id="text for touch_after"),
        pytest.param("max_inactivity", 0, id="no inactivity"),
        pytest.param("max_age", PRIVATE, id="text for max_age"),
        pytest.param("exclusive_limit", 0, id="no time for a block"),
        pytest.param("exclusive_limit", None, id="no limit for a block"),
        pytest.param("connection_lifetime", 0.5, id="connections replaced all the time"),
        pytest.param("connection_lifetime", None, id="connections for ever"),
        pytest.param("max_age", 0, id="max_age that deletes the cookie"),
        pytest.param("max_age", -1, id="negative max_age, as Starlette allows"),
        pytest.param("max_age", timedelta(0), id="max_age of no time"),
        pytest.param("assurance_level", 0, id="no such level"),
        pytest.param("assurance_level", 4, id="beyond the levels"),
        pytest.param("assurance_level", True, id="bool for a level"),
        pytest.param("assurance_level", 2.0, id="float for a level"),
        pytest.param("assurance_level", PRIVATE, id="text for a level"),
        pytest.param("value_limit", 0, id="no byte"),
        pytest.param("value_limit", "5", id="text for a number"),
        pytest.param("value_limit", True, id="bool for a number"),
        pytest.param("pool_size", -1, id="negative pool"),
        pytest.param("timeout", 0, id="no time"),
        pytest.param("timeout", math.nan, id="NaN for a timeout"),
        pytest.param("timeout", math.inf, id="endless timeout"),
        pytest.param("exclude", "/static", id="one prefix"),
        pytest.param("exclude", ["static"], id="prefix without a slash"),
        pytest.param("exclude", ["/static\n"], id="prefix with a line break"),
        pytest.param("exclude", [""], id="empty prefix, which would exclude all"),
        pytest.param("exclude", None, id="None for a list"),
        pytest.param("trusted_origins", "https://a.org", id="one origin"),
        pytest.param("csrf_exempt", "/hooks", id="one exempt prefix"),
        pytest.param("excluded_session", "empty", id="unknown excluded_session"),
        pytest.param("excluded_session", None, id="no excluded_session"),
        pytest.param("on_unavailable", [], id="list for on_unavailable"),
        pytest.param("session_cookie", "a b", id="cookie's name"),
        pytest.param("session_cookie", "__Host-a", id="impossible prefix"),
        pytest.param("path", None, id="no path"),
        pytest.param("same_site", None, id="no same_site"),
    ],
)
def test_wrong_setting(setting: str, content: object) -> None:
    """A setting that cannot work raises one error that names it, whatever its type."""
    given: dict[str, Any] = {"secret_key": SECRET, "domain": "example.org", setting: content}

    with pytest.raises(SettingsError, match=rf"^{setting}\b") as caught:
        SessionSettings(**given)

    assert PRIVATE not in str(caught.value)


def test_defaults() -> None:
    """By default a session lives one week, and its cookie has the safest attributes."""
    settings = SessionSettings(secret_key=SECRET, database_url="postgresql:///app")

    cookie, store = settings.make_cookie(), settings.make_store()

    assert (store.default_period, store.max_lifetime) == (DEFAULT_PERIOD, None)

    assert settings.value_limit == DEFAULT_VALUE_LIMIT
    assert settings.cookie_max_age() == "default"
    assert (cookie.name, cookie.secure, cookie.same_site) == ("__Host-session", True, "lax")
    assert (cookie.path, cookie.domain, cookie.partitioned) == ("/", None, False)


@pytest.mark.parametrize(
    "secret_key",
    [
        pytest.param(SECRET, id="text"),
        pytest.param(SECRET.encode(), id="bytes"),
        pytest.param(Secret(SECRET), id="Starlette's Secret"),
        pytest.param([SECRET], id="list"),
        pytest.param((Secret(SECRET), OTHER.encode()), id="several kinds"),
    ],
)
def test_secret_key(secret_key: Any) -> None:
    """The secret is a str, bytes or Starlette's `Secret`, alone or in a list, newest first."""
    key = "k" * 40

    written = SessionSettings(secret_key=secret_key).make_cookie().write(key, None)

    assert written == SessionSettings(secret_key=SECRET).make_cookie().write(key, None)


@pytest.mark.parametrize(
    ("max_age", "expected"),
    [
        pytest.param("default", "default", id="default"),
        pytest.param(None, None, id="dies with the browser"),
        pytest.param(60, timedelta(minutes=1), id="seconds"),
        pytest.param(timedelta(days=1), timedelta(days=1), id="timedelta"),
    ],
)
def test_max_age(max_age: Any, expected: object) -> None:
    """`max_age` is a period, "default" or None."""
    assert SessionSettings(secret_key=SECRET, max_age=max_age).cookie_max_age() == expected


def test_make_cookie() -> None:
    """The cookie gets every setting that concerns it."""
    cookie = SessionSettings(
        secret_key=SECRET,
        session_cookie="sid",
        path="/app",
        domain="example.org",
        same_site="none",
        partitioned=True,
    ).make_cookie()

    assert cookie.delete().decode() == (
        "sid=null; path=/app; expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; httponly; "
        "samesite=none; secure; domain=example.org; partitioned"
    )


def test_make_store() -> None:
    """The store gets every setting that concerns it, and is not open yet."""
    store = SessionSettings(
        secret_key=SECRET,
        database_url="postgresql:///app",
        default_period=60,
        max_lifetime=600,
        value_limit=1000,
    ).make_store()

    assert isinstance(store, PostgresStore)
    assert store.default_period == timedelta(minutes=1)
    assert store.max_lifetime == timedelta(minutes=10)
    assert store.value_limit == 1000


def test_no_database() -> None:
    """Without a database URL, making a store fails, and the error says what to do."""
    with pytest.raises(SettingsError, match="database_url is missing: give the middleware a store"):
        SessionSettings(secret_key=SECRET).make_store()


@pytest.mark.parametrize(
    "url",
    [
        f"nonsense {PRIVATE}",
        f"host=x password={PRIVATE} bogus=1",
        f"postgresql://user:{PRIVATE}@[host",
        f"postgresql://user:{PRIVATE}@host/db?bogus=1",
    ],
    ids=["nonsense", "keyword", "URL", "parameter"],
)
def test_wrong_database(url: str) -> None:
    """A database URL that libpq cannot parse raises one error that does not repeat it."""
    with pytest.raises(SettingsError, match="database_url: The database URL") as caught:
        SessionSettings(secret_key=SECRET, database_url=url)

    assert PRIVATE not in "".join(traceback.format_exception(caught.value))


class SecretText:
    """What pydantic's SecretStr is."""

    def get_secret_value(self) -> str:
        return SECRET


OLD = "an old secret that is long enough for HMAC"


@pytest.mark.parametrize(
    ("given", "secrets"),
    [
        pytest.param(f"{SECRET},{OLD}", [SECRET, OLD], id="commas"),
        pytest.param(f" {SECRET} , {OLD} ", [SECRET, OLD], id="blanks"),
        pytest.param([SECRET, Secret(OLD)], [SECRET, OLD], id="list"),
        pytest.param(SecretText(), [SECRET], id="pydantic"),
        pytest.param([SecretText(), OLD.encode()], [SECRET, OLD.encode()], id="bytes"),
        pytest.param(f"{SECRET},{OLD}".encode(), [f"{SECRET},{OLD}".encode()], id="one of bytes"),
    ],
)
def test_secrets(given: Any, secrets: list[str | bytes]) -> None:
    """A secret may hold several, with commas, as in the variable, and comes in several types."""
    assert list(SessionSettings(secret_key=given).make_cookie().secret_keys) == secrets


def test_comma_in_a_secret() -> None:
    """A secret with a comma in it is an error that says what a comma means."""
    with pytest.raises(SettingsError, match="has a comma, which separates several") as caught:
        SessionSettings(secret_key=f"{PRIVATE},{SECRET}")

    assert PRIVATE not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("SESSION_COOKIE_NAME", "SESSION_COOKIE"),
        ("SESSION_DEFALT_PERIOD", "SESSION_DEFAULT_PERIOD"),
        ("SESSION_DATABASE_URI", "SESSION_DATABASE_URL"),
    ],
)
def test_misspelt(name: str, nearest: str, caplog: pytest.LogCaptureFixture) -> None:
    """A variable that is no setting is one warning, with the nearest name, not its text."""
    SessionSettings.from_env({"SESSION_SECRET_KEY": SECRET, name: PRIVATE})

    assert caplog.messages == [f"{name} is not a setting of pgsession; did you mean {nearest}?"]


def test_foreign_prefix(caplog: pytest.LogCaptureFixture) -> None:
    """The variable of a desktop's session manager is not taken for a setting."""
    SessionSettings.from_env({"SESSION_SECRET_KEY": SECRET, "SESSION_MANAGER": "local/host"})

    assert caplog.messages == []


def test_repr() -> None:
    """The repr shows neither the secrets nor the database URL, which contains a password."""
    shown = repr(
        SessionSettings(
            secret_key=[SECRET, Secret(OTHER)], database_url=f"postgresql://u:{PRIVATE}@h/d"
        )
    )

    assert SECRET not in shown
    assert OTHER not in shown
    assert PRIVATE not in shown
    assert shown.startswith("SessionSettings(default_period=")


@pytest.mark.parametrize("name", ["default_period", "max_lifetime"])
@pytest.mark.parametrize("period", [0, -5, timedelta(0)], ids=str)
def test_period_without_life(name: str, period: timedelta | int) -> None:
    """The settings reject a period that is not positive, although a store accepts it."""
    keywords: dict[str, Any] = {name: period}

    with pytest.raises(SettingsError, match=name):
        SessionSettings(secret_key=SECRET, **keywords)


HOUR = timedelta(hours=1)
QUARTER = timedelta(minutes=15)

#: SP 800-63B-4, sections 2.1.3, 2.2.3, 2.3.3: inactivity (level 1 requires none) and overall.
LEVELS = [
    pytest.param(1, timedelta(days=7), timedelta(days=30), id="AAL1"),
    pytest.param(2, HOUR, timedelta(hours=24), id="AAL2"),
    pytest.param(3, QUARTER, timedelta(hours=12), id="AAL3"),
]

#: One second more than a level allows.
TOO_LONG = [
    pytest.param({"assurance_level": 1, "max_lifetime": 2_592_001}, "max_lifetime", id="AAL1"),
    pytest.param({"assurance_level": 2, "max_lifetime": 86_401}, "max_lifetime", id="AAL2"),
    pytest.param({"assurance_level": 2, "default_period": 3601}, "default_period", id="AAL2 idle"),
    pytest.param({"assurance_level": 2, "max_age": 3601}, "max_age", id="AAL2 cookie"),
    pytest.param({"assurance_level": 3, "max_lifetime": 43_201}, "max_lifetime", id="AAL3"),
    pytest.param({"assurance_level": 3, "default_period": 901}, "default_period", id="AAL3 idle"),
    pytest.param({"assurance_level": 3, "max_age": 901}, "max_age", id="AAL3 cookie"),
]


@pytest.mark.parametrize(("level", "period", "lifetime"), LEVELS)
def test_assurance_level(level: Any, period: timedelta, lifetime: timedelta) -> None:
    """An assurance level sets the periods of the store."""
    settings = SessionSettings(
        secret_key=SECRET, database_url="postgresql:///app", assurance_level=level
    )

    store = settings.make_store()

    assert (store.default_period, store.max_lifetime) == (period, lifetime)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_shorter_than_level(level: Any) -> None:
    """Explicit periods take precedence over those of the level, up to its limits."""
    settings = SessionSettings(
        secret_key=SECRET,
        database_url="postgresql:///app",
        assurance_level=level,
        default_period=60,
        max_lifetime=timedelta(hours=12),
        max_age=QUARTER,
    )

    store = settings.make_store()

    assert (store.default_period, store.max_lifetime) == (HOUR / 60, timedelta(hours=12))


@pytest.mark.parametrize(("given", "named"), TOO_LONG)
def test_longer_than_level(given: dict[str, Any], named: str) -> None:
    """A period longer than the level allows is rejected, and the error names the setting."""
    with pytest.raises(SettingsError, match=rf"^{named} is (too long|longer).* assurance_level"):
        SessionSettings(secret_key=SECRET, **given)


@pytest.mark.parametrize(
    ("store", "named"),
    [
        pytest.param(MemoryStore(max_lifetime=3600), "default_period is longer", id="idle"),
        pytest.param(MemoryStore(default_period=60), "max_lifetime is missing", id="endless"),
        pytest.param(
            MemoryStore(default_period=60, max_lifetime=43_201), "max_lifetime is too", id="overall"
        ),
        pytest.param(
            MemoryStore(default_period=60, max_lifetime=60),
            "max_inactivity is missing",
            id="unlimited inactivity",
        ),
        pytest.param(
            MemoryStore(default_period=60, max_lifetime=60, max_inactivity=901),
            "max_inactivity is too",
            id="long inactivity",
        ),
    ],
)
def test_store_beyond_level(store: MemoryStore, named: str) -> None:
    """A given store keeps its own periods, so it is rejected if they exceed the level."""
    settings = SessionSettings(secret_key=SECRET, assurance_level=3)

    with pytest.raises(SettingsError, match=rf"^The store's {named}"):
        SessionMiddleware(Starlette(), store, settings=settings)


@pytest.mark.parametrize(
    ("store", "given"),
    [
        pytest.param(MemoryStore(), {}, id="no level"),
        pytest.param(
            MemoryStore(default_period=900, max_lifetime=43_200, max_inactivity=900),
            {"assurance_level": 3},
            id="AAL3",
        ),
        pytest.param(
            MemoryStore(max_lifetime=60, max_inactivity=900),
            {"assurance_level": 3, "max_age": 900},
            id="by max_age",
        ),
    ],
)
def test_store_within_level(store: MemoryStore, given: dict[str, Any]) -> None:
    """A store within the limits of the level is accepted; without a level any store is accepted."""
    SessionMiddleware(Starlette(), store, settings=SessionSettings(secret_key=SECRET, **given))


@pytest.mark.parametrize("name", ["https_only", "csrf_protection", "close_websockets", "prepared"])
@pytest.mark.parametrize("given", ["false", 0, 1.0], ids=repr)
def test_switches(name: str, given: object) -> None:
    """A text or a number in place of True or False is refused: "false" would be true."""
    with pytest.raises(SettingsError, match=f"{name} must be True or False"):
        SessionSettings(secret_key=SECRET, **{name: given})  # type: ignore[arg-type] # a mistake


def test_compared() -> None:
    """Settings compare, hash and print as a dataclass does; the secret is not printed."""
    settings = SessionSettings(secret_key=SECRET, path="/app")
    names = [each.name for each in fields(settings) if each.repr]
    shown = ", ".join(f"{name}={getattr(settings, name)!r}" for name in names)

    assert settings == replace(settings)
    assert hash(settings) == hash(replace(settings))
    assert settings != replace(settings, path="/")
    assert settings != SECRET
    assert repr(settings) == f"SessionSettings({shown})"
    assert SECRET not in repr(settings)
