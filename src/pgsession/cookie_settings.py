"""The cookies of a site with several hosts: the settings of each, and how they are checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from inspect import iscoroutinefunction
from typing import TypeAlias

from starlette.types import Scope

from pgsession.core.cookie import Cookie, MaxAge
from pgsession.core.cookie_attributes import SameSite
from pgsession.core.period import Period
from pgsession.errors import SettingsError

#: Returns, for an ASGI scope, the name of one of the `cookies`.
ChooseCookie: TypeAlias = Callable[[Scope], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CookieSettings:
    """The cookie of one of several hosts. The fields are those of `SessionSettings`.

    `SessionSettings` checks them, as its `cookies`, and raises `SettingsError` with the
    name that the cookie has there.
    """

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


def check_cookies(
    cookies: object,
    choose_cookie: object,
    *,
    single: object,
    make: Callable[[CookieSettings], Cookie],
    binds: bool,
) -> None:
    """Raise `SettingsError` unless `cookies` and `choose_cookie` can work together.

    `single` has the settings of a single cookie, which cannot be given too. `make` returns
    the cookie of such settings, and raises `SettingsError`. With `binds`, each cookie has a bound
    cookie beside it.
    """
    if cookies is None:
        if choose_cookie is not None:
            raise SettingsError("choose_cookie needs cookies: the settings that it chooses from.")
        return
    if not callable(choose_cookie) or iscoroutinefunction(choose_cookie):
        raise SettingsError(
            "cookies needs choose_cookie: a plain function of the ASGI scope that returns the name "
            "of one of them."
        )
    for each in fields(CookieSettings):
        if getattr(single, each.name) != each.default:
            raise SettingsError(
                f"{each.name} cannot be combined with cookies. Put it into the CookieSettings that "
                "it is for."
            )
    _check_names(_made(cookies, make), binds=binds)


def _made(
    cookies: object, make: Callable[[CookieSettings], Cookie]
) -> Iterator[tuple[str, Cookie]]:
    """Yield the name of each cookie in the settings, and the cookie."""
    if not isinstance(cookies, Mapping) or not cookies:
        raise SettingsError("cookies must map names, at least one, to CookieSettings.")
    for name, each in cookies.items():
        if not isinstance(name, str) or not isinstance(each, CookieSettings):
            raise SettingsError("cookies must map names to CookieSettings.")
        try:
            yield name, make(each)
        except SettingsError as error:
            raise SettingsError(f"cookies[{name!a}]: {error}") from None


def _check_names(made: Iterator[tuple[str, Cookie]], *, binds: bool) -> None:
    """Raise `SettingsError` if two cookies have one name.

    A browser that has both could send both, or keep only one of them; and the
    signature, which covers the name, could not tell them apart.
    """
    taken: dict[str, str] = {}
    for name, cookie in made:
        for used in (cookie.name, f"{cookie.name}-bound") if binds else (cookie.name,):
            if used in taken:
                raise SettingsError(
                    f"cookies[{taken[used]!a}] and cookies[{name!a}] have one name, {used}. Give "
                    "one of them another session_cookie."
                )
            taken[used] = name
