"""Requests whose sessions are observed: what is told of them to telemetry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from starlette.types import Message, Scope, Send

from pgsession.asgi.exchange import STARTS, Exchange
from pgsession.asgi.outside import Outside
from pgsession.asgi.reference import Reference
from pgsession.asgi.row import Decision
from pgsession.core.cookie import FoundCookie
from pgsession.core.decision import Change
from pgsession.core.observer import Observer
from pgsession.core.store import Changes, Entry, Store, Written
from pgsession.errors import ProofMissingError, SessionNotFoundError, StoreUnavailableError

#: The outcomes of a load that say that a cookie was rejected.
_REJECTED: Final = frozenset({"replaced", "proof_missing"})

#: The values of `pgsession.change`. The name of an Enum's member is slow to get.
_NAMES: Final = {change: change.name.lower() for change in Change}

#: What the status of a response of the device binding means: to a registration, and to a refresh.
_REGISTERED: Final = {200: "registered", 400: "rejected", 503: "unavailable"}
_REFRESHED: Final = {200: "proved", 403: "challenged", 404: "unknown", 503: "unavailable"}


class ObservedExchange(Exchange):
    """One request and its response, whose policy has an observer.

    Without an observer there is an `Exchange`, which does nothing for telemetry.
    """

    # Defaults live on the class: most requests never set them.

    #: The cookie has a number that is too old.
    _has_old_number: bool = False
    #: The failure of the store for which this request does not get its session.
    _missed: StoreUnavailableError | None = None
    #: What it gets instead was counted.
    _is_miss_counted: bool = False

    async def look_up(self, cookies: Sequence[FoundCookie]) -> bool:
        observer, is_loaded = self._observer, False
        operation = observer.begin_load()
        try:
            is_loaded = await super().look_up(cookies)
        except BaseException as error:
            operation.end("unavailable", error)
            raise
        outcome = self._outcome(cookies)
        operation.end(outcome, self._missed)
        if outcome in _REJECTED:
            observer.reject_cookie(outcome)
        return is_loaded

    async def admit(self, found: FoundCookie, entry: Entry) -> Entry | None:
        admitted = await super().admit(found, entry)
        self._has_old_number = admitted is None
        return admitted

    async def rotate(self) -> None:
        operation = self._observer.begin_save()
        try:
            await super().rotate()
        except BaseException as error:
            operation.end("rotate", error)
            raise
        operation.end("rotate")

    async def _execute(self, decision: Decision, store: Store, *, extend: bool) -> None:
        change = decision[0]
        if change is Change.NOTHING:
            await super()._execute(decision, store, extend=extend)
            return
        name, operation = _NAMES[change], self._observer.begin_save()
        try:
            await super()._execute(decision, store, extend=extend)
        except BaseException as error:
            operation.end(name, error)
            raise
        operation.end(name)

    async def _merge(self, key: str, changes: Changes) -> Written:
        operation = self._observer.begin_save()
        try:
            written = await super()._merge(key, changes)
        except BaseException as error:
            operation.end("merge", error)
            raise
        operation.end("merge")
        return written

    async def _take(self, name: str, default: object) -> Any:  # noqa: ANN401 - JSON
        operation = self._observer.begin_save()
        try:
            taken = await super()._take(name, default)
        except BaseException as error:
            operation.end("take", error)
            raise
        operation.end("take")
        return taken

    def end_streams(self) -> None:
        super().end_streams()
        if self._missed is not None:
            self._count_miss(self._missed)

    def _report(self, error: StoreUnavailableError) -> None:
        if self._is_replaced:
            self._count_miss(error)
        elif self._missed is None:  # the application may still get a 503, if it needs a session
            self._send = self._counting_miss(self._send, error)
        self._missed = self._missed or error
        super()._report(error)

    def _counting_miss(self, send: Send, error: StoreUnavailableError) -> Send:
        """Return a `send` that counts the anonymous page when its response starts."""

        async def counting(message: Message) -> None:
            if message["type"] in STARTS:
                self._count_miss(error)
            await send(message)

        return counting

    def _count_miss(self, error: StoreUnavailableError) -> None:
        """Count what the request gets, once: when that is known."""
        if not self._is_miss_counted:
            self._is_miss_counted = True
            self._observer.miss("503" if self._is_replaced else "anonymous", error)

    @property
    def _observer(self) -> Observer:
        observer = self._policy.observer
        assert observer is not None  # noqa: S101 - else it is an `Exchange`
        return observer

    def _outcome(self, cookies: Sequence[FoundCookie]) -> str:
        """Return what has become of the look-up."""
        if self._missed is not None:
            return "unavailable"
        if self._key is not None:
            return "adopted" if self._is_taken_over else "found"
        if self._unproven is not None:
            return "proof_missing"
        if self._has_old_number:
            return "replaced"
        return "not_found" if cookies or self._has_old else "visitor"


class ObservedOutside(ObservedExchange, Outside):
    """A session that is open outside of a request, whose policy has an observer."""

    async def load_by_cookie(self) -> None:
        operation = self._observer.begin_load()
        try:
            await super().load_by_cookie()
        except BaseException as error:
            operation.end(self._outside_outcome(error), _failure(error))
            raise
        operation.end("found")

    async def load_by_reference(self, reference: Reference) -> None:
        operation = self._observer.begin_load()
        try:
            await super().load_by_reference(reference)
        except BaseException as error:
            operation.end(self._outside_outcome(error), _failure(error))
            raise
        operation.end("found")

    def _outside_outcome(self, error: BaseException) -> str:
        if _failure(error) is not None:
            return "unavailable"
        if self._unproven is not None or isinstance(error, ProofMissingError):
            return "proof_missing"
        return "replaced" if self._has_old_number else "not_found"


def _failure(error: BaseException) -> BaseException | None:
    """Return an error that says nothing about the session; None for one that does."""
    return None if isinstance(error, (SessionNotFoundError, ProofMissingError)) else error


def counting_proofs(observer: Observer, scope: Scope, send: Send) -> Send:
    """Return a `send` that counts what the endpoints of the device binding answer."""
    is_refresh = scope["path"].endswith("/refresh")
    outcomes = _REFRESHED if is_refresh else _REGISTERED

    async def counting(message: Message) -> None:
        if message["type"] == "http.response.start":
            outcome = outcomes.get(message["status"])
            if outcome is not None:
                observer.prove(outcome)
        await send(message)

    return counting
