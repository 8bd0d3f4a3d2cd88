"""What few programs use: imported at the first use, so that the others start sooner.

A process that serves requests imports the rest when it starts: `finish_import`.

`pgsession` has its public names from here. An annotation that says ``rare.Device`` imports
nothing, and `typing.get_type_hints` finds the class nevertheless. Type checkers read `rare.pyi`.
"""

from importlib import import_module
from typing import Final

#: The module of each name.
PLACES: Final = {
    "Adopted": "core.adoption",
    "AdoptingStore": "core.adoption",
    "Adoption": "core.adoption",
    "Asked": "core.overview",
    "BindingStore": "core.bound",
    "Bound": "core.bound",
    "BoundDevice": "core.bound",
    "ChooseCookie": "cookie_settings",
    "CookieSettings": "cookie_settings",
    "Device": "core.devices",
    "Flash": "core.flash",
    "Flashes": "core.flash",
    "Interruption": "asgi.interruption",
    "Liveness": "asgi.probes",
    "MemoryStore": "memory",
    "NO_PROOF": "asgi.outside",
    "NewDevice": "core.devices",
    "ObservedOutside": "asgi.observed",
    "OldCookie": "core.old_cookie",
    "OldSession": "core.predecessor",
    "Order": "core.overview",
    "Outside": "asgi.outside",
    "OwnResponse": "asgi.unavailable_response",
    "Predecessor": "core.predecessor",
    "Readiness": "asgi.probes",
    "Replacement": "asgi.replacement",
    "SignedInUser": "core.overview",
    "Source": "asgi.sources",
    "Swept": "postgres.sweeping.sweep",
    "Telemetry": "telemetry.providers",
    "Waiter": "asgi.watching",
    "WatchedSocket": "asgi.sockets",
    "as_adopting_store": "core.adoption",
    "as_binding_store": "core.bound",
    "asked": "core.overview",
    "binds": "core.bound",
    "calls_within": "postgres.blocks",
    "check_cookies": "cookie_settings",
    "flashes": "asgi.flash",
    "in_listing_order": "core.devices",
    "judge_replacement": "asgi.replacement",
    "member_of": "core.flash",
    "message_names": "core.flash",
    "read_source": "asgi.sources",
    "repost": "asgi.reposting",
    "surplus": "core.flash",
    "take_flashes": "asgi.flash",
}

#: What may be used for the first time long after the start, besides what the settings ask for:
#: that is imported where they are read.
_REST: Final = (
    "asgi.flash",
    "asgi.interruption",
    "asgi.outside",
    "asgi.replacement",
    "asgi.reposting",
    "asgi.sockets",
    "asgi.sources",
    "asgi.watching",
    "core.devices",
    "core.flash",
    "core.overview",
    "core.typed",
    "postgres.blocks",
    "postgres.clearance",
    "postgres.statements.adopting",
    "postgres.statements.binding",
    "postgres.statements.clearing",
    "postgres.statements.listing",
    "postgres.statements.numbering",
    "postgres.statements.overview",
    "postgres.sweeping.clients",
    "postgres.sweeping.statements",
    "postgres.sweeping.sweep",
)


def finish_import() -> None:
    """Import what a process that serves requests may use later.

    Later the package's files may be gone, not readable any more, or those of another version, and
    a process that has used up its file descriptors can open none. Then a logout must still work.
    """
    for place in _REST:
        import_module(f"pgsession.{place}")


def __getattr__(name: str) -> object:
    if name not in PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
    return getattr(import_module(f"pgsession.{PLACES[name]}"), name)
