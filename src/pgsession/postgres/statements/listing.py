"""The statements that list the sessions of one user, and read the login numbers of sessions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from pgsession.core.devices import Device
from pgsession.core.login import Client, moment
from pgsession.core.period import MAX_PERIOD
from pgsession.core.users import LoginState
from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.statements.reading import SINCE, microseconds, past
from pgsession.postgres.statements.text import IS_BOUND, OF_USER, Statements, Wording

_DEVICES: Final = """
SELECT
    s.session_key::pg_catalog.text,
    {created},
    {seen},
    {expires},
    {since},
    s.login_label::pg_catalog.text,
    s.login_actor::pg_catalog.text,
    s.login_client::pg_catalog.text,
    {is_bound}
FROM {table} AS s
WHERE {of_user}
  AND {living}
ORDER BY s.seen_on DESC, s.session_key
"""

# Applications may set any date, also 'infinity'.
_EXPIRES: Final = """least(
        {end},
        pg_catalog.now() OPERATOR(pg_catalog.+) pg_catalog.make_interval(secs => {farthest})
    )"""

_LOGIN_STATES: Final = """
SELECT
    s.session_key::pg_catalog.text,
    s.login_number::pg_catalog.int4,
    {is_bound}
FROM {table} AS s
WHERE s.session_key
    OPERATOR(pg_catalog.=) ANY (pg_catalog.string_to_array(%s::pg_catalog.text, ','))
  AND {living}
"""


class Listing(Statements):
    """Lists the sessions of one user."""

    def reword(self, wording: Wording) -> None:
        super().reword(wording)
        self._devices = wording.write(
            _DEVICES,
            of_user=OF_USER,
            created=microseconds(past("s.created_on")),
            seen=microseconds(past("s.seen_on")),
            expires=microseconds(_EXPIRES.replace("{end}", wording.end("s"))),
            farthest=str(MAX_PERIOD.total_seconds()),
            since=microseconds(past(SINCE)),
            is_bound=IS_BOUND,
        )
        self._login_states = wording.write(_LOGIN_STATES, is_bound=IS_BOUND)

    async def devices(
        self, connection: Connection, user_ids: Sequence[str]
    ) -> Sequence[list[Device]]:
        """Return the living sessions of one user."""
        (user_id,) = user_ids
        rows = await self._rows(connection, self._devices, {"user_id": user_id})
        return [[_device(*row) for row in rows]]

    async def login_states(self, connection: Connection, handles: str) -> dict[str, LoginState]:
        """Return the login states of the sessions, given with commas between them, that live."""
        rows = await self._rows(connection, self._login_states, (handles,))
        return {handle: LoginState(number, is_bound) for handle, number, is_bound in rows}


def _device(  # noqa: PLR0917 - the columns
    handle: str,
    created: int,
    seen: int,
    expires: int,
    since: int,
    label: str | None,
    actor_id: str | None,
    client: str | None,
    is_bound: bool,  # noqa: FBT001 - a column
) -> Device:
    known = Client() if client is None else _client_decoder.decode(client)
    return Device(
        handle=handle,
        created_at=moment(created),
        last_seen_at=moment(seen),
        expires_at=moment(expires),
        authenticated_at=moment(since),
        label=label,
        actor_id=actor_id,
        address=known.address,
        agent=known.agent,
        is_bound=is_bound,
    )


_client_decoder: Final = msgspec.json.Decoder(Client)
