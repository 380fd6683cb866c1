"""Which endpoint does an attempt go to, and what has become of each?

Kept by upstream and base URL: the circuit and what its check says. `core` decides who is asked and when
a circuit opens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from proxy.core.exchange import Exchange
from proxy.core.failure import APIError
from proxy.core.ports import Clock
from proxy.core.resilience import breaker, endpoints
from proxy.core.resilience.breaker import Circuit, Closed, HalfOpen, Open
from proxy.core.resilience.endpoints import Balance, Health, Standing
from proxy.core.resilience.passage import Go, Refuse
from proxy.core.routing import Origin, Route

_CLOSED = Closed()
_STATES = {Closed: 0, HalfOpen: 1, Open: 2}
_Key = tuple[str, Origin]


class Endpoints:
    """Those of all upstreams."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._circuits: dict[_Key, Circuit] = {}
        self._health: dict[_Key, Health] = {}
        self._turns: Counter[str] = Counter()
        self._routes: dict[str, Route] = {}

    def rest(self, route: Route) -> float | None:
        """Seconds for which no endpoint may be asked; None where one may be."""
        if route.breaker is None:
            return None
        for origin in route.origins:  # mostly the first is closed: that costs no more than a look
            circuit = self._circuits.get((route.name, origin))
            if circuit is None or isinstance(circuit, Closed):
                return None
        return endpoints.rest([self._standing(route, origin, 0) for origin in route.origins])

    def next(self, route: Route, exchange: Exchange) -> Origin | None:
        """Whom the request's next attempt would go to; None where nobody may be asked."""
        if len(route.origins) == 1:
            return None if self.rest(route) is not None else route.origins[0]
        failed = Counter(attempt.endpoint for attempt in exchange.attempts if attempt.failed)
        standings = [self._standing(route, origin, failed[origin.url]) for origin in route.origins]
        turn = self._turns[route.name] if route.balance is Balance.ROUND_ROBIN else 0
        place = endpoints.choose(standings, first=turn % len(standings))
        return None if place is None else route.origins[place]

    def enter(self, route: Route, exchange: Exchange) -> tuple[Origin, int]:
        """The endpoint of an attempt that goes now, and the era of its circuit, for `told`."""
        self._routes[route.name] = route
        origin = self.next(route, exchange) or route.origins[0]
        if len(route.origins) > 1 and route.balance is Balance.ROUND_ROBIN:
            self._turns[route.name] = route.origins.index(origin) + 1
        if route.breaker is None:
            return origin, 0
        key = (route.name, origin)
        circuit = self._circuits.get(key, _CLOSED)
        passage, self._circuits[key] = breaker.permit(route.breaker, circuit, self._clock.now())
        return origin, passage.era if isinstance(passage, Go) else 0

    def enter_only(self, route: Route) -> int | None:
        """The era of the circuit of a route's only endpoint, asked now; None where it is not closed."""
        self._routes[route.name] = route
        if route.breaker is None:
            return 0
        circuit = self._circuits.get((route.name, route.origins[0]), _CLOSED)
        return circuit.era if isinstance(circuit, Closed) else None

    def well(self, route: Route, origin: Origin, era: int, now: float) -> None:
        """As `told`, of a success."""
        if route.breaker is not None:
            key = (route.name, origin)
            self._circuits[key] = breaker.well(route.breaker, self._circuits.get(key, _CLOSED), now, era=era)

    def told(self, route: Route, origin: Origin, era: int, cause: APIError | int | None) -> None:
        """What the end of an attempt says; None = its caller left."""
        if route.breaker is None:
            return
        key = (route.name, origin)
        news = breaker.news(cause, elsewhere=self._elsewhere(route, origin))
        circuit = self._circuits.get(key, _CLOSED)
        self._circuits[key] = breaker.report(route.breaker, circuit, news, self._clock.now(), era=era)

    def checked(self, route: Route, origin: Origin, *, well: bool) -> bool:
        """After a check; whether the endpoint is taken for something else now."""
        if route.check is None:
            return False
        self._routes[route.name] = route
        key = (route.name, origin)
        before = self._health.get(key, Health())
        after = self._health[key] = endpoints.checked(route.check, before, well=well)
        return before.ill != after.ill

    def circuits(self) -> Mapping[str, int]:
        """By upstream: 0 closed, 1 half open, 2 open; of several endpoints, the state of the best."""
        return {
            name: min(_STATES[type(self._circuits.get((name, origin), _CLOSED))] for origin in route.origins)
            for name, route in self._routes.items()
        }

    def up(self) -> Mapping[tuple[str, str], bool]:
        """By upstream and authority: whether it would be asked now; where there are several, or checks."""
        told: dict[tuple[str, str], bool] = {}
        for name, route in self._routes.items():
            for origin in route.origins if len(route.origins) > 1 or route.check is not None else ():
                standing = self._standing(route, origin, 0)
                key = (name, origin.authority)
                told[key] = told.get(key, False) or (standing.rests is None and not standing.ill)
        return told

    def _standing(self, route: Route, origin: Origin, failed: int) -> Standing:
        key = (route.name, origin)
        health = self._health.get(key)
        ill = health is not None and health.ill
        circuit = self._circuits.get(key)
        if route.breaker is None or circuit is None or isinstance(circuit, Closed):
            return Standing(ill=ill, failed=failed)
        passage, _ = breaker.permit(route.breaker, circuit, self._clock.now())
        return Standing(
            rests=passage.seconds if isinstance(passage, Refuse) else None, ill=ill, failed=failed
        )

    def _elsewhere(self, route: Route, origin: Origin) -> bool:
        """Whether another endpoint of the upstream is there to be asked."""
        return len(route.origins) > 1 and any(
            isinstance(self._circuits.get((route.name, other), _CLOSED), Closed)
            for other in route.origins
            if other != origin
        )
