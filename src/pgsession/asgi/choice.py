"""The cookies of a site with several hosts: a policy for each, and the one that a request has."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import Scope

from pgsession import rare
from pgsession.asgi.policy import Policy
from pgsession.core.store import Store
from pgsession.errors import SettingsError
from pgsession.settings import SessionSettings


def policies_of(settings: SessionSettings, store: Store | None) -> dict[str, Policy]:
    """Return a policy for each of the `cookies`, or one for the single cookie.

    They share the store, the logs and all else. Raises `SettingsError` as
    `Policy.from_settings`.
    """
    if settings.cookies is None:
        return {"": Policy.from_settings(settings, store)}
    each = {name: settings.with_cookie(cookie) for name, cookie in settings.cookies.items()}
    (name, first), *others = each.items()
    policy = Policy.from_settings(first, store)
    return {name: policy, **{other: policy.beside(its) for other, its in others}}


class Choice:
    """Chooses the policy of a request by the function of the settings."""

    def __init__(self, policies: Mapping[str, Policy], choose: rare.ChooseCookie) -> None:
        self._policies = policies
        self._choose = choose

    def policy_of(self, scope: Scope) -> Policy:
        """Return the policy of a request. Raises `SettingsError` for a name that is none.

        The name is not quoted: it may come out of the request.
        """
        name: object = self._choose(scope)
        policy = self._policies.get(name) if isinstance(name, str) else None
        if policy is None:
            raise SettingsError(
                "choose_cookie returned no name of one of the cookies. Let it return one of them "
                "for every host: " + ", ".join(map(ascii, self._policies))
            )
        return policy

    def may_serve_binding(self, scope: Scope) -> bool:
        """Return True if the request is to an endpoint of the device binding of some cookie."""
        bindings = (policy.device_binding for policy in self._policies.values())
        return any(binding is not None and binding.serves(scope) for binding in bindings)
