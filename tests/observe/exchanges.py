"""Exchanges for observers' tests, as a request through the whole proxy would leave them."""

from __future__ import annotations

from proxy.core.exchange import Attempt, Exchange, Verdict
from proxy.core.failure import APIError
from proxy.core.message import Headers
from proxy.core.ports import Observer
from proxy.core.reason import Reason


def exchange(
    *,
    id: str = "01JD",  # noqa: A002 - the record's own word
    method: str = "GET",
    target: str = "/github/users",
    route: str = "github",
    verdict: Verdict = Verdict.MISS,
    reason: Reason | None = Reason.URI_MISS,
    status: int = 200,
    seconds: float = 0.01,
    outcomes: tuple[str, ...] = (),
    error: APIError | None = None,
    code: str | None = None,
    headers: Headers | None = None,
) -> Exchange:
    made = Exchange(
        id=id,
        method=method,
        target=target,
        started=100.0,
        at=1_700_000_000.0,
        route=route,
        verdict=verdict,
        reason=reason,
        status=status,
        error=error,
        code=code,
        bytes_in=3,
        bytes_out=5,
        first_byte=seconds / 2,
        seconds=seconds,
        headers_in=headers,
        headers_out=headers,
    )
    for number, outcome in enumerate(outcomes):
        again = number < len(outcomes) - 1
        made.attempts.append(
            Attempt(
                started=100.0,
                seconds=0.2,
                status=int(outcome[0]) * 100 if outcome[0].isdigit() else None,
                outcome=outcome,
                reason=Reason.STATUS if again else None,
                wait=0.25 if again else None,
            )
        )
    return made


def observed(observer: Observer, made: Exchange) -> None:
    """Shows an observer an exchange in the order in which it happens."""
    attempts = made.attempts
    made.attempts = []
    observer.opened(made)
    for attempt in attempts:
        made.attempts.append(attempt)
        observer.attempted(made, attempt)
    observer.closed(made)
