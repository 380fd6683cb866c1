"""May this attempt be followed by another, and after how long?

The law: a request is sent again where the table of `repetition` allows it; and only if attempts are left,
its body can be sent again, and the wait fits into what is left of the time. A wait that the upstream asks
for is kept in full or not begun.
"""

from __future__ import annotations

from proxy.core.classify import Fault
from proxy.core.failure import APIError
from proxy.core.message import Headers
from proxy.core.reason import Reason
from proxy.core.resilience import repetition
from proxy.core.resilience.budget import BudgetPolicy
from proxy.core.resilience.hedging import HedgePolicy
from proxy.core.resilience.repetition import Ended, Leave, Said
from proxy.core.resilience.wait import backoff, spread, told
from proxy.core.value import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """`attempts` counts the first one too; waits in seconds, bodies in bytes.

    A body is kept in memory up to `max_replay_body`, on disk up to `max_spool_body`. `methods` may be
    repeated although they may have been processed. `idempotency_key` names the field by which the upstream
    recognises a repeated request.
    """

    attempts: int = 3
    initial: float = 0.2
    factor: float = 2.0
    max_wait: float = 10.0
    statuses: frozenset[int] = frozenset({408, 429, 500, 502, 503, 504})
    methods: frozenset[str] = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
    max_retry_after: float = 30.0
    idempotency_key: str | None = None
    max_replay_body: int = 1024 * 1024
    max_spool_body: int = 0
    budget: BudgetPolicy | None = BudgetPolicy()
    hedge: HedgePolicy | None = None

    @property
    def most_kept(self) -> int:
        """Bytes of a body that may be sent again."""
        return max(self.max_replay_body, self.max_spool_body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Once more, after so many seconds."""

    after: float
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """The caller gets what this attempt brought."""

    reason: Reason


_TOO_MANY = 429


def should_retry(headers: Headers) -> bool | None:
    """The upstream's own word on sending the request again; None where it gives none."""
    match repetition.said(headers):
        case Said.NOTHING:
            return None
        case word:
            return word is Said.YES


def _verdict(fault: Fault | None) -> Said:
    if fault is None or fault.again is None:
        return Said.NOTHING
    return Said.YES if fault.again else Said.NO


def decide(
    policy: RetryPolicy,
    *,
    method: str,
    attempt: int,
    cause: APIError | int,
    headers: Headers,
    replayable: bool,
    keyed: bool,
    remaining: float,
    chance: float,
    wall: float,
    elsewhere: bool = False,
    fault: Fault | None = None,
) -> Again | Stop:
    """What follows attempt number `attempt` (from 1) that ended in a failure or a status.

    `replayable`: the body can be sent from its first byte. `keyed`: the request carries the field that
    `policy.idempotency_key` names. `remaining`: seconds left of the total. `chance`: in [0, 1).
    `elsewhere`: the next attempt goes to another endpoint, for which a time that this one names says
    nothing, unless it limits the credential. `fault`: what the answer is in truth, as its API's dialect
    has it.
    """
    limited = cause == _TOO_MANY if fault is None else fault.meant == _TOO_MANY
    asked = told(headers, wall, limited=limited)
    if asked is None and fault is not None:
        asked = fault.wait
    match cause:
        case int() as status:
            meant = status if fault is None else fault.meant
            ended = repetition.of_status(meant, statuses=policy.statuses, timed=asked is not None)
            word = repetition.said(headers, _verdict(fault))
        case failure:
            ended, word = repetition.of_failure(failure), Said.NOTHING
    twice = repetition.twice(method, methods=policy.methods, keyed=keyed)
    cell = repetition.may_repeat(ended, word, twice)
    if isinstance(cell, Leave):
        return Stop(reason=cell.reason)
    if attempt >= policy.attempts:
        return Stop(reason=Reason.ATTEMPTS_USED)
    if not replayable:
        return Stop(reason=Reason.BODY_NOT_REPLAYABLE)
    if elsewhere and ended is Ended.UNREACHED:
        after = 0.0
    elif asked is not None and (limited or not elsewhere):
        if asked > policy.max_retry_after:
            return Stop(reason=Reason.RETRY_AFTER_TOO_LONG)
        after = spread(asked, chance)
    else:
        after = backoff(
            initial=policy.initial,
            factor=policy.factor,
            most=policy.max_wait,
            attempt=attempt,
            chance=chance,
        )
    if after >= remaining:
        return Stop(reason=Reason.NO_TIME_LEFT)
    return Again(after=after, reason=cell.reason)
