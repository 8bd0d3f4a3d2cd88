"""All settings: `SessionSettings`, from arguments or from the environment."""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, Final, TypeAlias

from starlette.datastructures import Secret
from starlette.types import Scope

from pgsession import rare
from pgsession.core.assurance import Assurance, AssuranceLevel
from pgsession.core.cookie import Cookie, MaxAge
from pgsession.core.cookie_attributes import SameSite
from pgsession.core.hidden import HiddenDict, HiddenMapping, hidden, read_list, read_setting
from pgsession.core.period import Period, as_period
from pgsession.core.rotation import DEFAULT_GRACE, Rotation
from pgsession.core.secret_keys import MIN_SECRET_BYTES, SecretValue
from pgsession.core.store import DEFAULT_EXCLUSIVE_LIMIT, Store
from pgsession.core.users import checked_most, keeps_users
from pgsession.core.value import DEFAULT_VALUE_LIMIT
from pgsession.errors import SettingsError
from pgsession.postgres.connections.conninfo import as_url, complete_conninfo
from pgsession.postgres.connections.own_pool import DEFAULT_LIFETIME, as_lifetime
from pgsession.postgres.connections.runner import DEFAULT_TIMEOUT
from pgsession.postgres.store import PostgresStore
from pgsession.postgres.sweeping.sweeper import DEFAULT_SWEEP_EVERY
from pgsession.postgres.table_name import DEFAULT_TABLE, TableName
from pgsession.request_settings import (
    Exclude,
    ExcludedChoice,
    OnUnavailable,
    UnavailableResponse,
    check_requests,
)
from pgsession.telemetry.choice import TelemetryChoice, find_observer

#: One secret, or several, newest first.
SecretKey: TypeAlias = (
    str | bytes | Secret | SecretValue | Sequence[str | bytes | Secret | SecretValue]
)

#: The shortest `device_binding`. Its cookie ends a tenth sooner, in whole seconds.
_SHORTEST_PROOF: Final = timedelta(seconds=5)

#: A path below the cookie's, without a slash at its ends.
_PLACE: Final = r"(?:(?!\.{1,2}(?:/|$))[A-Za-z0-9._-]+(?:/(?!$)|$))+"
#: How often a process asks for the sessions of its open streams.
DEFAULT_WATCH_EVERY: Final = timedelta(seconds=1.5)

#: The settings that are True or False, and those of them that may be None.
_SWITCHES: Final = (
    "https_only",
    "partitioned",
    "csrf_protection",
    "strict_start",
    "end_on_reuse",
    "close_websockets",
    "record_client",
    "prepared",
)
_OPTIONAL_SWITCHES: Final = frozenset({"record_client", "prepared"})

#: The settings that must be positive periods, and why.
_POSITIVE: Final = {
    "default_period": "sessions would expire at once",
    "max_lifetime": "sessions would expire at once",
    "max_inactivity": "sessions would expire at once",
    "max_age": "browsers would delete the cookie at once. To end a session, clear() it",
    "rotate_every": "to rotate nothing, leave it out",
    "rotation_grace": "parallel requests of a browser would end its session",
    "device_binding": "no proof would ever be good",
    "watch_every": "a process would ask without a pause. To ask seldom, set it to a long period",
    "exclusive_limit": "blocks would be cancelled at once",
    "sweep_every": "to sweep nothing, set it to None",
}


#: The periods that cannot be None.
_REQUIRED: Final = frozenset({"rotation_grace", "watch_every", "exclusive_limit"})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
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
    #: How long a session lives after its last use at most, even if it has a longer period of its
    #: own. None: the limit of `assurance_level`, or no limit.
    max_inactivity: Period | None = None
    #: A request that only reads extends the expiry if at least this much of the period is
    #: used up. None: a tenth of the period.
    touch_after: Period | None = None
    #: The authenticator assurance level of NIST SP 800-63B. Its timeouts are the defaults and
    #: the limits of the periods above. None: no level.
    assurance_level: AssuranceLevel | None = None
    #: The largest session, in bytes of its JSON text.
    value_limit: int = DEFAULT_VALUE_LIMIT
    #: The name of the cookie. None: ``__Host-session`` if browsers allow it, else ``session``;
    #: with `partitioned`, that and ``-partitioned``.
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
    #: The cookies of a site with several hosts, by names of your own, in place of the single cookie
    #: of the settings above. Each must have another `session_cookie`.
    cookies: Mapping[str, rare.CookieSettings] | None = None
    #: A function of the ASGI scope that returns the name in `cookies` of the cookie that the
    #: request has. Any other name is a `SettingsError` in the request.
    choose_cookie: rare.ChooseCookie | None = None
    #: The requests that have no session.
    exclude: Exclude = ()
    #: What those requests find in their scope: "error", a session whose use raises
    #: `SessionExcludedError`; "absent", no ``session``, for libraries that look for it.
    excluded_session: ExcludedChoice = "error"
    #: True rejects, with 403, what pages of other origins send: all but GET, HEAD and OPTIONS, and
    #: every WebSocket.
    csrf_protection: bool = False
    #: The other origins whose pages may send everything, such as ``https://app.example.org``.
    trusted_origins: Sequence[str] = ()
    #: The requests that `csrf_protection` does not check.
    csrf_exempt: Exclude = ()
    #: What to do if the session of a request cannot be loaded.
    on_unavailable: OnUnavailable = "refuse"
    #: A function, plain or async, of the connection and the `StoreUnavailableError`. It returns the
    #: response, in place of the 503 without details, if a session cannot be loaded or saved.
    unavailable_response: UnavailableResponse | None = None
    #: True stops the start of an application while the database cannot answer. Otherwise it
    #: starts, and requests get what `on_unavailable` says until the database answers.
    strict_start: bool = False
    #: About how often a response gives the browser's cookie another number, so that a copy of the
    #: cookie grows old. None: never.
    rotate_every: Period | None = None
    #: How long the cookie before stays good once the browser has sent the new one.
    rotation_grace: Period = DEFAULT_GRACE
    #: True ends the session if a cookie comes that was replaced long ago: somebody has a copy.
    end_on_reuse: bool = False
    #: How many sessions a user may have. A login ends those that signed in longest ago. None: any
    #: number.
    max_sessions: int | None = None
    #: True keeps the address and the user agent of each sign-in, for the list of devices. False
    #: erases, with each sweep, those that were kept. None does neither.
    record_client: bool | None = None
    #: A coroutine function that is called after a sign-in of a browser that had no session of this
    #: user, to send them a mail. It runs in a task of its own, once the sign-in is committed and
    #: the response with its cookie has begun; an error in it is logged. It does not run if no
    #: browser gets the cookie. Sign-ins of an administrator (`actor_id`) are left out.
    on_new_device: Callable[[rare.NewDevice], Awaitable[object]] | None = None
    #: Whether a WebSocket is closed, with code 4401, when its session has ended.
    close_websockets: bool = False
    #: How often a process asks the store which sessions of its open streams have ended.
    watch_every: Period = DEFAULT_WATCH_EVERY
    #: How long a proof of the device is good to which a session is bound at the login, such as ten
    #: minutes. None: sessions are bound to no device.
    device_binding: Period | None = None
    #: Where browsers register and refresh, below `path`.
    device_binding_path: str = ".session"
    #: A function of the ASGI scope that returns True for a request that needs a bound session: one
    #: that is not bound is not loaded there.
    require_device_binding: Callable[[Scope], bool] | None = None
    #: Where the sessions from before a switch are read, such as ``StarletteCookie(…)`` of
    #: `pgsession.predecessors`: a visitor with a valid one, and none of ours, keeps it.
    predecessor: rare.Predecessor | None = field(default=None, repr=False)
    #: The schema of the table. None: as the search_path says.
    schema: str | None = None
    #: The name of the table, if it is not ``session``.
    table: str = DEFAULT_TABLE
    #: The maximum number of connections to PostgreSQL. A sweep uses one more.
    pool_size: int = 4
    #: The timeout of an operation, in seconds. It includes the wait for a connection.
    timeout: float = DEFAULT_TIMEOUT
    #: Whether statements are prepared; None: they are, unless a pooler stands in between.
    prepared: bool | None = None
    #: About how often each process removes expired sessions. None: it removes none.
    sweep_every: Period | None = DEFAULT_SWEEP_EVERY
    #: How long an `exclusive` block holds its lock at most. After that it is cancelled.
    exclusive_limit: Period = DEFAULT_EXCLUSIVE_LIMIT
    #: Whether metrics and spans go to OpenTelemetry: True or False; a `Telemetry` with providers
    #: of yours; None: they do if ``opentelemetry-api`` is installed.
    telemetry: TelemetryChoice = None

    #: How old a connection to PostgreSQL becomes at most: so long an old server is used that
    #: another one has replaced under the same name.
    connection_lifetime: Period = DEFAULT_LIFETIME

    def __post_init__(self) -> None:
        for name in _SWITCHES:
            _check_switch(name, getattr(self, name))
        self.make_cookie()
        self._check_periods()
        self._check_level()
        as_lifetime(self.connection_lifetime)
        if self.database_url is not None:
            read_setting("database_url", _checked_conninfo, self.database_url)
        for name in ("value_limit", "pool_size", "timeout"):
            _check_positive(name, getattr(self, name))
        if self.schema is not None and not str(self.schema).isprintable():
            raise SettingsError("schema has a line break or another control character.")
        TableName(self.schema, self.table)
        if self.max_sessions is not None:
            checked_most(self.max_sessions)
        self._check_binding()
        find_observer(self.telemetry)  # raises if that cannot work
        if self.on_new_device is not None and not iscoroutinefunction(self.on_new_device):
            raise SettingsError("on_new_device must be an async function.")
        if self.predecessor is not None and not hasattr(self.predecessor, "load"):
            raise SettingsError("predecessor must have the attributes of an OldCookie, and load.")
        if self.trusted_origins != ():
            from pgsession.core.origins import checked_origins  # noqa: PLC0415 - few name any

            checked_origins(self.trusted_origins)
        check_requests(
            exclude=self.exclude,
            csrf_exempt=self.csrf_exempt,
            excluded_session=self.excluded_session,
            on_unavailable=self.on_unavailable,
            unavailable_response=self.unavailable_response,
        )
        if self.cookies is not None or self.choose_cookie is not None:
            rare.check_cookies(
                self.cookies,
                self.choose_cookie,
                single=self,
                make=lambda cookie: self.with_cookie(cookie).make_cookie(),
                binds=self.device_binding is not None,
            )

    # As a dataclass has these three, but without compiling a text for each at the import, which
    # for so many fields takes as long as to import half a dozen of our modules.

    def __repr__(self) -> str:
        shown = (f"{it.name}={getattr(self, it.name)!r}" for it in fields(self) if it.repr)
        return f"{type(self).__qualname__}({', '.join(shown)})"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, SessionSettings) and type(other) is type(self):
            return _values(self) == _values(other)
        return NotImplemented

    def __hash__(self) -> int:
        return hash(_values(self))

    @classmethod
    def from_env(
        cls, environment: Mapping[str, str] | None = None, *, env_file: str | None = None
    ) -> SessionSettings:
        """Read ``SESSION_SECRET_KEY``, ``SESSION_DATABASE_URL`` and the other ``SESSION_*``.

        A variable is called ``SESSION_`` and the name of the setting in
        capitals, except ``SESSION_COOKIE`` for `session_cookie`. Write a period
        as ``90s``, ``15m``, ``12h``, ``7d`` or a number of seconds, and a list
        with commas. ``SESSION_MAX_AGE``, ``SESSION_ROTATE_EVERY`` and
        ``SESSION_SWEEP_EVERY`` can also be ``none``.

        `env_file` is a file of ``NAME=value`` lines. The variables in `environment`, by
        default those of the process, override it. An empty variable counts as not set.

        Raises `SettingsError`, with the name of the variable or the setting.
        """
        # It imports difflib and starlette.config, and not all applications read variables.
        from pgsession.environment import read_environment  # noqa: PLC0415

        if environment is not None:
            environment = HiddenMapping(environment)
        given = read_environment(environment, env_file=env_file)
        if "secret_key" not in given:
            raise SettingsError("SESSION_SECRET_KEY is missing: make one with `pgsession secret`.")
        return cls(**given)

    def make_cookie(self, *, on_rejected: Callable[[], object] | None = None) -> Cookie:
        """Return the cookie of these settings. Raises `SettingsError` if one is wrong.

        `on_rejected` is called when a request comes with one that no secret verifies.
        """
        return Cookie(
            secret_keys=_as_secrets(self.secret_key),
            name=self.session_cookie or "",
            path=self.path,
            domain=self.domain,
            secure=self.https_only,
            same_site=self.same_site,
            partitioned=self.partitioned,
            on_rejected=on_rejected,
        )

    def with_cookie(self, cookie: rare.CookieSettings) -> SessionSettings:
        """Return these settings with one cookie, in place of `cookies`."""
        given = {each.name: getattr(cookie, each.name) for each in fields(cookie)}
        return replace(self, cookies=None, choose_cookie=None, **given)

    def make_rotation(self) -> Rotation:
        """Return the rules of rotation in these settings."""
        return Rotation(
            every=self._given_period("rotate_every"),
            grace=as_period(self.rotation_grace),
            ends_on_reuse=self.end_on_reuse,
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
            max_inactivity=self._given_period("max_inactivity") or level.inactivity,
            value_limit=self.value_limit,
            schema=self.schema,
            table=self.table,
            pool_size=self.pool_size,
            timeout=self.timeout,
            prepared=self.prepared,
            sweep_every=self.sweep_every,
            exclusive_limit=self.exclusive_limit,
            record_client=self.record_client,
            telemetry=self.telemetry,
            connection_lifetime=self.connection_lifetime,
        )

    def is_anonymous(self, scope: Scope) -> bool:
        """Return True if a request is served even though its session cannot be loaded."""
        chosen = self.on_unavailable
        return (chosen(scope) if callable(chosen) else chosen) == "anonymous"

    def check_store(self, store: Store) -> None:
        """Raise `SettingsError` if `store` does not fit these settings."""
        if self.close_websockets and not keeps_users(store):
            raise SettingsError(
                "close_websockets needs a store that keeps users: give it the methods of "
                "pgsession.UserStore."
            )
        if self.device_binding is not None and not rare.binds(store):
            raise SettingsError(
                "device_binding needs a store that binds sessions: give it the methods of "
                "pgsession.BindingStore."
            )
        if self.predecessor is not None:
            rare.as_adopting_store(store)
        if self.record_client and not getattr(store, "record_client", False):
            raise SettingsError(
                "record_client is a setting of the store: give it to the store too."
            )
        level = Assurance.of(self.assurance_level)
        if not isinstance(self.cookie_max_age(), timedelta):  # else it is the period
            level.check_period(store.default_period, named="The store's default_period")
        level.check_lifetime(store.max_lifetime, named="The store's max_lifetime")
        level.check_inactivity(store.max_inactivity, named="The store's max_inactivity")

    def cookie_max_age(self) -> MaxAge:
        """Return `max_age` as a `timedelta`, None or "default"."""
        if self.max_age is None:
            return None
        if self.max_age == "default":
            return "default"
        return as_period(self.max_age)

    def _check_periods(self) -> None:
        for name in ("touch_after", *_POSITIVE):
            given = getattr(self, name)
            if (given is None and name not in _REQUIRED) or (name, given) == ("max_age", "default"):
                continue
            read_setting(name, as_period, given)
        for name, reason in _POSITIVE.items():
            period = self._given_period(name)
            if period is not None and period <= timedelta(0):
                raise SettingsError(f"{name} must be positive: {reason}.")
        if self.max_inactivity is not None:
            longest = as_period(self.max_inactivity)
            for name in ("default_period", "max_age"):
                if (period := self._given_period(name)) is not None and period > longest:
                    raise SettingsError(f"{name} is longer than max_inactivity: shorten it.")

    def _check_binding(self) -> None:
        if not re.fullmatch(_PLACE, str(self.device_binding_path)):
            raise SettingsError(
                "device_binding_path must be a path below `path`, such as .session: letters, "
                "digits, dots, dashes and slashes, no slash at its ends, and no part . or .."
            )
        if self.require_device_binding is not None and not callable(self.require_device_binding):
            raise SettingsError("require_device_binding must be a function of the scope.")
        if self.device_binding is None:
            if self.require_device_binding is not None:
                raise SettingsError("require_device_binding needs device_binding.")
            return
        if as_period(self.device_binding) < _SHORTEST_PROOF:
            raise SettingsError(
                "device_binding is shorter than five seconds: the bound cookie would end before "
                "the browser sends it. Ten minutes are usual."
            )
        for name, wrong in (
            ("domain", self.domain is not None),
            ("partitioned", self.partitioned),
            ('same_site="none"', self.same_site == "none"),
            ("https_only=False", not self.https_only),
        ):
            if wrong:
                raise SettingsError(
                    f"device_binding does not work with {name}: browsers bind the cookie of one "
                    "host, over HTTPS."
                )
        from pgsession.dbsc.proofs import check_library  # noqa: PLC0415 - few bind sessions

        try:
            check_library()
        except ImportError:
            raise SettingsError(
                "device_binding needs the extra dbsc: pip install 'pgsession[dbsc]'."
            ) from None

    def _check_level(self) -> None:
        level = Assurance.of(self.assurance_level)
        for name in ("default_period", "max_age"):
            if (period := self._given_period(name)) is not None:
                level.check_period(period, named=name)
        if (lifetime := self._given_period("max_lifetime")) is not None:
            level.check_lifetime(lifetime, named="max_lifetime")
        if (inactivity := self._given_period("max_inactivity")) is not None:
            level.check_period(inactivity, named="max_inactivity")

    def _given_period(self, name: str) -> timedelta | None:
        """Return a setting as a `timedelta`, or None if it is not given."""
        given = getattr(self, name)
        return None if given is None or given == "default" else as_period(given)


def _hiding(initialise: Callable[..., None]) -> Callable[..., None]:
    """Hide the secrets before the generated ``__init__``, whose frame an error tracker may show."""

    @wraps(initialise)
    def __init__(self: SessionSettings, **settings: Any) -> None:  # noqa: ANN401, N807 - as given
        settings = HiddenDict(settings)
        for name in ("secret_key", "database_url"):
            if name in settings:
                settings[name] = hidden(settings[name])
        if settings.get("database_url") is not None:
            with suppress(SettingsError):  # it is raised later, with the name
                settings["database_url"] = as_url(settings["database_url"])
        initialise(self, **settings)

    return __init__


SessionSettings.__init__ = _hiding(SessionSettings.__init__)  # type: ignore[method-assign] # the same


def _values(settings: SessionSettings) -> tuple[object, ...]:
    return tuple(getattr(settings, it.name) for it in fields(settings))


def _checked_conninfo(given: object) -> str:
    return complete_conninfo(as_url(given), {}, timeout=DEFAULT_TIMEOUT)


def _check_switch(name: str, switch: object) -> None:
    """Raise `SettingsError` for a text such as "false", which Python takes for true."""
    if not isinstance(switch, bool) and not (switch is None and name in _OPTIONAL_SWITCHES):
        raise SettingsError(f"{name} must be True or False, not of type {type(switch).__name__}.")


def _check_positive(name: str, number: object) -> None:
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number < math.inf:
        raise SettingsError(f"{name} must be a positive number.")


def _as_secrets(given: object) -> tuple[str | bytes, ...]:
    """Return the secrets, newest first. A str may hold several, with commas, as the variable."""
    if isinstance(given, bytes):
        return (given,) if given else ()
    if isinstance(given, str):
        secrets = read_list(given)
        if len(secrets) > 1 and any(len(secret) < MIN_SECRET_BYTES for secret in secrets):
            raise SettingsError(
                "secret_key has a comma, which separates several secrets, and one of them is "
                f"shorter than {MIN_SECRET_BYTES} bytes. Use secrets without commas, such as "
                "`pgsession secret` prints."
            )
        return secrets
    if isinstance(given, Secret):
        return _as_secrets(hidden(str(given)))
    if callable(reveal := getattr(given, "get_secret_value", None)):  # pydantic's SecretStr
        return _as_secrets(hidden(reveal()))
    if isinstance(given, Sequence):
        return tuple(secret for each in given for secret in _as_secrets(each))
    raise SettingsError(f"secret_key must be one secret or several, not {type(given).__name__}.")
