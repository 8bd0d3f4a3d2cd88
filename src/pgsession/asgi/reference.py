"""What leads from a session to its row, also after its request."""

from __future__ import annotations

from msgspec import Struct

from pgsession.asgi.policy import Policy
from pgsession.core.hidden import Hidden


class Reference(Struct, frozen=True):
    """The row of a request's session, as far as the request knows. The repr shows nothing of it."""

    #: That of the request's middleware.
    policy: Policy
    key: Hidden
    #: The request came with the proof of a device, and that ends then, by the monotonic clock.
    is_proved: bool
    judged_until: float | None

    def __repr__(self) -> str:
        return "<Reference>"
