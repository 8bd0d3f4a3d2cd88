"""What the code says of each setting: its variable and its default, as a reader writes them."""

from dataclasses import fields
from datetime import timedelta
from typing import Final

from pgsession import SessionSettings
from pgsession.core.period import as_period
from pgsession.environment import VARIABLES

_UNITS: Final = (("h", 3_600), ("m", 60))

#: What happens where a setting is not set, if the code has no value for that.
UNSET: Final = {
    "secret_key": "required",
    "database_url": "required unless you give a store",
    "default_period": "a week",
    "max_lifetime": "no limit",
    "max_inactivity": "no limit",
    "touch_after": "a tenth of the period",
    "session_cookie": "`__Host-session`",
    "max_age": "as `default_period`",
    "domain": "this host alone",
    "unavailable_response": "a plain 503",
    "rotate_every": "never",
    "max_sessions": "no limit",
    "record_client": "not kept",
    "device_binding": "off",
    "schema": "from the `search_path`",
    "prepared": "yes, unless a pooler is found",
    "telemetry": "yes, if `opentelemetry-api` is installed",
}


def facts_of(name: str) -> dict[str, str]:
    """Return the variable and the default of a setting, in Markdown."""
    [field] = [each for each in fields(SessionSettings) if each.name == name]
    variable = VARIABLES.get(name)
    return {
        "Variable": f"`{variable[0]}`" if variable else "none: in Python only",
        "Default": UNSET.get(name) or shown_default(field.default),
    }


def shown_default(default: object) -> str:
    """Return a default as it is written in a variable."""
    match default:
        case bool():
            return f"`{str(default).lower()}`"
        case None | () | "default":
            return "none"
        case timedelta() | float():
            return f"`{shown_period(as_period(default))}`"
        case _:
            return f"`{default}`"


def shown_period(period: timedelta) -> str:
    """Return a period as it is written in a variable, such as ``10m``."""
    seconds = period.total_seconds()
    for unit, size in _UNITS:
        if seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"
