"""The session instructions: what a browser is told when it has registered a key."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal

import msgspec


class _Rule(msgspec.Struct, frozen=True):
    type: Literal["include", "exclude"]
    domain: str
    path: str


class _Scope(msgspec.Struct, frozen=True):
    origin: str
    include_site: bool
    scope_specification: Sequence[_Rule]


class _Credential(msgspec.Struct, frozen=True):
    type: Literal["cookie"]
    name: str
    attributes: str


class _Instructions(msgspec.Struct, frozen=True):
    session_identifier: str
    refresh_url: str
    scope: _Scope
    credentials: Sequence[_Credential]
    allowed_refresh_initiators: Sequence[str]


_PORT: Final = re.compile(r":[0-9]+$")

#: Else links from other sites arrive without a proof.
_ANYBODY: Final = ("*",)


def write(
    *,
    identifier: str,
    refresh_path: str,
    origin: str,
    cookie_name: str,
    cookie_attributes: str,
    exclude: Sequence[str] = (),
) -> bytes:
    """Return the instructions as JSON.

    `origin` is the site's, such as ``https://app.example.com``. `cookie_attributes` must be
    those with which the bound cookie is set, without Max-Age: browsers compare them. Paths
    that begin with one of `exclude` need no proof.
    """
    host = _PORT.sub("", origin.removeprefix("https://"))
    rules = [_Rule("exclude", host, path) for path in exclude]
    return msgspec.json.encode(
        _Instructions(
            session_identifier=identifier,
            refresh_url=refresh_path,
            scope=_Scope(origin, include_site=False, scope_specification=rules),
            credentials=[_Credential("cookie", cookie_name, cookie_attributes)],
            allowed_refresh_initiators=_ANYBODY,
        )
    )
