"""What all requests of one middleware share: the store, the cookie and the rules."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from copy import copy
from datetime import timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final, Self

from pgsession import rare
from pgsession.asgi.cookie_warnings import CookieWarnings
from pgsession.asgi.reuse import ReuseLog
from pgsession.asgi.unavailable import ExtensionPause, OutageLog
from pgsession.core.cookie import Cookie, MaxAge
from pgsession.core.logs import event, own_logger
from pgsession.core.observer import Observer
from pgsession.core.period import as_period
from pgsession.core.rotation import Rotation
from pgsession.core.secret_keys import is_guessable
from pgsession.core.store import Store
from pgsession.settings import DEFAULT_WATCH_EVERY, SessionSettings
from pgsession.telemetry.choice import find_observer

if TYPE_CHECKING:  # most applications do neither, and should not import it
    from pgsession.asgi.device_binding import DeviceBinding
    from pgsession.asgi.takeover import Takeover
    from pgsession.asgi.watching import Watching

_LOGGER = own_logger()

#: Chromium refreshes in advance what ends within two minutes.
_BRIEF: Final = timedelta(minutes=2)


class Policy:
    """The settings of a middleware in the form that a request needs, and its per-process logs.

    - `max_sessions`: how many sessions a user may have, or None without a limit.
    - `on_new_device`: called after a sign-in of a browser that had no session of the user.
    - `closes_websockets`: a WebSocket is closed when its session has ended.
    - `device_binding`: binds sessions to devices, or None.
    - `takeover`: takes over the sessions from before a switch, or None.
    - `watch_every`: how often the sessions of open streams are asked for.
    - `is_anonymous`: returns True for an ASGI scope that gets an empty session if its own cannot be
      loaded.
    - `own_response`: sends the application's own response while the store is unavailable, or None.
    - `is_strict`: an application does not start while its database cannot answer.
    - `observer`: is told what happens to sessions, or None.
    """

    def __init__(
        self,
        *,
        store: Store,
        cookie: Cookie,
        max_age: MaxAge,
        touch_after: timedelta | None,
        rotation: Rotation | None = None,
        max_sessions: int | None = None,
        on_new_device: Callable[[rare.NewDevice], Awaitable[object]] | None = None,
        closes_websockets: bool = False,
        device_binding: DeviceBinding | None = None,
        takeover: Takeover | None = None,
        watch_every: timedelta = DEFAULT_WATCH_EVERY,
        is_anonymous: Callable[[MutableMapping[str, Any]], bool] = lambda _: False,
        own_response: rare.OwnResponse | None = None,
        is_strict: bool = False,
        observer: Observer | None = None,
        outage_log: OutageLog | None = None,
    ) -> None:
        self.store: Store = store
        self.touch_after: timedelta | None = touch_after
        self.rotation: Rotation = rotation or Rotation()
        self.max_sessions: int | None = max_sessions
        self.on_new_device: Callable[[rare.NewDevice], Awaitable[object]] | None = on_new_device
        self.closes_websockets: bool = closes_websockets
        self.is_anonymous: Callable[[MutableMapping[str, Any]], bool] = is_anonymous
        self.own_response: rare.OwnResponse | None = own_response
        self.is_strict: bool = is_strict
        self.observer: Observer | None = observer
        self.outage_log: OutageLog = outage_log or OutageLog()
        self.extension_pause: ExtensionPause = ExtensionPause()
        self.reuse_log: ReuseLog = ReuseLog()
        #: The tasks in which `on_new_device` runs: the event loop keeps no reference to them.
        self.hooks: set[asyncio.Task[None]] = set()
        #: This process rotates keys, so it looks at the number of each cookie.
        self.is_rotating: bool = self.rotation.every is not None
        self.watch_every: timedelta = watch_every
        self._set_cookie(cookie, max_age, device_binding, takeover)
        if observer is not None:
            observer.watch(self.watching)

    def _set_cookie(
        self,
        cookie: Cookie,
        max_age: MaxAge,
        device_binding: DeviceBinding | None,
        takeover: Takeover | None,
    ) -> None:
        self.cookie: Cookie = cookie
        self.max_age: MaxAge = max_age
        self.device_binding: DeviceBinding | None = device_binding
        self.takeover: Takeover | None = takeover
        self.warnings: CookieWarnings = CookieWarnings(cookie)
        #: It looks at every cookie: at its number, or at the proof that comes with it.
        self.is_judging: bool = self.is_rotating or device_binding is not None

    @cached_property
    def watching(self) -> Watching:
        """What watches the sessions that streams wait on."""
        from pgsession.asgi.watching import Watching  # noqa: PLC0415 - few have streams

        return Watching(self.store, self.watch_every)

    @classmethod
    def from_settings(cls, settings: SessionSettings, store: Store | None) -> Self:
        """Return the policy of `settings`, with the store that they describe if none is given.

        Raises `SettingsError` if `settings` lack a database URL, or if the
        periods of `store` exceed `assurance_level`. Logs a warning about a
        secret that is not random.
        """
        touch_after = settings.touch_after
        if store is None:
            store = settings.make_store()
        else:
            settings.check_store(store)
        observer, outage_log = find_observer(settings.telemetry), OutageLog()
        cookie = _cookie(settings, observer)
        make = settings.unavailable_response
        if any(map(is_guessable, cookie.secret_keys)):
            _LOGGER.warning(
                "secret_key repeats a few characters, so it can be guessed. Make one with "
                "`pgsession secret`.",
                extra=event("secret_guessable"),
            )
        _warn_of_partitioned(cookie)
        _warn_of_brief_binding(settings)
        return cls(
            store=store,
            cookie=cookie,
            max_age=settings.cookie_max_age(),
            touch_after=None if touch_after is None else as_period(touch_after),
            rotation=settings.make_rotation(),
            max_sessions=settings.max_sessions,
            on_new_device=settings.on_new_device,
            closes_websockets=settings.close_websockets,
            device_binding=_device_binding(settings, cookie, store, outage_log),
            takeover=_takeover(settings, cookie, store, observer),
            watch_every=as_period(settings.watch_every),
            is_anonymous=settings.is_anonymous,
            own_response=None if make is None else rare.OwnResponse(make),
            is_strict=settings.strict_start,
            observer=observer,
            outage_log=outage_log,
        )

    def beside(self, settings: SessionSettings) -> Self:
        """Return the policy of the same middleware with the cookie of `settings`.

        All else is shared, also the sessions that streams wait on. Raises as `from_settings`.
        """
        settings.check_store(self.store)
        cookie = _cookie(settings, self.observer)
        _warn_of_partitioned(cookie)
        _ = self.watching  # which both have then
        policy = copy(self)
        policy._set_cookie(  # noqa: SLF001 - a copy
            cookie,
            settings.cookie_max_age(),
            _device_binding(settings, cookie, self.store, self.outage_log),
            _takeover(settings, cookie, self.store, self.observer),
        )
        return policy


def _cookie(settings: SessionSettings, observer: Observer | None) -> Cookie:
    if observer is None:
        return settings.make_cookie()
    return settings.make_cookie(on_rejected=partial(observer.reject_cookie, "signature"))


def _takeover(
    settings: SessionSettings, cookie: Cookie, store: Store, observer: Observer | None
) -> Takeover | None:
    predecessor = settings.predecessor
    if predecessor is None:
        return None
    from pgsession.asgi.takeover import Takeover  # noqa: PLC0415 - see above
    from pgsession.core.origins import checked_origins  # noqa: PLC0415 - as above

    trusted = checked_origins(settings.trusted_origins)
    return Takeover(predecessor, cookie, store, trusted=trusted, observer=observer)


def _warn_of_partitioned(cookie: Cookie) -> None:
    if cookie.partitioned and cookie.same_site != "none":
        _LOGGER.warning(
            "partitioned=True has no effect with same_site=%r: in other sites, for which it is "
            'made, browsers drop the cookie. Set same_site="none", or leave partitioned out.',
            cookie.same_site,
            extra=event("setting_unused"),
        )


def _warn_of_brief_binding(settings: SessionSettings) -> None:
    if settings.device_binding is not None and as_period(settings.device_binding) < _BRIEF:
        _LOGGER.warning(
            "device_binding is shorter than two minutes: browsers refresh beside every request "
            "then, and Chromium makes six signatures in nine minutes at most. Ten minutes are "
            "usual.",
            extra=event("binding_brief"),
        )


def _device_binding(
    settings: SessionSettings, cookie: Cookie, store: Store, outage_log: OutageLog
) -> DeviceBinding | None:
    if settings.device_binding is None:
        return None
    from pgsession.asgi.device_binding import DeviceBinding  # noqa: PLC0415 - see above

    exclude = [] if callable(settings.exclude) else list(settings.exclude)
    return DeviceBinding.of(
        cookie,
        store,
        period=as_period(settings.device_binding),
        place=settings.device_binding_path,
        exclude=exclude,
        requires=settings.require_device_binding or (lambda _: False),
        outage_log=outage_log,
    )
