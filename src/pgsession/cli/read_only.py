"""Where it is set that transactions only read, and what resets it there."""

from __future__ import annotations

from typing import Final

from pgsession.cli.places import Place
from pgsession.postgres.quoting import identifier

#: By the source in pg_settings: where it is set, and the statement that resets it.
_SET: Final = {
    "user": ("for the role", "ALTER ROLE {role}"),
    "database user": ("for the role in this database", "ALTER ROLE {role} IN DATABASE {database}"),
    "database": ("for the database", "ALTER DATABASE {database}"),
    "global": ("for all roles", "ALTER ROLE ALL"),
}


def explain_read_only(place: Place) -> tuple[str, str]:
    """Return where default_transaction_read_only is on, and what to do about it."""
    name = place.name
    text = f"read-only: {name} is on"
    if place.source in _SET:
        where, head = _SET[place.source]
        head = head.format(role=identifier(place.role), database=identifier(place.database))
        # The session that resets it may be read-only too, and ALTER ROLE writes.
        return f"{text} {where}", (
            f"In one session of psql: SET {name} = off; {head} RESET {name}; "
            "New connections write then: behind PgBouncer run RECONNECT on its console."
        )
    if place.source == "configuration file":
        return f"{text} for the server", (
            f"As a superuser, one after the other: ALTER SYSTEM SET {name} = off; "
            "SELECT pg_reload_conf();"
        )
    if place.source == "command line":
        return f"{text} on the server's command line", f"Start the server without -c {name}."
    return f"{text} for the connection", (
        f"Take {name} out of options of the database URL, PGOPTIONS or what the pooler sets."
    )
