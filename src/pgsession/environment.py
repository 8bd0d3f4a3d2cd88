"""The settings in environment variables, and how their text is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from difflib import get_close_matches
from typing import Any, Final

from starlette.config import Config, environ

from pgsession.core.hidden import (
    Hidden,
    HiddenDict,
    HiddenMapping,
    hidden,
    read_list,
    read_setting,
)
from pgsession.core.logs import event, own_logger
from pgsession.core.period import parse_period
from pgsession.core.secret_keys import is_placeholder
from pgsession.errors import SettingsError

_LOGGER = own_logger()

#: What all variables begin with.
_PREFIX: Final = "SESSION_"

#: Variables of this form that belong to others: the session manager of a desktop.
_FOREIGN: Final = frozenset({"SESSION_MANAGER"})


def read_environment(
    environment: Mapping[str, str] | None, *, env_file: str | None
) -> dict[str, Any]:
    """Return the settings that are set. Raises `SettingsError`, naming the variable.

    Logs a warning for a variable that looks like a setting and is none. Without an
    `environment`, it is that of the process.
    """
    if environment is None:
        environment = HiddenMapping(environ)
    config = Config(env_file, environment)
    _warn_of_unknown({*environment, *config.file_values})
    given = HiddenDict()
    for name, (variable, read) in VARIABLES.items():
        text = hidden(config(variable, default=None) or config.file_values.get(variable))
        if text:
            if is_placeholder(text):
                raise SettingsError(
                    f"{variable} holds a placeholder such as ${{NAME}}, which nothing has replaced "
                    "by its value. Set the variable where the application starts."
                )
            given[name] = read_setting(variable, read, text)
    return given


def _warn_of_unknown(names: Iterable[str]) -> None:
    known = {variable for variable, _ in VARIABLES.values()}
    for name in sorted(names):
        if name.startswith(_PREFIX) and name not in known | _FOREIGN:
            nearest = get_close_matches(name, sorted(known), n=1, cutoff=0.0)
            _LOGGER.warning(
                "%s is not a setting of pgsession; did you mean %s?",
                name,
                nearest[0],
                extra=event("setting_unknown"),
            )


def _read_switch(text: str) -> bool:
    switches = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if (switch := switches.get(text.strip().lower())) is None:
        raise ValueError("must be true or false.")
    return switch


def _read_number(text: str) -> int:
    if not text.strip().isdecimal():
        raise ValueError("must be a whole number.")
    return int(text)


def _read_seconds(text: str) -> float:
    return parse_period(text).total_seconds()


def _read_period_or_none(text: str) -> timedelta | None:
    return None if text.strip().lower() == "none" else parse_period(text)


#: The environment variable of each setting, and the function that reads its text.
VARIABLES: Final[Mapping[str, tuple[str, Callable[[str], Any]]]] = {
    "secret_key": ("SESSION_SECRET_KEY", read_list),
    "database_url": ("SESSION_DATABASE_URL", Hidden),
    "default_period": ("SESSION_DEFAULT_PERIOD", parse_period),
    "max_lifetime": ("SESSION_MAX_LIFETIME", parse_period),
    "max_inactivity": ("SESSION_MAX_INACTIVITY", parse_period),
    "touch_after": ("SESSION_TOUCH_AFTER", parse_period),
    "assurance_level": ("SESSION_ASSURANCE_LEVEL", _read_number),
    "value_limit": ("SESSION_VALUE_LIMIT", _read_number),
    "session_cookie": ("SESSION_COOKIE", str),
    "max_age": ("SESSION_MAX_AGE", _read_period_or_none),
    "path": ("SESSION_PATH", str),
    "same_site": ("SESSION_SAME_SITE", str.lower),
    "https_only": ("SESSION_HTTPS_ONLY", _read_switch),
    "domain": ("SESSION_DOMAIN", str),
    "partitioned": ("SESSION_PARTITIONED", _read_switch),
    "exclude": ("SESSION_EXCLUDE", read_list),
    "csrf_protection": ("SESSION_CSRF_PROTECTION", _read_switch),
    "trusted_origins": ("SESSION_TRUSTED_ORIGINS", read_list),
    "csrf_exempt": ("SESSION_CSRF_EXEMPT", read_list),
    "excluded_session": ("SESSION_EXCLUDED_SESSION", str.lower),
    "on_unavailable": ("SESSION_ON_UNAVAILABLE", str.lower),
    "strict_start": ("SESSION_STRICT_START", _read_switch),
    "rotate_every": ("SESSION_ROTATE_EVERY", _read_period_or_none),
    "rotation_grace": ("SESSION_ROTATION_GRACE", parse_period),
    "end_on_reuse": ("SESSION_END_ON_REUSE", _read_switch),
    "max_sessions": ("SESSION_MAX_SESSIONS", _read_number),
    "close_websockets": ("SESSION_CLOSE_WEBSOCKETS", _read_switch),
    "watch_every": ("SESSION_WATCH_EVERY", parse_period),
    "record_client": ("SESSION_RECORD_CLIENT", _read_switch),
    "device_binding": ("SESSION_DEVICE_BINDING", _read_period_or_none),
    "device_binding_path": ("SESSION_DEVICE_BINDING_PATH", str),
    "schema": ("SESSION_SCHEMA", str),
    "table": ("SESSION_TABLE", str),
    "pool_size": ("SESSION_POOL_SIZE", _read_number),
    "timeout": ("SESSION_TIMEOUT", _read_seconds),
    "prepared": ("SESSION_PREPARED", _read_switch),
    "sweep_every": ("SESSION_SWEEP_EVERY", _read_period_or_none),
    "exclusive_limit": ("SESSION_EXCLUSIVE_LIMIT", parse_period),
    "telemetry": ("SESSION_TELEMETRY", _read_switch),
    "connection_lifetime": ("SESSION_CONNECTION_LIFETIME", parse_period),
}
