"""Device binding: the two endpoints, and what a request must bring for a bound session."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from urllib.parse import quote

from starlette.types import Scope, Send

from pgsession.asgi.unavailable import OutageLog, send_unavailable
from pgsession.core.bound import Bound, BoundDevice, as_binding_store
from pgsession.core.cookie import Cookie, FoundCookie
from pgsession.core.keys import digest, key_digest
from pgsession.core.logs import event, own_logger
from pgsession.core.store import Store
from pgsession.dbsc import headers as fields
from pgsession.dbsc.bound_cookie import BoundCookie
from pgsession.dbsc.instructions import write
from pgsession.dbsc.proofs import ProofError, read_refresh, read_registration
from pgsession.dbsc.tokens import Tokens
from pgsession.errors import SchemaError, StoreUnavailableError

#: A challenge is good for so long after the proof has ended: browsers use a signature again, and
#: repeat requests that got no answer.
_LATE: Final = timedelta(minutes=5)

#: A refresh gives out the next challenge once the present one is so old.
_OLD: Final = timedelta(minutes=3)

#: Seconds after which the endpoints answer 503: browsers hold requests for 20 seconds.
_LONGEST: Final = 15.0

_LOGGER = own_logger()

_REGISTER: Final = "/register"
_REFRESH: Final = "/refresh"
_ENDS: Final = (_REGISTER, _REFRESH)

#: What a path may have beside letters, digits and ``_.-~`` (RFC 3986, section 3.3).
_SAFE: Final = "/!$&'()*+,;=:@"

_ORIGIN: Final = re.compile(r"https://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")

_Headers = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class DeviceBinding:
    """What all requests of one middleware share that binds sessions to devices."""

    store: Store
    cookie: BoundCookie
    tokens: Tokens
    #: The place of the endpoints, relative to the path of the cookie.
    place: str
    #: Path prefixes that need no proof, relative to the path of a mount.
    exclude: Sequence[str] = ()
    #: Notes whether the database answers.
    outage_log: OutageLog = field(default_factory=OutageLog)
    #: Returns True for an ASGI scope that needs a bound session.
    requires: Callable[[Scope], bool] = lambda _: False

    @classmethod
    def of(
        cls,
        cookie: Cookie,
        store: Store,
        *,
        period: timedelta,
        place: str,
        exclude: Sequence[str],
        requires: Callable[[Scope], bool],
        outage_log: OutageLog,
    ) -> DeviceBinding:
        """Return the binding beside a session cookie."""
        name = f"{cookie.name}-bound"
        bound = BoundCookie(name, cookie.path, cookie.same_site, period)
        tokens = Tokens(cookie.secret_keys, cookie.name)
        return cls(store, bound, tokens, place, exclude, outage_log, requires)

    @property
    def period(self) -> timedelta:
        """How long a proof is good."""
        return self.cookie.period

    def offer(self, root: str, key: str, login_number: int) -> tuple[bytes, bytes]:
        """Return the header field that offers a registration to a browser that has signed in.

        `root` is the root_path with which the middleware was called: a mount inside changes
        that of the scope.
        """
        path = f"{self._base(root)}{_REGISTER}"
        return fields.registration(path, self.tokens.offer(key_digest(key), login_number))

    def proved_for(self, headers: _Headers, bound: Bound, now: int) -> int:
        """Return for how many seconds more the bound cookies of a request prove this session.

        Zero or less if none of them is one of this session that is in time.
        """
        ends = (self.tokens.read_cookie(bound, value) for value in self.cookie.find(headers))
        return max((end - now for end in ends if end is not None), default=0)

    def serves(self, scope: Scope) -> bool:
        """Tell whether a request is to one of the endpoints."""
        path: str = scope["path"]
        if scope["type"] != "http" or not path.endswith(_ENDS):
            return False
        root = scope.get("root_path", "").rstrip("/")
        whole, place = path if path.startswith(f"{root}/") else root + path, self._place(root)
        return whole.startswith(place) and whole[len(place) :] in _ENDS

    def shares_place(self, other: DeviceBinding) -> bool:
        """Tell whether another middleware's endpoints are at the same place."""
        return (self.place, self.cookie.path) == (other.place, other.cookie.path)

    async def serve(self, scope: Scope, send: Send, cookies: Sequence[FoundCookie]) -> None:
        """Answer a request to one of the endpoints. `cookies` are those of sessions that came."""
        if scope["method"] != "POST":
            await _send(send, 405, (b"allow", b"POST"))
            return
        if _is_of_another_site(scope["headers"]):
            await _send(send, 400)
            return
        try:
            async with asyncio.timeout(_LONGEST):
                if scope["path"].endswith(_REGISTER):
                    await self._register(scope, send)
                else:
                    await self._refresh(scope, send, {digest(each.key) for each in cookies})
        except StoreUnavailableError as error:  # some are a TimeoutError too
            self.outage_log.record(error)
            await send_unavailable(scope, send)
        except SchemaError as error:
            self.outage_log.record_unfit(error)
            raise
        except TimeoutError:
            late = StoreUnavailableError("The database did not answer in time. Try again.")
            self.outage_log.record(late)
            await send_unavailable(scope, send)

    async def _register(self, scope: Scope, send: Send) -> None:
        text = fields.read(scope["headers"], fields.RESPONSE)
        try:
            proof = read_registration(text or "")
        except ProofError as error:
            await self._refuse(send, str(error))
            return
        offer, origin = self.tokens.read_offer(proof.challenge), _origin(scope["headers"])
        if offer is None or origin is None:
            await self._refuse(send, "Its challenge is not ours, or it names no origin.")
            return
        bound, verifier = offer
        now = await as_binding_store(self.store).bind(bound, verifier, proof.public_key)
        self.outage_log.record_answer()
        if now is None:
            await self._refuse(
                send,
                "The session has ended, has been renewed or has another key, or the sign-in was "
                "more than a minute ago.",
                level=logging.INFO,
            )
            return
        identifier, root = self.tokens.identifier(bound), scope.get("root_path", "")
        instructions = write(
            identifier=identifier,
            refresh_path=f"{self._base(root)}{_REFRESH}",
            origin=origin,
            cookie_name=self.cookie.name,
            cookie_attributes=self.cookie.attributes,
            exclude=[_escaped(root.rstrip("/") + each.rstrip("/")) or "/" for each in self.exclude],
        )
        await _send(
            send,
            200,
            self._next(bound, identifier, now),
            (b"content-type", b"application/json"),
            self._set_cookie(bound, now),
            body=instructions,
        )

    async def _refresh(self, scope: Scope, send: Send, handles: Collection[str]) -> None:
        identifier = fields.read(scope["headers"], fields.IDENTIFIER) or ""
        bound = self.tokens.read_identifier(identifier)
        # A session that the browser has no cookie of any more must not overwrite the bound cookie
        # of the one that it has. From another site it comes without cookies.
        if bound is None or (handles and bound.handle not in handles):
            await _send(send, 404)
            return
        store = as_binding_store(self.store)
        device = await store.bound_device(bound)
        self.outage_log.record_answer()
        if device is None:
            await _send(send, 404)
            return
        issued = self._proved(scope["headers"], bound, device)
        if issued is None:
            await _send(send, 403, self._next(bound, identifier, device.now))
            return
        if not device.is_in_force:
            with suppress(StoreUnavailableError):  # else a later request does it
                await store.enforce(bound)
        more = [self._set_cookie(bound, device.now)]
        if device.now - issued > _OLD.total_seconds():
            more.append(self._next(bound, identifier, device.now))
        await _send(send, 200, *more)

    def _proved(self, headers: _Headers, bound: Bound, device: BoundDevice) -> int | None:
        """Return when the challenge of a good proof was issued; None without one."""
        text = fields.read(headers, fields.RESPONSE)
        if text is None:
            return None
        try:
            proof = read_refresh(text, device.public_key)
        except ProofError:
            return None
        issued = self.tokens.read_challenge(bound, proof.challenge)
        longest = (self.period + _LATE).total_seconds()
        return issued if issued is not None and device.now - issued <= longest else None

    @staticmethod
    async def _refuse(send: Send, reason: str, *, level: int = logging.DEBUG) -> None:
        _LOGGER.log(
            level,
            "A device could not register its key: %s",
            reason,
            extra=event("registration_rejected"),
        )
        await _send(send, 400)

    def _next(self, bound: Bound, identifier: str, now: int) -> tuple[bytes, bytes]:
        return fields.challenge(self.tokens.challenge(bound, now), identifier)

    def _set_cookie(self, bound: Bound, now: int) -> tuple[bytes, bytes]:
        until = now + int(self.period.total_seconds())
        return b"set-cookie", self.cookie.write(self.tokens.cookie(bound, until))

    def _base(self, root: str) -> str:
        """Return the place of the endpoints as a URL has it, without a slash at its end."""
        return _escaped(self._place(root))

    def _place(self, root: str) -> str:
        root, path = root.rstrip("/"), self.cookie.path.rstrip("/")
        if root and not f"{path}/".startswith(f"{root}/"):
            path = root + path
        return f"{path}/{self.place}"


def _is_of_another_site(headers: _Headers) -> bool:
    site = next((text for name, text in headers if name == b"sec-fetch-site"), b"same-origin")
    return site not in {b"same-origin", b"none"}


def _origin(headers: _Headers) -> str | None:
    """Return the origin that the browser names; else that of the host that the server sees.

    None if neither is one. A proxy may have changed the host. What is answered concerns
    only the browser that asks, so nothing is lost if a client names another origin than
    its own.
    """
    found = {name: text.decode("latin-1") for name, text in headers}
    origins = (found.get(b"origin", ""), f"https://{found.get(b'host', '')}")
    return next(filter(_ORIGIN.fullmatch, origins), None)


def _escaped(path: str) -> str:
    return quote(path, safe=_SAFE)


async def _send(send: Send, status: int, *headers: tuple[bytes, bytes], body: bytes = b"") -> None:
    sent = [
        (b"content-length", str(len(body)).encode("ascii")),
        (b"cache-control", b"no-store"),
        *headers,
    ]
    await send({"type": "http.response.start", "status": status, "headers": sent})
    await send({"type": "http.response.body", "body": body})
