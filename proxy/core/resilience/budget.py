"""Is there still room for a retry? Two verbs: requests deposit, retries withdraw.

The law: a retry costs one. Each new request earns a fraction of one, which fades within seconds, so
that a quiet night pays for no storm in the morning; beside it a small reserve refills by the clock, so
that a lone caller may retry too. In any stretch of time no more retries go out than `ratio` times the
requests of it and of the seconds before, plus the reserve. A request that is itself a retry of the
layer above earns nothing and costs one.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from proxy.core.message import Headers

FADES_IN = 10.0  # seconds in which what was earned shrinks to 1/e
_NEARLY = 1e-9  # five times a fifth is one
# Seconds' worth of `min_per_second` that wait in reserve: enough for a lone request's retries, far too
# little for a storm.
_RESERVED = 3.0
_LEAST_RESERVE = 1.0  # less could never pay for a retry


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetPolicy:
    """`ratio` of a retry for each request, and `min_per_second` retries whatever is earned."""

    ratio: float = 0.2
    min_per_second: float = 2.0

    @property
    def most_reserve(self) -> float:
        """Retries."""
        return max(_LEAST_RESERVE, self.min_per_second * _RESERVED) if self.min_per_second > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Retries that could be paid for at the monotonic second `at`."""

    earned: float
    reserve: float
    at: float

    @property
    def remaining(self) -> float:
        return self.earned + self.reserve


def opened(policy: BudgetPolicy, now: float) -> Budget:
    """A budget as it begins: nothing earned, the reserve full."""
    return Budget(earned=0.0, reserve=policy.most_reserve, at=now)


def settled(policy: BudgetPolicy, budget: Budget, now: float) -> Budget:
    """The budget as time has made it."""
    passed = now - budget.at
    if passed <= 0:
        return budget
    reserve = min(policy.most_reserve, budget.reserve + passed * policy.min_per_second)
    return Budget(earned=budget.earned * math.exp(-passed / FADES_IN), reserve=reserve, at=now)


def deposit(policy: BudgetPolicy, budget: Budget, now: float) -> Budget:
    """A new request goes out."""
    here = settled(policy, budget, now)
    return Budget(earned=here.earned + policy.ratio, reserve=here.reserve, at=here.at)


def withdraw(policy: BudgetPolicy, budget: Budget, now: float) -> tuple[bool, Budget]:
    """Whether one retry is paid for. What was earned is spent first: it fades."""
    here = settled(policy, budget, now)
    if here.remaining < 1 - _NEARLY:
        return False, here
    return True, _less(here)


def charge(policy: BudgetPolicy, budget: Budget, now: float) -> Budget:
    """The layer above retried. It went out already, so it is paid for as far as there is anything."""
    return _less(settled(policy, budget, now))


def _less(budget: Budget) -> Budget:
    earned = max(0.0, budget.earned - 1)
    reserve = max(0.0, budget.reserve - (1 - (budget.earned - earned)))
    return Budget(earned=earned, reserve=reserve, at=budget.at)


_COUNT = re.compile(r"[0-9]{1,6}", re.ASCII)
_AMAZON = re.compile(r"(?:^|[;\s])attempt=([0-9]{1,6})(?:[;\s]|$)", re.ASCII)
_GOOGLE = re.compile(r"(?:^|\s)gccl-attempt-count/([0-9]{1,6})(?:\s|$)", re.ASCII)
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
