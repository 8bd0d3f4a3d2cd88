"""The libpq conninfo of the connections that are made here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import Conninfo

from pgsession.errors import SettingsError

#: The defaults for what the conninfo leaves out.
_DEFAULTS: Final = {
    "application_name": "pgsession",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}


def complete_conninfo(conninfo: str, keywords: Mapping[str, str | int], *, timeout: float) -> str:
    """Return `conninfo` with the libpq `keywords` and our defaults added.

    With several hosts, the defaults leave time to try each of them within
    `timeout` seconds, and accept only one that takes writes. Raises
    `SettingsError`, whose message quotes nothing of the conninfo, as it may hold
    a password.
    """
    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    if unknown := keywords.keys() - known:
        raise SettingsError(
            f"{', '.join(sorted(unknown))}: no setting of PostgresStore, nor one of libpq."
        )
    try:
        given = conninfo_to_dict(conninfo, **keywords)
    except psycopg.ProgrammingError:
        given = None
    if given is None:
        raise SettingsError(
            "The database URL is neither a URL such as postgresql://user@host/name "
            "nor libpq keywords such as host=… dbname=…"
        )
    reject_torn_password(given)
    if not str(given.get("connect_timeout", 0)).lstrip("-").isdecimal():
        raise SettingsError("connect_timeout is a whole number of seconds.")
    return make_conninfo("", **{**_DEFAULTS, **_timeouts(given, timeout), **given})


def _timeouts(given: Mapping[str, str | int | None], timeout: float) -> dict[str, str]:
    hosts = str(given.get("host") or given.get("hostaddr") or "").count(",") + 1
    defaults = {
        "connect_timeout": str(max(2, round(timeout / hosts))),
        "tcp_user_timeout": str(max(1_000, round(timeout * 1_000))),
    }
    return defaults if hosts == 1 else defaults | {"target_session_attrs": "read-write"}


def reject_torn_password(parameters: dict[str, str | int | None]) -> None:
    """Raise `SettingsError` for a URL whose password has an unescaped @ or /.

    libpq takes the rest of such a password for the host or the port, and quotes
    these in its messages.
    """
    host, port = str(parameters.get("host") or ""), str(parameters.get("port") or "0")
    if "@" in host[1:] or not port.replace(",", "0").isdecimal():
        raise SettingsError(
            "The host or the port in the database URL is wrong; "
            "in a password write @ as %40 and / as %2F."
        )
    if "://" in str(parameters.get("dbname")):  # the server's messages quote it
        raise SettingsError("dbname is the name of a database: give a URL in its own place.")
