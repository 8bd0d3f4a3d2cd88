"""Other session middleware in the same application: each has a session of its own."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, MutableMapping
from typing import Any, Final, Self

from pgsession.errors import SettingsError

_SESSION: Final = "session"

#: Where Starlette's middleware and ours, and that of starsessions, keep the name of their cookie.
_NAMES: Final = ("session_cookie", "cookie_name")

#: So many middlewares around an application are looked at.
_MOST_STACKED: Final = 50


class OwnMiddleware:
    """What tells our middleware from those of others."""

    #: The names of its cookies: several on a site with several hosts.
    session_cookies: tuple[str, ...]


def cookie_names(app: object) -> set[str]:
    """Return the cookie names of the session middlewares of others that are stacked around `app`.

    Those of mounted applications, and of a middleware outside, are not known.
    """
    names = (
        getattr(each, attribute, None)
        for each in _stacked(app)
        if not isinstance(each, OwnMiddleware)
        for attribute in _NAMES
    )
    return {name for name in names if isinstance(name, str)}


def check_stack(app: object, names: Collection[str]) -> None:
    """Raise `SettingsError` if another of our middlewares around `app` has one of these cookies."""
    for each in _stacked(app):
        if isinstance(each, OwnMiddleware) and (taken := {*names} & {*each.session_cookies}):
            raise SettingsError(
                f"SessionMiddleware was added twice with the cookie {min(taken)}, perhaps by a "
                "framework or an extension. Remove one of them, or give one another session_cookie."
            )


def _stacked(app: object) -> Iterator[object]:
    for _ in range(_MOST_STACKED):
        yield app
        app = getattr(app, "app", None)


class InnerScope(dict[str, Any]):
    """The ASGI scope for the application, inside of another session middleware.

    It has a `session` of its own. The middleware outside reads its session from
    its own scope when the response starts, and may write it into a cookie that
    everybody can read, so it must never find ours there. Everything else that
    the application puts into the scope is put into the scope outside too, for the
    middleware that reads ``scope["route"]`` and the like afterwards.
    """

    def __init__(self, outer: MutableMapping[str, Any]) -> None:
        super().__init__(outer)
        self._outer = outer

    def __missing__(self, name: str) -> Any:  # noqa: ANN401 - what the middleware outside adds
        if name == _SESSION:
            raise KeyError(name)
        return self._outer[name]

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (name != _SESSION and name in self._outer)

    def get(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - as dict.get
        try:
            return self[name]
        except KeyError:
            return default

    def __copy__(self) -> dict[str, Any]:
        return dict(self)

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, (dict(self),)

    def __setitem__(self, name: str, member: object) -> None:
        super().__setitem__(name, member)
        if name != _SESSION:
            self._outer[name] = member

    def __delitem__(self, name: str) -> None:
        self.pop(name)

    def __ior__(self, members: Any) -> Self:  # type: ignore[override,misc] # noqa: ANN401
        self.update(members)
        return self

    def clear(self) -> None:
        for name in list(self):
            del self[name]

    def pop(self, name: str, *default: Any) -> Any:  # noqa: ANN401 - as dict.pop
        if name == _SESSION:
            return super().pop(name, *default)
        if super().__contains__(name):
            self._outer.pop(name, None)
            return super().pop(name)
        return self._outer.pop(name, *default)

    def popitem(self) -> tuple[str, Any]:
        name = next(reversed(self))
        return name, self.pop(name)

    def setdefault(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - as dict's
        if name not in self:
            self[name] = default
        return self[name]

    def update(  # type: ignore[override] # dict has overloads
        self,
        members: MutableMapping[str, Any] | Iterable[tuple[str, Any]] = (),
        /,
        **more: Any,  # noqa: ANN401 - as dict.update
    ) -> None:
        for name, member in dict(members, **more).items():
            self[name] = member
