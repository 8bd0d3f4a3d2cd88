"""Checks whether a correct site could have answered the requests of a history of rotation.

Each request is judged by what is sure from outside. A number was given out before
a request if a response with it, or a request that opened its session with it, had
returned. A number was shown at the earliest when the first request with it began.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import accumulate

from tests.concurrency.rotation_history import Request


def rotation_violations(requests: Iterable[Request], *, grace: float) -> list[str]:
    """Return a sentence for each request that no correct site answers so."""
    by_key: dict[str, list[Request]] = defaultdict(list)
    for request in requests:
        by_key[request.key].append(request)
    return [
        f"{key}, number {request.number}: {fault}"
        for key, own in by_key.items()
        for judged in [_Key(own, grace)]
        for request in own
        for fault in judged.faults(request)
    ]


def reuse_bounds(requests: Iterable[Request]) -> tuple[int, int]:
    """Return how many requests the site must count as reuse at least, and at most.

    A key that is retired is no reuse, whatever its number is.
    """
    requests = list(requests)
    retired: dict[str, list[Request]] = defaultdict(list)
    for request in requests:
        if request.retired:
            retired[request.key].append(request)
    refused = [request for request in requests if not request.opened]
    at_least = sum(
        not any(its.invoked < request.returned for its in retired[request.key])
        for request in refused
    )
    at_most = sum(
        not any(its.returned < request.invoked for its in retired[request.key])
        for request in refused
    )
    return at_least, at_most


class _Key:
    """The requests with one key, and what is sure about its number at a time."""

    def __init__(self, requests: Sequence[Request], grace: float) -> None:
        self._requests = requests
        self._grace = grace
        self._retiring = [request for request in requests if request.retired]
        answered = sorted(requests, key=lambda request: request.returned)
        self._returns = [request.returned for request in answered]
        self._given = [0, *accumulate(map(_known, answered), max)]
        begun = sorted(requests, key=lambda request: request.invoked)
        self._invocations = [request.invoked for request in begun]
        self._shown = [-1, *accumulate((request.number for request in begun), max)]

    def faults(self, request: Request) -> list[str]:
        """Return a sentence for each law that the answer to a request breaks."""
        laws = (self._dead, self._old, self._back, self._early, self._refused, self._signed_out)
        return [fault for law in laws if (fault := law(request))]

    def _dead(self, request: Request) -> str | None:
        is_retired = any(its.returned < request.invoked for its in self._retiring)
        if is_retired and request.opened:
            return "a key that was retired opened a session"
        if not request.opened and request.given is not None:
            return f"a cookie that opened nothing got the number {request.given}"
        return None

    def _old(self, request: Request) -> str | None:
        if not request.opened:
            return None
        behind = self._number_before(request.invoked) - request.number
        if behind >= 2:
            return f"a copy that is {behind} behind opened a session"
        if behind == 1 and self._is_settled(request):
            return "a copy that is one behind opened a session after the grace"
        return None

    def _back(self, request: Request) -> str | None:
        if request.given is None:
            return None
        least = max(self._number_before(request.invoked), request.number)
        if request.given < least:
            return f"the response set {request.given} though {least} was given out before"
        # It may arrive that late, and then replaces the higher one in the jar.
        if request.given < (higher := self._number_before(request.invoked + self._grace)):
            return (
                f"the response set {request.given} though {higher} was given out within the grace"
            )
        return None

    def _early(self, request: Request) -> str | None:
        given = request.given or 0
        if given > 0 and not self._came_before(given - 1, request.returned - self._grace):
            return f"{given} was given out before the number before was shown for the grace"
        return None

    def _refused(self, request: Request) -> str | None:
        if request.opened or self._may_be_retired(request):
            return None
        if self._came_before(request.number + 1, request.returned - self._grace):
            return None
        return "a cookie was refused though no higher number was shown for the grace"

    def _signed_out(self, request: Request) -> str | None:
        if request.opened or request.is_copy or self._may_be_retired(request):
            return None
        # A response that takes longer than the grace may put an old cookie back into the jar.
        if any(
            its is request or its.given == request.number
            for its in self._requests
            if its.returned - its.invoked >= self._grace
        ):
            return None
        return "an honest browser was signed out"

    def _number_before(self, moment: float) -> int:
        """Return the highest number that was surely given out before a moment."""
        return self._given[bisect_left(self._returns, moment)]

    def _is_settled(self, request: Request) -> bool:
        """Return whether the next number was surely shown, and the grace after that is over.

        To show a number waits for nobody: beside another request, it may be left to a later one.
        """
        return any(
            its.opened and its.number > request.number and self._is_alone(its)
            for its in self._requests
            if its.returned < request.invoked - self._grace
        )

    def _is_alone(self, request: Request) -> bool:
        return not any(
            its.invoked < request.returned and request.invoked < its.returned
            for its in self._requests
            if its is not request
        )

    def _came_before(self, number: int, moment: float) -> bool:
        """Return whether a cookie with this number, or a higher one, may have come before."""
        return self._shown[bisect_left(self._invocations, moment)] >= number

    def _may_be_retired(self, request: Request) -> bool:
        return any(its.invoked < request.returned for its in self._retiring)


def _known(request: Request) -> int:
    """Return the number that the session had at least when a request was answered."""
    return max(request.number if request.opened else 0, request.given or 0)
