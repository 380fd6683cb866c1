"""How is a request passed on again without walking the path again?

The law: nothing here decides. That its answers are not kept is what the cache has found out, and knows
for as long as `Verdicts` does; whether this one may be kept is `admission`'s word each time. What rests on
that is compared before each use: the verdict, and the credential that the key was made with.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from proxy.core.caching import lasting, status
from proxy.core.caching.admission import LASTING, Moment, Skip, admit
from proxy.core.caching.key import Key, identify
from proxy.core.caching.reuse import Miss, reuse
from proxy.core.exchange import Verdict
from proxy.core.failure import CredentialError
from proxy.core.message import Request, Response, Whole
from proxy.core.ports import Beginning, Clock, Passing, Told
from proxy.core.reason import Reason
from proxy.core.routing import Route
from proxy.gateway.credential import Same

if TYPE_CHECKING:
    from proxy.gateway.fetching import Call
    from proxy.gateway.flight import Flight
    from proxy.gateway.verdicts import Verdicts


_MOST_KNOWN = 64  # sorts of answers to one request


class PastTheCache:
    """A core.ports.Passing: the cache has nothing to do with the request."""

    __slots__ = ("_credential", "_told", "reason", "request", "route")

    def __init__(self, request: Request, route: Route, reason: Reason) -> None:
        self.request = request
        self.route = route
        self.reason = reason
        self._credential = Same(route.injector)
        self._told: dict[int, Told] = {}

    def holds(self, now: float) -> bool:  # noqa: ARG002 - the port's
        return self._credential.holds()

    def told(self, answer: Beginning, sent: float) -> Told | None:  # noqa: ARG002 - the port's
        told = self._told.get(answer.status)
        if told is None:
            line = status.forwarded(self.reason, status=answer.status).encode()
            told = self._told[answer.status] = Told(Verdict.BYPASS, self.reason, line)
        return told


class NeverKept:
    """A core.ports.Passing: a miss whose answers were just found to be unfit for the store."""

    __slots__ = (
        *("_clock", "_credential", "_key", "_known", "_reason", "_secret", "_verdicts"),
        *("request", "route"),
    )

    def __init__(
        self,
        request: Request,
        route: Route,
        key: Key,
        reason: Reason,
        *,
        verdicts: Verdicts,
        clock: Clock,
        secret: bytes,
    ) -> None:
        self.request = request
        self.route = route
        self._key = key
        self._reason = reason
        self._verdicts = verdicts
        self._clock = clock
        self._secret = secret
        self._credential = Same(route.injector)
        self._known: dict[tuple[int, tuple[bytes, ...]], Told] = {}

    def holds(self, now: float) -> bool:
        return self._verdicts.recall(self._key.primary, now) is not None and self._credential.holds()

    def told(self, answer: Beginning, sent: float) -> Told | None:
        now = self._clock.now()
        told = self._known.get((answer.status, answer.deciding)) or self._decided(answer, sent, now)
        if told is not None:
            self._verdicts.remember(self._key.primary, told.reason, now)
        return told

    def _decided(self, answer: Beginning, sent: float, now: float) -> Told | None:
        response = Response(status=answer.status, headers=answer.headers(), body=Whole())
        moment = Moment(sent=sent, received=now, wall=self._clock.wall())
        admitted = admit(self.request, response, moment, policy=self.route.cache, secret=self._secret)
        if not isinstance(admitted, Skip):
            return None
        reason = admitted.reason
        line = status.forwarded(self._reason, status=answer.status, detail=reason)
        told = Told(Verdict.MISS, reason, line.encode())
        if reason in LASTING or not answer.deciding:
            # The same words mean the same tomorrow.
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[answer.status, answer.deciding] = told
        return told


# Most requests never come again: what it takes to pass them on so is found out when one does.


def past_the_cache(request: Request, route: Route, reason: Reason) -> Callable[[], Passing | None]:
    """What finds out how that goes on as this did; None where its credential is gone."""
    return partial(_past_the_cache, request, route, reason)


def never_kept(
    call: Call, flight: Flight, verdicts: Verdicts, clock: Clock, *, secret: bytes
) -> Callable[[], Passing | None] | None:
    """The same of one whose answer came in this flight, and was not kept.

    It finds none where what becomes of such a request has to be decided each time.
    """
    if call.request.method != "GET" or call.exchange.method != "GET":
        return None
    # Only what is known by the key alone is known before anything is looked up.
    if flight.id != call.key.primary:
        return None
    # Not the call itself, which knows the exchange that will hold this.
    return partial(
        _never_kept, call.request, call.route, call.key, verdicts=verdicts, clock=clock, secret=secret
    )


def _past_the_cache(request: Request, route: Route, reason: Reason) -> PastTheCache | None:
    try:
        return PastTheCache(request, route, reason)
    except CredentialError:
        return None


def _never_kept(
    request: Request, route: Route, key: Key, *, verdicts: Verdicts, clock: Clock, secret: bytes
) -> NeverKept | None:
    if not lasting.PASSING.isdisjoint(route.cache.key.headers):
        return None
    if verdicts.recall(key.primary, clock.now()) is None:
        return None
    decision = reuse(request, (), clock.now(), secret=secret)
    if not isinstance(decision, Miss):
        return None
    try:
        known = NeverKept(request, route, key, decision.reason, verdicts=verdicts, clock=clock, secret=secret)
        # The credential may be another one by now.
        return known if identify(request, route, secret=secret) == key else None
    except CredentialError:
        return None
