"""May this attempt be followed by another, and after how long?

The law: what may have had an effect is not sent twice. A request is sent again where it surely was not
processed (nothing was sent, 429, 503 with a time to come back), where its method may be repeated, where
it carries a key by which the upstream recognises it, or where the upstream itself says so; and only if
its body can be sent again, attempts are left and the wait fits into what is left of the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from proxy.core.failure import (
    APIError,
    ConnectError,
    DeadlineExceededError,
    UpstreamProtocolError,
    UpstreamTimeoutError,
)
from proxy.core.message import Headers
from proxy.core.reason import Reason
from proxy.core.resilience.budget import BudgetPolicy
from proxy.core.resilience.wait import backoff, spread, told


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """`attempts` counts the first one too; waits in seconds, `max_replay_body` in bytes.

    `methods` may be repeated although they may have been processed. `idempotency_key` names the field
    by which the upstream recognises a repeated request.
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
    budget: BudgetPolicy | None = BudgetPolicy()


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Once more, after so many seconds."""

    after: float
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """The caller gets what this attempt brought."""

    reason: Reason


class _Verdict(StrEnum):
    """What an upstream that knows our kind says about repeating (Stripe, OpenAI, Anthropic)."""

    SILENT = ""
    YES = "true"
    NO = "false"


_FIRST_FAILURE = 400
_TOO_MANY = 429
_UNAVAILABLE = 503
_TOO_EARLY = 425  # RFC 8470 §5.2: refused before it was processed

_OF_FAILURE: dict[type[APIError], Reason] = {
    ConnectError: Reason.CONNECT,
    UpstreamTimeoutError: Reason.TIMEOUT,
    UpstreamProtocolError: Reason.PROTOCOL,
}


def should_retry(headers: Headers) -> bool | None:
    """The upstream's own word on sending the request again; None where it gives none."""
    match _said(headers):
        case _Verdict.SILENT:
            return None
        case verdict:
            return verdict is _Verdict.YES


def _said(headers: Headers) -> _Verdict:
    text = headers.get("x-should-retry") or headers.get("stripe-should-retry") or ""
    try:
        return _Verdict(text.strip().lower())
    except ValueError:
        return _Verdict.SILENT


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
) -> Again | Stop:
    """What follows attempt number `attempt` (from 1) that ended in a failure or a status.

    `replayable`: the body can be sent from its first byte. `keyed`: the request carries the field that
    `policy.idempotency_key` names. `remaining`: seconds left of the total. `chance`: in [0, 1).
    """
    asked = told(headers, wall)
    match cause:
        case int() as status:
            why = _of_status(policy, status, method=method, headers=headers, keyed=keyed, told=asked)
        case failure:
            why = _of_failure(policy, failure, method=method, keyed=keyed)
    if isinstance(why, Stop):
        return why
    if attempt >= policy.attempts:
        return Stop(reason=Reason.ATTEMPTS_USED)
    if not replayable:
        return Stop(reason=Reason.BODY_NOT_REPLAYABLE)
    if asked is not None:
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
    return Again(after=after, reason=why)


def _of_status(
    policy: RetryPolicy, status: int, *, method: str, headers: Headers, keyed: bool, told: float | None
) -> Reason | Stop:
    if status < _FIRST_FAILURE:
        return Stop(reason=Reason.FINAL)
    match _said(headers):
        case _Verdict.NO:
            return Stop(reason=Reason.SHOULD_NOT_RETRY)
        case _Verdict.YES:
            return Reason.SHOULD_RETRY
        case _Verdict.SILENT:
            pass
    if status not in policy.statuses:
        return Stop(reason=Reason.FINAL)
    unprocessed = status in (_TOO_MANY, _TOO_EARLY) or (status == _UNAVAILABLE and told is not None)
    if not (unprocessed or keyed or method in policy.methods):
        return Stop(reason=Reason.MAY_HAVE_HAPPENED)
    return Reason.STATUS if told is None else Reason.RETRY_AFTER


def _of_failure(policy: RetryPolicy, failure: APIError, *, method: str, keyed: bool) -> Reason | Stop:
    if isinstance(failure, DeadlineExceededError):
        return Stop(reason=Reason.NO_TIME_LEFT)
    reason = _OF_FAILURE.get(type(failure))
    if reason is None:
        return Stop(reason=Reason.FINAL)
    if failure.sent and not (keyed or method in policy.methods):
        return Stop(reason=Reason.MAY_HAVE_HAPPENED)
    return reason
