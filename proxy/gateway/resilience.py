"""May this attempt go to its upstream now, and what does its end say to the next?

Step 8 of the path, asked for each attempt, for a retry is one more knock at the same door: the circuit,
the gate that a 429 has shut, the pace that the upstream's figures suggest, a place under way, a turn by
our own rate. Each decides in `core.resilience`; here is their order and the waiting. Whoever has waited
is looked at anew, so that nothing goes during a hold-off; the states change only in the moment of going.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from math import inf
from typing import assert_never

from proxy.core.exchange import Exchange, Held
from proxy.core.failure import (
    APIError,
    CircuitOpenError,
    DeadlineExceededError,
    RateLimitError,
    UpstreamTimeoutError,
)
from proxy.core.message import Headers, Request
from proxy.core.ports import Clock
from proxy.core.reason import Reason
from proxy.core.resilience import limit, queue, wait
from proxy.core.resilience.limit import Turns
from proxy.core.resilience.passage import Go, Refuse, Wait
from proxy.core.resilience.queue import Priority
from proxy.core.routing import Route
from proxy.core.value import dataclass
from proxy.gateway.endpoints import Endpoints
from proxy.gateway.gates import Gates, Scope
from proxy.gateway.permit import Permit
from proxy.gateway.places import Places
from proxy.gateway.quotas import Quotas

_TOO_MANY = 429
_OVERLOADED = frozenset({429, 503, 529})
_NEARLY_ALL = 0.9  # of the time that a route has; some of it went by before the attempt


@dataclass(slots=True, kw_only=True)
class _Knock:
    """One attempt that wants to go."""

    request: Request
    route: Route
    exchange: Exchange
    deadline: float
    scope: Scope
    stood: bool = False
    turned: bool = False
    paced: bool = False
    place: Places | None = None

    @property
    def priority(self) -> Priority:
        return queue.priority(self.exchange.priority)

    def free(self) -> None:
        if self.place is not None:
            self.place.free()
            self.place = None


class Resilience:
    """The state of all upstreams. Satisfies the port `Restraint`. `secret` is 16 to 64 random bytes."""

    def __init__(self, *, clock: Clock, secret: bytes) -> None:
        self._clock = clock
        self.endpoints = Endpoints(clock)
        self._gates = Gates(clock)
        self._quotas = Quotas(clock=clock, secret=secret)
        self._turns: dict[str, Turns] = {}
        self._places: dict[str, Places] = {}
        # The order in which they are asked. A turn comes last: it is for one moment, and who had to wait
        # for anything after it would go in another, together with many such.
        self._steps = (self._hold_off, self._pace, self._place, self._turn)

    # Before an attempt

    async def admit(self, request: Request, route: Route, exchange: Exchange, *, deadline: float) -> Permit:
        """Waits until the attempt may go. The permit's `answered` or `failed` has to be called.

        `deadline` is monotonic. Raises CircuitOpenError, RateLimitError, OverloadedError and
        DeadlineExceededError; then nothing was sent.
        """
        scope = self._quotas.scope(request, route)
        knock = _Knock(request=request, route=route, exchange=exchange, deadline=deadline, scope=scope)
        try:
            if self._open(knock):  # mostly nothing is in the way: that costs no coroutine
                return self._let_go(knock)
            while await self._waited(knock):
                pass
            return self._let_go(knock)
        except BaseException:
            knock.free()
            if knock.paced:
                self._quotas.ended(scope)
            raise

    def refusal(self, request: Request, route: Route, *, remaining: float) -> Reason | None:
        """Why no attempt could go within so many seconds, None where one may. Changes nothing."""
        if self.endpoints.rest(route) is not None:
            return Reason.CIRCUIT_OPEN
        if self._gates.kept:
            scope = self._quotas.scope(request, route)
            passage = self._gates.look(scope)
            if isinstance(passage, Wait) and self._gates.shut(scope) and passage.seconds >= remaining:
                return Reason.HOLD_OFF
        return None

    def elsewhere(self, route: Route, exchange: Exchange) -> bool:
        """Whether the next attempt would go to another endpoint than the last."""
        if len(route.origins) == 1 or not exchange.attempts:
            return False
        origin = self.endpoints.next(route, exchange)
        return origin is not None and origin.url != exchange.attempts[-1].endpoint

    def spare(self, request: Request, route: Route, exchange: Exchange) -> Permit | None:
        """Leave for an attempt beside one that is under way, where nothing at all speaks against it."""
        scope = self._quotas.scope(request, route)
        knock = _Knock(request=request, route=route, exchange=exchange, deadline=0.0, scope=scope)
        if not self._clear(knock):
            return None
        if route.pacing is not None:
            if self._quotas.pace(route.pacing, scope, batch=True, within=0.0) > 0:
                knock.free()
                return None
            knock.paced = True
        return self._let_go(knock)

    def at_once(self, request: Request, route: Route) -> Permit | None:
        """Leave for an attempt that has nothing to wait for; None where `admit` has to be asked."""
        policy, scope = None, None
        if self._gates.kept or self._quotas.learned:
            scope = self._quotas.scope(request, route)
            if scope in self._gates.kept:
                return None
            policy = route.pacing if scope in self._quotas.learned else None
        era = None if route.rate is not None else self.endpoints.enter_only(route)
        if era is None:
            return None
        place = None
        if route.concurrency is not None:
            place = self._places.get(route.name)
            if place is None or not place.take_at_once():
                return None
        if policy and scope and self._quotas.pace(policy, scope, batch=False, within=0.0) > 0:
            if place is not None:
                place.free()
            return None
        now, origin = self._clock.now(), route.origins[0]
        permit = Permit(self, request, route, scope, origin, place, era, now)
        permit.paced = policy is not None
        return permit

    def _open(self, knock: _Knock) -> bool:
        """Whether it may go without asking further; then it has its place."""
        return not self._quotas.knows(knock.scope) and self._clear(knock)

    def _clear(self, knock: _Knock) -> bool:
        """Whether nothing but a quota could be in the way; then it has its place."""
        route = knock.route
        if route.rate is not None or knock.scope in self._gates.kept:
            return False
        if self.endpoints.rest(route) is not None:
            return False
        if route.concurrency is None:
            return True
        places = self._places.get(route.name)
        if places is None or not places.take_at_once():
            return False
        knock.place = places
        return True

    async def _waited(self, knock: _Knock) -> bool:
        """Whether anything was waited for: then all is to be asked again."""
        rest = self.endpoints.rest(knock.route)
        if rest is not None:
            raise CircuitOpenError(
                "The upstream failed too often; it is asked again when retry_after is over.",
                retry_after=rest,
            )
        for step in self._steps:
            if await step(knock):
                return True
        return False

    async def _hold_off(self, knock: _Knock) -> bool:
        passage = self._gates.look(knock.scope)
        if not isinstance(passage, Wait):
            return False
        knock.free()  # a place is not for waiting, and a turn does not keep
        knock.turned = False
        began = self._clock.now()
        left = knock.deadline - began
        if self._gates.shut(knock.scope):
            too_long = passage.seconds >= min(left, knock.route.retry.max_retry_after)
        else:
            too_long = left <= 0
        if too_long or not knock.exchange.patient:
            raise RateLimitError(
                "The upstream wants no calls for now, and this one would have to wait too long.",
                retry_after=passage.seconds,
            )
        again, knock.stood = knock.stood, True
        batch = knock.priority is Priority.BATCH
        try:
            await self._gates.stand(knock.scope, knock.deadline, again=again, batch=batch)
        finally:
            self._held(knock, Reason.HOLD_OFF, began)
        return True

    async def _turn(self, knock: _Knock) -> bool:
        """A turn by our own limit."""
        policy, name = knock.route.rate, knock.route.name
        if policy is None or knock.turned:
            return False
        now = self._clock.now()
        turns = self._turns.get(name, Turns())
        batch, patience = knock.priority is Priority.BATCH, knock.deadline - now
        passage, self._turns[name] = limit.take(policy, turns, now, patience=patience, batch=batch)
        knock.turned = True
        match passage:
            case Go():
                return False
            case Refuse(seconds=seconds):
                raise RateLimitError(
                    "The limit configured for this upstream is reached.", retry_after=seconds
                )
            case Wait(seconds=seconds):
                try:
                    await self._sleep(knock, seconds, Reason.RATE_LIMIT)
                except BaseException:
                    self._turns[name] = limit.give_back(policy, self._turns[name], self._clock.now())
                    raise
                return True
            case _:
                assert_never(passage)

    async def _pace(self, knock: _Knock) -> bool:
        """The pace that the upstream's own figures suggest."""
        policy = knock.route.pacing
        if policy is None or knock.paced:
            return False
        batch = knock.priority is Priority.BATCH
        left = knock.deadline - self._clock.now()
        seconds = self._quotas.pace(policy, knock.scope, batch=batch, within=left if batch else inf)
        if batch and seconds >= left:
            raise RateLimitError(
                "Little is left of the upstream's quota, and batch calls yield.", retry_after=seconds
            )
        knock.paced = True
        if seconds >= left:
            return False  # the figures may be wrong: what is urgent goes
        if seconds > 0:
            await self._sleep(knock, seconds, Reason.PACED)
        return seconds > 0

    async def _place(self, knock: _Knock) -> bool:
        policy = knock.route.concurrency
        if policy is None or knock.place is not None:
            return False
        places = self._places.get(knock.route.name)
        if places is None:
            places = self._places[knock.route.name] = Places(policy, self._clock)
        places.policy = policy  # a reload may have changed it
        began = self._clock.now()
        waited = await places.take(knock.priority, knock.deadline)
        knock.place = places
        if waited:
            self._held(knock, Reason.QUEUED, began)
        return waited

    async def _sleep(self, knock: _Knock, seconds: float, reason: Reason) -> None:
        began = self._clock.now()
        try:
            await asyncio.sleep(seconds)
        finally:
            self._held(knock, reason, began)

    def _held(self, knock: _Knock, reason: Reason, began: float) -> None:
        knock.exchange.held.append(Held(reason=reason, seconds=self._clock.now() - began))

    def _let_go(self, knock: _Knock) -> Permit:
        """Without a pause since the look: what let it go then lets it go now."""
        route, now = knock.route, self._clock.now()
        gate = self._gates.enter(knock.scope)
        origin, circuit_era = self.endpoints.enter(route, knock.exchange)
        gate_era = gate.era if isinstance(gate, Go) else 0
        permit = Permit(self, knock.request, route, knock.scope, origin, knock.place, circuit_era, now)
        permit.paced, permit.gate_era = knock.paced, gate_era
        return permit

    def scope(self, request: Request, route: Route) -> Scope:
        """What an answer to the request will most likely speak for."""
        return self._quotas.scope(request, route)

    # After it

    def told(
        self,
        permit: Permit,
        cause: APIError | int | None,
        headers: Headers | None = None,
        *,
        asked: float | None = None,
    ) -> None:
        """What the end of an attempt says; None = its caller left. `asked`: seconds that its body names."""
        now, route = self._clock.now(), permit.route
        if isinstance(cause, DeadlineExceededError) and cause.sent:
            # The route's whole time is the upstream's fault, a caller's haste is nobody's.
            silent = now - permit.began >= _NEARLY_ALL * route.timeouts.total
            cause = UpstreamTimeoutError(sent=True) if silent else cause
        self.endpoints.told(route, permit.origin, permit.circuit_era, cause)
        limited = cause == _TOO_MANY
        if permit.paced:
            self._quotas.ended(permit.scope)
        if headers is not None:
            meters = route.dialect.quota
            path = permit.request.path
            scope = self._quotas.learn(permit.scope, path, headers, limited=limited, meters=meters)
            seconds = wait.told(headers, self._clock.wall(), limited=True) if limited else None
            seconds = asked if limited and seconds is None else seconds
            if seconds is not None:
                self._gates.limited(scope, seconds)
        if self._gates.kept:
            well = isinstance(cause, int) and not limited
            self._gates.ended(permit.scope, permit.gate_era, well=well)
        late = isinstance(cause, UpstreamTimeoutError)
        if permit.place is not None and (late or isinstance(cause, int)):
            permit.place.observed(now - permit.began, overloaded=late or cause in _OVERLOADED)

    def well(self, permit: Permit, status: int, headers: Callable[[], Headers] | None) -> None:
        """As `told` of a plain success: mostly it changes nothing but the circuit's count."""
        if permit.paced or headers is not None or self._gates.kept:
            self.told(permit, status, None if headers is None else headers())
            return
        now = self._clock.now()
        self.endpoints.well(permit.route, permit.origin, permit.circuit_era, now)
        if permit.place is not None:
            permit.place.observed(now - permit.began, overloaded=False)

    # What is shown

    def quotas(self) -> Mapping[tuple[str, str], float]:
        """By upstream and bucket: what is left by the upstream's own figures."""
        return self._quotas.remaining()
