"""Is there still room for a retry? Two verbs: requests deposit, retries withdraw.

The law: of what was sent in the last seconds, retries are at most `ratio` of the requests, or
`min_per_second`, whichever is more. A lone caller may retry in full, and an upstream that fails
everything sees a fifth more calls and no storm. What was counted fades, so that a quiet night pays for
nothing in the morning. A retry of the layer above counts as a retry and not as a request.
"""

from __future__ import annotations

import math
import re

from proxy.core.expression import expression
from proxy.core.message import Headers
from proxy.core.value import dataclass

FADES_IN = 10.0  # seconds in which what was counted shrinks to 1/e
_LEAST = 1.0  # less could never pay for a retry
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetPolicy:
    """Retries for each request, and retries a second that are paid for however few requests there are."""

    ratio: float = 0.2
    min_per_second: float = 2.0

    @property
    def least(self) -> float:
        """Retries within the seconds that count, whatever was requested."""
        return max(_LEAST, self.min_per_second * FADES_IN) if self.min_per_second > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What counts at the monotonic second `at`: requests and retries, the older the less."""

    requests: float
    retries: float
    at: float


def opened(now: float) -> Budget:
    """A budget as it begins."""
    return Budget(requests=0.0, retries=0.0, at=now)


def settled(budget: Budget, now: float) -> Budget:
    """The budget as time has made it."""
    passed = now - budget.at
    if passed <= 0:
        return budget
    left = math.exp(-passed / FADES_IN)
    return Budget(requests=budget.requests * left, retries=budget.retries * left, at=now)


def remaining(policy: BudgetPolicy, budget: Budget, now: float) -> float:
    """Retries that would be paid for now; 0 or more."""
    here = settled(budget, now)
    return max(0.0, max(policy.least, policy.ratio * here.requests) - here.retries)


def deposit(budget: Budget, now: float) -> Budget:
    """A new request goes out."""
    passed = now - budget.at
    if passed <= 0:
        return Budget(requests=budget.requests + 1, retries=budget.retries, at=budget.at)
    left = math.exp(-passed / FADES_IN)  # as in `settled`, without a value in between
    return Budget(requests=budget.requests * left + 1, retries=budget.retries * left, at=now)


def withdraw(policy: BudgetPolicy, budget: Budget, now: float) -> tuple[bool, Budget]:
    """Whether one retry is paid for."""
    here = settled(budget, now)
    if remaining(policy, here, now) < 1 - _ROUNDING:
        return False, here
    return True, charge(here, now)


def charge(budget: Budget, now: float) -> Budget:
    """A retry goes out: ours, or one of the layer above, which nobody was asked about."""
    here = settled(budget, now)
    return Budget(requests=here.requests, retries=here.retries + 1, at=here.at)


_COUNT = expression(r"[0-9]{1,6}", re.ASCII)
_AMAZON = expression(r"(?:^|[;\s])attempt=([0-9]{1,6})(?:[;\s]|$)", re.ASCII)
_GOOGLE = expression(r"(?:^|\s)gccl-attempt-count/([0-9]{1,6})(?:\s|$)", re.ASCII)
# How often the layer above tried before: by Stainless's SDKs (OpenAI, Anthropic), gRPC, Microsoft Graph.
_BEFORE = ("x-stainless-retry-count", "grpc-previous-rpc-attempts", "retry-attempt")
# The number of this try, the first being 1: by Envoy; AWS's and Google's SDKs write it into a list.
_NUMBER = "x-envoy-attempt-count"
_LISTED = (("amz-sdk-request", _AMAZON), ("x-goog-api-client", _GOOGLE))


def tried_before(headers: Headers) -> int:
    """How many times the layer above says that it sent this request before; 0 where it says nothing."""
    names = headers.names()
    found = [_whole(headers.get(name)) for name in _BEFORE if name in names]
    if _NUMBER in names:
        found.append(_whole(headers.get(_NUMBER)) - 1)
    for name, form in _LISTED:
        listed = form.search(headers.get(name) or "") if name in names else None
        if listed is not None:
            found.append(int(listed[1]) - 1)
    return max(0, *found, 0)


def _whole(text: str | None) -> int:
    trimmed = "" if text is None else text.strip(" \t")
    return int(trimmed) if _COUNT.fullmatch(trimmed) is not None else 0
