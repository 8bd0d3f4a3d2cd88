"""Policy in one place: `SessionSettings`, from arguments or from the environment."""

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

#: Path prefixes, or a function of the scope that says whether a request is excluded.
Exclude: TypeAlias = Sequence[str] | Callable[[Scope], bool]

#: What becomes of a request whose session the store cannot load: it is refused with 503, or
#: served with an empty session that cannot be changed. A function says which for each scope.
OnUnavailable: TypeAlias = (
    Literal["refuse", "anonymous"] | Callable[[Scope], Literal["refuse", "anonymous"]]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """Every setting there is. Periods are a `timedelta` or seconds.

    Raises `SettingsError`, naming the setting, for one that cannot work. The
    repr shows neither the secrets nor the database URL.
    """

    #: What signs the cookie: at least 32 bytes; several for rotation, newest first.
    secret_key: SecretKey = field(repr=False)
    #: Where PostgreSQL is; not needed where the middleware is given a store.
    database_url: str | None = field(default=None, repr=False)
    #: How long a session lives after its last use; None: a week, or what `assurance_level` says.
    default_period: Period | None = None
    #: How long it lives at most, however often it is used; None: what `assurance_level` says,
    #: else no such limit.
    max_lifetime: Period | None = None
    #: How much of its period a session must have used up before a mere read slides it;
    #: None: a tenth of the period.
    touch_after: Period | None = None
    #: The level of NIST SP 800-63B whose timeouts hold: they are the defaults of the periods
    #: above, and longer ones are refused. None: no level.
    assurance_level: AssuranceLevel | None = None
    #: The largest session, in bytes of its JSON text.
    value_limit: int = DEFAULT_VALUE_LIMIT
    #: The cookie's name; None: `__Host-session` where browsers allow it, else `session`.
    session_cookie: str | None = None
    #: The cookie's lifetime: seconds, None (it dies with the browser), or the default period.
    max_age: Period | MaxAge = "default"
    #: The path below which the browser sends the cookie.
    path: str = "/"
    #: Whether the browser sends it with requests from other sites.
    same_site: SameSite = "lax"
    #: Whether the browser sends it over HTTPS only (and to localhost).
    https_only: bool = True
    #: The domain whose hosts all get it; None: this host alone.
    domain: str | None = None
    #: Whether an embedded site gets a cookie jar for each site that embeds it (CHIPS).
    partitioned: bool = False
    #: Requests for which no session is loaded.
    exclude: Exclude = ()
    #: What becomes of a request whose session cannot be loaded now.
    on_unavailable: OnUnavailable = "refuse"
    #: The schema of the table; None: the search_path decides.
    schema: str | None = None
    #: Connections to PostgreSQL at most; a sweep takes one more.
    pool_size: int = 4
    #: Seconds that an operation may take, the wait for its turn included.
    timeout: float = DEFAULT_TIMEOUT
    #: False behind a pooler that cannot carry prepared statements.
    prepared: bool = True
    #: About how often each process removes expired sessions; None: it is left to others.
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
                _named(name, as_period, period)
        for name in ("default_period", "max_lifetime"):
            period = getattr(self, name)
            if period is not None and as_period(period) <= timedelta(0):
                raise SettingsError(f"{name} is a positive period: no session would live.")
        if self.sweep_every is not None and as_period(self.sweep_every) <= timedelta(0):
            raise SettingsError("sweep_every is a positive period, or None.")
        self._check_level()
        if self.database_url is not None:
            _named("database_url", _checked_conninfo, self.database_url)
        for name in ("value_limit", "pool_size", "timeout"):
            _check_positive(name, getattr(self, name))
        _check_exclude(self.exclude)
        if not callable(self.on_unavailable) and self.on_unavailable not in {"refuse", "anonymous"}:
            raise SettingsError(
                'on_unavailable is "refuse", "anonymous", or a function of the scope.'
            )

    @classmethod
    def from_env(
        cls, environment: Mapping[str, str] = environ, *, env_file: str | None = None
    ) -> SessionSettings:
        """Read ``SESSION_SECRET_KEY``, ``SESSION_DATABASE_URL`` and the other ``SESSION_*``.

        Variables are named as the settings, in capitals, but for
        ``SESSION_COOKIE``. Periods are written ``90s``, ``15m``, ``12h``, ``7d``
        or in plain seconds, lists with commas, ``SESSION_MAX_AGE`` and
        ``SESSION_SWEEP_EVERY`` also ``none``.
        An `env_file` holds further ``NAME=value`` lines. An empty variable is
        one that is not set.
        """
        config = Config(env_file, environment)
        given = {
            name: _named(variable, read, text)
            for name, (variable, read) in _VARIABLES.items()
            if (text := config(variable, default=None) or config.file_values.get(variable))
        }
        if "secret_key" not in given:
            raise SettingsError("SESSION_SECRET_KEY is missing: make one with `pgsession secret`.")
        return cls(**given)

    def make_cookie(self) -> Cookie:
        """Return the cookie that these settings describe."""
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
        """Return a store, not yet open. Raises `SettingsError` without a database URL."""
        if self.database_url is None:
            raise SettingsError(
                "database_url is missing: give the middleware a store, or settings with a "
                "database_url (SessionSettings.from_env() reads SESSION_DATABASE_URL)."
            )
        level = Assurance.of(self.assurance_level)
        return PostgresStore(
            self.database_url,
            default_period=self._own_period("default_period") or level.default_period,
            max_lifetime=self._own_period("max_lifetime") or level.overall,
            value_limit=self.value_limit,
            schema=self.schema,
            pool_size=self.pool_size,
            timeout=self.timeout,
            prepared=self.prepared,
            sweep_every=self.sweep_every,
        )

    def is_anonymous(self, scope: Scope) -> bool:
        """Tell whether a request whose session cannot be loaded is served all the same."""
        chosen = self.on_unavailable
        return (chosen(scope) if callable(chosen) else chosen) == "anonymous"

    def check_store(self, store: Store) -> None:
        """Raise `SettingsError` if the periods of a store of yours exceed `assurance_level`."""
        level = Assurance.of(self.assurance_level)
        if not isinstance(self.cookie_max_age(), timedelta):  # else that is the period
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
            if (period := self._own_period(name)) is not None:
                level.check_period(period, named=name)
        if (lifetime := self._own_period("max_lifetime")) is not None:
            level.check_lifetime(lifetime, named="max_lifetime")

    def _own_period(self, name: str) -> timedelta | None:
        """Return a setting as a `timedelta`, or None if it is left out."""
        given = getattr(self, name)
        return None if given is None or given == "default" else as_period(given)


def _named(name: str, read: Callable[[Any], _T], given: object) -> _T:
    """Return what `read` makes of a setting; its error names the setting, never the content."""
    try:
        return read(given)
    except ValueError as error:
        raise SettingsError(f"{name}: {error}") from None


def _checked_conninfo(url: str) -> str:
    return complete_conninfo(url, {}, timeout=DEFAULT_TIMEOUT)


def _check_positive(name: str, number: object) -> None:
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number < math.inf:
        raise SettingsError(f"{name} is a positive number.")


def _check_exclude(exclude: Exclude) -> None:
    if callable(exclude):
        return
    if isinstance(exclude, str) or not isinstance(exclude, Sequence):
        raise SettingsError("exclude is a list of path prefixes, or a function of the scope.")
    if not all(str(prefix).startswith("/") for prefix in exclude):
        raise SettingsError("exclude: each path prefix starts with a slash.")


def _as_secrets(given: SecretKey) -> tuple[str | bytes, ...]:
    if not given:
        return ()
    if not isinstance(given, str | bytes | Secret | Sequence):
        raise SettingsError(f"secret_key is one secret or several, not {type(given).__name__}.")
    several = (given,) if isinstance(given, str | bytes | Secret) else tuple(given)
    return tuple(str(secret) if isinstance(secret, Secret) else secret for secret in several)


def _read_list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _read_switch(text: str) -> bool:
    switches = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if (switch := switches.get(text.strip().lower())) is None:
        raise ValueError("it is true or false.")
    return switch


def _read_number(text: str) -> int:
    if not text.strip().isdecimal():
        raise ValueError("it is a whole number.")
    return int(text)


def _read_seconds(text: str) -> float:
    return parse_period(text).total_seconds()


def _read_period_or_none(text: str) -> timedelta | None:
    return None if text.strip().lower() == "none" else parse_period(text)


#: Each setting's variable, and how its text is read.
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
