"""Requests that wait for the end of their session, without an application."""

from datetime import timedelta

from pgsession import SessionSettings
from pgsession.asgi.binding import Binding
from pgsession.asgi.policy import Policy
from pgsession.asgi.streams import Streams
from pgsession.core.cookie import FoundCookie
from pgsession.core.hidden import Hidden
from pgsession.core.store import Store
from tests.applications import SECRET


def policy_of(store: Store, every: float | timedelta) -> Policy:
    """Return the policy of a middleware that asks for the sessions so often."""
    settings = SessionSettings(secret_key=SECRET, watch_every=every)
    return Policy.from_settings(settings, store)


async def request(policy: Policy, key: str) -> Streams:
    """Return what one request knows about the session of a key."""
    binding = Binding(policy, {"type": "http", "headers": []})
    found = FoundCookie(Hidden(key), None, is_current=True, number=0)
    binding.begin_with(found, await policy.store.get(key))
    return binding
