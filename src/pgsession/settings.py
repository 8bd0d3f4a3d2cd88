"""All settings: `SessionSettings`, from arguments or from the environment."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Literal, TypeAlias, TypeVar

from starlette.config import Config, environ
from starlette.datastructures import Secret
from starlette.types import Scope

from pgsession.core.assurance import Assurance, AssuranceLevel
from pgsession.core.cookie import Cookie, MaxAge, SameSite
from pgsession.core.period import Period, as_period, parse_period
from pgsession.core.store import Store
from pgsession.core.value import DEFAULT_VALUE_LIMIT
from pgsession.errors import SettingsError
from pgsession.postgres.connections.conninfo import complete_conninfo
from pgsession.postgres.connections.runner import DEFAULT_TIMEOUT
from pgsession.postgres.store import PostgresStore
from pgsession.postgres.sweeping.sweeper import DEFAULT_SWEEP_EVERY

_T = TypeVar("_T")

#: One secret, or several, newest first.
SecretKey: TypeAlias = str | bytes | Secret | Sequence[str | bytes | Secret]

#: Path prefixes, or a function of the ASGI scope that returns True for an excluded request.
Exclude: TypeAlias = Sequence[str] | Callable[[Scope], bool]

#: What to do if the store cannot load the session of a request: "refuse" answers 503, "anonymous"
#: serves the request with an empty session that cannot be changed. Or a function of the ASGI scope
#: that returns one of these.
OnUnavailable: TypeAlias = (
    Literal["refuse", "anonymous"] | Callable[[Scope], Literal["refuse", "anonymous"]]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """All settings. A period is a `timedelta` or a number of seconds.

    Raises `SettingsError`, with the name of the setting, for a setting that
    cannot work. The repr shows neither the secrets nor the database URL.
    """

    #: The secret that signs the cookie, at least 32 bytes. For rotation: several, newest first.
    secret_key: SecretKey = field(repr=False)
    #: The URL or conninfo of the database. Not needed if the middleware gets a store.
    database_url: str | None = field(default=None, repr=False)
    #: How long a session lives after its last use. None: the limit of `assurance_level`, or a week.
    default_period: Period | None = None
    #: How long a session lives after it was created, however often it is used. None: the limit
    #: of `assurance_level`, or no limit.
    max_lifetime: Period | None = None
    #: A request that only reads extends the expiry if at least this much of the period is
    #: used up. None: a tenth of the period.
    touch_after: Period | None = None
    #: The authenticator assurance level of NIST SP 800-63B. Its timeouts are the defaults and
    #: the limits of the periods above. None: no level.
    assurance_level: AssuranceLevel | None = None
    #: The largest session, in bytes of its JSON text.
    value_limit: int = DEFAULT_VALUE_LIMIT
    #: The name of the cookie. None: `__Host-session` if browsers allow it, else `session`.
    session_cookie: str | None = None
    #: The lifetime of the cookie: a period, None (until the browser closes), or "default": the
    #: default period.
    max_age: Period | MaxAge = "default"
    #: The browser sends the cookie to this path and all paths below it.
    path: str = "/"
    #: Whether the browser sends the cookie with requests from other sites.
    same_site: SameSite = "lax"
    #: Whether the browser sends the cookie only over HTTPS (and to localhost).
    https_only: bool = True
    #: The browser sends the cookie to all hosts of this domain. None: to this host only.
    domain: str | None = None
    #: Whether an embedded site has another cookie for each site that embeds it (CHIPS).
    partitioned: bool = False
    #: The requests that have no session.
    exclude: Exclude = ()
    #: What to do if the session of a request cannot be loaded.
    on_unavailable: OnUnavailable = "refuse"
    #: The schema of the table. None: as the search_path says.
    schema: str | None = None
    #: The maximum number of connections to PostgreSQL. A sweep uses one more.
    pool_size: int = 4
    #: The timeout of an operation, in seconds. It includes the wait for a connection.
    timeout: float = DEFAULT_TIMEOUT
    #: Whether statements are prepared; None: they are, unless a pooler stands in between.
    prepared: bool | None = None
    #: About how often each process removes expired sessions. None: it removes none.
    sweep_every: Period | None = DEFAULT_SWEEP_EVERY

    def __post_init__(self) -> None:
        self.make_cookie()
        for name, period in (
            ("default_period", self.default_period),
            ("max_lifetime", self.max_lifetime),
            ("touch_after", self.touch_after),
            ("sweep_every", self.sweep_every),
            ("max_age", None if self.max_age == "default" else self.max_age),
        ):
            if period is not None:
                _read_setting(name, as_period, period)
        for name in ("default_period", "max_lifetime"):
            period = getattr(self, name)
            if period is not None and as_period(period) <= timedelta(0):
                raise SettingsError(f"{name} must be positive: sessions would expire at once.")
        if self.sweep_every is not None and as_period(self.sweep_every) <= timedelta(0):
            raise SettingsError("sweep_every must be a positive period or None.")
        self._check_level()
        if self.database_url is not None:
            _read_setting("database_url", _checked_conninfo, self.database_url)
        for name in ("value_limit", "pool_size", "timeout"):
            _check_positive(name, getattr(self, name))
        _check_exclude(self.exclude)
        if not callable(self.on_unavailable) and self.on_unavailable not in {"refuse", "anonymous"}:
            raise SettingsError(
                'on_unavailable must be "refuse", "anonymous" or a function of the scope.'
            )

    @classmethod
    def from_env(
        cls, environment: Mapping[str, str] = environ, *, env_file: str | None = None
    ) -> SessionSettings:
        """Read ``SESSION_SECRET_KEY``, ``SESSION_DATABASE_URL`` and the other ``SESSION_*``.

        A variable is called ``SESSION_`` and the name of the setting in
        capitals, except ``SESSION_COOKIE`` for `session_cookie`. Write a period
        as ``90s``, ``15m``, ``12h``, ``7d`` or a number of seconds, and a list
        with commas. ``SESSION_MAX_AGE`` and ``SESSION_SWEEP_EVERY`` can also be
        ``none``.

        `env_file` is a file of ``NAME=value`` lines. The variables in
        `environment` override it. An empty variable counts as not set.

        Raises `SettingsError`, with the name of the variable or the setting.
        """
        config = Config(env_file, environment)
        given = {
            name: _read_setting(variable, read, text)
            for name, (variable, read) in _VARIABLES.items()
            if (text := config(variable, default=None) or config.file_values.get(variable))
        }
        if "secret_key" not in given:
            raise SettingsError("SESSION_SECRET_KEY is missing: make one with `pgsession secret`.")
        return cls(**given)

    def make_cookie(self) -> Cookie:
        """Return the cookie of these settings. Raises `SettingsError` if one is wrong."""
        return Cookie(
            secret_keys=_as_secrets(self.secret_key),
            name=self.session_cookie or "",
            path=self.path,
            domain=self.domain,
            secure=self.https_only,
            same_site=self.same_site,
            partitioned=self.partitioned,
        )

    def make_store(self) -> PostgresStore:
        """Return a closed store. Raises `SettingsError` without a database URL."""
        if self.database_url is None:
            raise SettingsError(
                "database_url is missing: give the middleware a store, or settings with a "
                "database_url (SessionSettings.from_env() reads SESSION_DATABASE_URL)."
            )
        level = Assurance.of(self.assurance_level)
        return PostgresStore(
            self.database_url,
            default_period=self._given_period("default_period") or level.default_period,
            max_lifetime=self._given_period("max_lifetime") or level.overall,
            value_limit=self.value_limit,
            schema=self.schema,
            pool_size=self.pool_size,
            timeout=self.timeout,
            prepared=self.prepared,
            sweep_every=self.sweep_every,
        )

    def is_anonymous(self, scope: Scope) -> bool:
        """Return True if a request is served even though its session cannot be loaded."""
        chosen = self.on_unavailable
        return (chosen(scope) if callable(chosen) else chosen) == "anonymous"

    def check_store(self, store: Store) -> None:
        """Raise `SettingsError` if the periods of `store` exceed those of `assurance_level`."""
        level = Assurance.of(self.assurance_level)
        if not isinstance(self.cookie_max_age(), timedelta):  # else it is the period
            level.check_period(store.default_period, named="The store's default_period")
        level.check_lifetime(store.max_lifetime, named="The store's max_lifetime")

    def cookie_max_age(self) -> MaxAge:
        """Return `max_age` as a `timedelta`, None or "default"."""
        if self.max_age is None:
            return None
        if self.max_age == "default":
            return "default"
        return as_period(self.max_age)

    def _check_level(self) -> None:
        level = Assurance.of(self.assurance_level)
        for name in ("default_period", "max_age"):
            if (period := self._given_period(name)) is not None:
                level.check_period(period, named=name)
        if (lifetime := self._given_period("max_lifetime")) is not None:
            level.check_lifetime(lifetime, named="max_lifetime")

    def _given_period(self, name: str) -> timedelta | None:
        """Return a setting as a `timedelta`, or None if it is not given."""
        given = getattr(self, name)
        return None if given is None or given == "default" else as_period(given)


def _read_setting(name: str, read: Callable[[Any], _T], given: object) -> _T:
    """Return ``read(given)``. Raises `SettingsError` with `name`, but never with what was given."""
    try:
        return read(given)
    except ValueError as error:
        raise SettingsError(f"{name}: {error}") from None


def _checked_conninfo(url: str) -> str:
    return complete_conninfo(url, {}, timeout=DEFAULT_TIMEOUT)


def _check_positive(name: str, number: object) -> None:
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number < math.inf:
        raise SettingsError(f"{name} must be a positive number.")


def _check_exclude(exclude: Exclude) -> None:
    if callable(exclude):
        return
    if isinstance(exclude, str) or not isinstance(exclude, Sequence):
        raise SettingsError("exclude must be a list of path prefixes or a function of the scope.")
    if not all(str(prefix).startswith("/") for prefix in exclude):
        raise SettingsError("exclude: each path prefix must start with a slash.")


def _as_secrets(given: SecretKey) -> tuple[str | bytes, ...]:
    if not given:
        return ()
    if not isinstance(given, str | bytes | Secret | Sequence):
        raise SettingsError(
            f"secret_key must be one secret or several, not {type(given).__name__}."
        )
    several = (given,) if isinstance(given, str | bytes | Secret) else tuple(given)
    return tuple(str(secret) if isinstance(secret, Secret) else secret for secret in several)


def _read_list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


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
_VARIABLES: Final[Mapping[str, tuple[str, Callable[[str], Any]]]] = {
    "secret_key": ("SESSION_SECRET_KEY", _read_list),
    "database_url": ("SESSION_DATABASE_URL", str),
    "default_period": ("SESSION_DEFAULT_PERIOD", parse_period),
    "max_lifetime": ("SESSION_MAX_LIFETIME", parse_period),
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
    "exclude": ("SESSION_EXCLUDE", _read_list),
    "on_unavailable": ("SESSION_ON_UNAVAILABLE", str.lower),
    "schema": ("SESSION_SCHEMA", str),
    "pool_size": ("SESSION_POOL_SIZE", _read_number),
    "timeout": ("SESSION_TIMEOUT", _read_seconds),
    "prepared": ("SESSION_PREPARED", _read_switch),
    "sweep_every": ("SESSION_SWEEP_EVERY", _read_period_or_none),
}
