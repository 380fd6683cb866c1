"""Which upstream's budget pays for a retry, and what is left of each?"""

from __future__ import annotations

from proxy.core.message import Request
from proxy.core.ports import Clock
from proxy.core.resilience.budget import (
    Budget,
    BudgetPolicy,
    charge,
    deposit,
    opened,
    remaining,
    tried_before,
    withdraw,
)
from proxy.core.routing import Route


class Budgets:
    """Those of all upstreams."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._budgets: dict[str, tuple[BudgetPolicy, Budget]] = {}

    def remaining(self) -> dict[str, float]:
        """Retries that each upstream's budget would pay for now; none for one without a budget."""
        now = self.clock.now()
        return {name: remaining(policy, budget, now) for name, (policy, budget) in self._budgets.items()}

    def requested(self, request: Request, route: Route) -> None:
        """A request is to go out, whatever becomes of it."""
        self.counted(route, self.clock.now(), again=bool(tried_before(request.headers)))

    def counted(self, route: Route, now: float, *, again: bool) -> None:
        """As `requested`; `again`: the layer above says that it sent the request before."""
        policy = route.retry.budget
        if policy is not None:
            # A request that is a retry of the layer above has had its deposit.
            turn = charge if again else deposit
            self._budgets[route.name] = (policy, turn(self._budget(route.name, now), now))

    def pay(self, route: Route) -> bool:
        """Whether the upstream's budget pays for one more attempt."""
        policy = route.retry.budget
        if policy is None:
            return True
        now = self.clock.now()
        paid, left = withdraw(policy, self._budget(route.name, now), now)
        self._budgets[route.name] = (policy, left)
        return paid

    def _budget(self, name: str, now: float) -> Budget:
        known = self._budgets.get(name)
        return opened(now) if known is None else known[1]
