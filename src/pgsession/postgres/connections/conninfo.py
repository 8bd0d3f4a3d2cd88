"""The libpq conninfo of the connections that are made here."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import Conninfo

from pgsession.core.hidden import Hidden, HiddenDict, hidden
from pgsession.errors import SettingsError

#: The defaults for what neither the conninfo nor libpq's environment says.
_DEFAULTS: Final = {
    "application_name": "pgsession",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}

#: A URL, with the driver that SQLAlchemy writes behind a plus sign.
_URL: Final = re.compile(r"(postgres(?:ql)?)(?:\+(\w+))?://")

#: A host that is a name or an address, as far as the lengths of its parts tell.
_PLAIN_HOST: Final = re.compile(r"(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_:-]{0,63}")

#: The parameters that say where a database is.
ADDRESS: Final = ("host", "hostaddr", "port", "dbname")

_TORN: Final = (
    "The host or the port in the database URL is wrong; in a password write @ as %40 and / as %2F. "
    "In the name of a database too, write @ as %40."
)

_DRIVERS: Final = {None, "psycopg", "psycopg_async"}


def as_url(source: object) -> Hidden:
    """Return the text of a URL or conninfo. Raises `SettingsError` for anything else.

    Besides a str it may be what pydantic, SQLAlchemy or Starlette make of a URL.
    """
    source = hidden(source)
    if isinstance(source, type):
        kind = f"the class {source.__name__}"
    else:
        kind = "bytes" if isinstance(source, bytes) else type(source).__name__
    if isinstance(source, str):
        return Hidden(source)
    if not isinstance(source, type):
        if callable(reveal := getattr(source, "get_secret_value", None)):  # pydantic's SecretStr
            return as_url(hidden(reveal()))
        render = getattr(source, "render_as_string", None)  # SQLAlchemy's, whose str() has ***
        text = render(hide_password=False) if callable(render) else str(source)
        text = hidden(text)
        if isinstance(text, Hidden) and _URL.match(text):
            return text
    raise SettingsError(
        f"A database is named by a URL, by libpq's keywords or by a pool, not by {kind}."
    )


def complete_conninfo(
    conninfo: str, keywords: Mapping[str, str | int], *, timeout: float
) -> Hidden:
    """Return `conninfo` with the libpq `keywords` and our defaults added.

    A default applies where neither these nor libpq's environment variables and
    service file say anything. With several hosts, the defaults leave time to
    try each of them within `timeout` seconds, and accept only one that takes
    writes. The text of the connections is always UTF-8.

    Raises `SettingsError`, whose message quotes nothing of the conninfo but the
    names of parameters, as it may hold a password.
    """
    conninfo, keywords = Hidden(conninfo.strip()), HiddenDict(keywords)
    given = _parsed(conninfo, keywords)
    ambient = HiddenDict(_ambient(given))
    if not str({**ambient, **given}.get("connect_timeout", 0)).strip().lstrip("-").isdecimal():
        raise SettingsError("connect_timeout (PGCONNECT_TIMEOUT) is a whole number of seconds.")
    _check_hosts(str(given.get("host") or ambient.get("host") or ""))
    defaults = {**_DEFAULTS, **_timeouts({**ambient, **given}, timeout)}
    missing = {name: text for name, text in defaults.items() if name not in ambient}
    complete = HiddenDict({**missing, **given, "client_encoding": "UTF8"})
    return Hidden(make_conninfo("", **complete))


def address_in(conninfo: str) -> dict[str, str]:
    """Return what a conninfo or libpq's environment says of `ADDRESS`, and nothing else."""
    conninfo = hidden(conninfo)
    try:
        given = _parsed(conninfo, {})
    except SettingsError:
        return {}  # of a pool of the application's, which finds out for itself
    known = HiddenDict({**_ambient(given), **given})
    return {name: str(known[name]) for name in ADDRESS if known.get(name)}


def _reject_torn_password(parameters: Mapping[str, str | int | None]) -> None:
    """Raise `SettingsError` for a URL whose password has an unescaped @ or /.

    libpq takes the rest of such a password for the host or the port, and quotes
    these in its messages.
    """
    host, port = str(parameters.get("host") or ""), str(parameters.get("port") or "0")
    if "@" in host[1:] or not port.replace(",", "0").isdecimal():
        raise SettingsError(_TORN)
    if "://" in str(parameters.get("dbname")):  # the server's messages quote it
        raise SettingsError("dbname is the name of a database: give a URL in its own place.")


def _has_stray_at(url: str) -> bool:
    """Tell whether a URL has an @ that may be part of a password, behind what libpq takes for it.

    Without a user before the host, there may be one in the parameters, as in ``?host=@socket``.
    """
    _, _, body = url.partition("://")
    user, at, rest = body.partition("@")
    if at and "/" not in user:
        return "@" in rest
    return "@" in body.partition("?")[0]


def _parsed(conninfo: str, keywords: Mapping[str, str | int]) -> HiddenDict:
    """Return the parameters. Raises `SettingsError`, also for a password that is not whole."""
    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    if unknown := keywords.keys() - known:
        raise SettingsError(
            f"{', '.join(sorted(unknown))}: no setting of PostgresStore, nor one of libpq."
        )
    if url := _URL.match(conninfo):
        if url[2] not in _DRIVERS:
            raise SettingsError(
                f"The database URL names the driver {url[2]}; write it as postgresql://…"
            )
        conninfo = Hidden(f"{url[1]}://{conninfo[url.end() :]}")
        if _has_stray_at(conninfo):
            raise SettingsError(_TORN)
    try:
        given = HiddenDict(conninfo_to_dict(conninfo, **keywords))
    except psycopg.ProgrammingError:
        pass
    else:
        _reject_torn_password(given)
        return given
    # Not while the driver's error is handled: it quotes the conninfo.
    if url and (unknown := _unknown_parameters(conninfo, known)):
        raise SettingsError(
            f"The database URL has a parameter that is none: {', '.join(sorted(unknown))}. "
            "Remove it; a schema is a setting of its own (schema=, SESSION_SCHEMA)."
        )
    raise SettingsError(
        "The database URL is neither a URL such as postgresql://user@host/name "
        "nor libpq keywords such as host=… dbname=…"
    )


def _unknown_parameters(url: str, known: set[str]) -> set[str]:
    """Return the unknown names behind the question mark, unless they may be part of a password."""
    _, _, query = url.partition("?")
    if "@" in query:
        return set()
    names = {name for name, _ in parse_qsl(query, keep_blank_values=True)}
    return {name for name in names - known if re.fullmatch(r"[A-Za-z_]{1,40}", name)}


def _ambient(given: Mapping[str, str | int | None]) -> dict[str, str]:
    """Return what libpq takes from the environment and from a service file."""
    ambient = {
        option.keyword.decode(): os.environ[option.envvar.decode()]
        for option in Conninfo.get_defaults()
        if option.envvar is not None and os.environ.get(option.envvar.decode())
    }
    service = given.get("service") or ambient.get("service")
    return ambient if service is None else {**ambient, **_service(str(service))}


def _service(name: str) -> dict[str, str]:
    """Return a section of libpq's service file; nothing if there is none, as libpq says then."""
    from configparser import ConfigParser, Error  # noqa: PLC0415 - few use a service

    own = os.environ.get("PGSERVICEFILE")
    files = [Path(own) if own else Path("~/.pg_service.conf").expanduser()]
    if folder := os.environ.get("PGSYSCONFDIR"):
        files.append(Path(folder, "pg_service.conf"))
    for file in files:
        services = ConfigParser(
            interpolation=None, strict=False, delimiters=("=",), allow_no_value=True
        )
        try:
            services.read(file, encoding="utf-8")
        except (Error, UnicodeDecodeError):
            continue
        if services.has_section(name):
            return {option: text for option, text in services[name].items() if text}
    return {}


def _check_hosts(hosts: str) -> None:
    """Raise `SettingsError` for a name that cannot be looked up."""
    for host in hosts.split(","):
        try:
            # The codec takes time to import, and most names need only the check of their parts.
            if _PLAIN_HOST.fullmatch(host) is None and not host.startswith(("/", "@")):
                host.encode("idna")
        except UnicodeError:
            pass
        else:
            continue
        raise SettingsError(
            "A host in the database URL is no name: a part between two dots is empty or longer "
            "than 63 characters. Is a variable in it empty?"
        )


def _timeouts(given: Mapping[str, str | int | None], timeout: float) -> dict[str, str]:
    hosts = str(given.get("host") or given.get("hostaddr") or "").count(",") + 1
    defaults = {
        "connect_timeout": str(max(2, round(timeout / hosts))),
        "tcp_user_timeout": str(max(1_000, round(timeout * 1_000))),
    }
    return defaults if hosts == 1 else defaults | {"target_session_attrs": "read-write"}
