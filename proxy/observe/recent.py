"""What happened lately? The last requests in short, for the dashboard and /api/v1/requests."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, NamedTuple

from proxy.core.exchange import Attempt, Exchange, Held, Pass, Repeat

KEPT = 1000
_MOST_PATH = 512  # characters


class Summary(NamedTuple):
    """One request: neither headers nor query. `at` is wall-clock seconds, `seconds` the duration."""

    at: float
    id: str
    method: str
    path: str
    upstream: str
    status: int
    cache: str
    reason: str | None
    attempts: int
    seconds: float
    bytes_out: int
    error: str | None
    cut: bool
    tries: tuple[Attempt, ...] = ()
    held: tuple[Held, ...] = ()


class Recent:
    """A core.ports.Observer that remembers the last `kept` closed exchanges. `mask` hides known secrets."""

    def __init__(self, kept: int = KEPT, mask: Callable[[str], str] = str) -> None:
        # What was repeated stays as it came, until somebody reads it.
        self._ring: deque[Summary | Repeat | Pass] = deque(maxlen=kept)
        self.mask = mask

    def opened(self, exchange: Exchange) -> None:
        """Only what is over is remembered."""

    def attempted(self, exchange: Exchange, attempt: Attempt) -> None:
        """Attempts are counted when their request is over."""

    def closed(self, exchange: Exchange) -> None:
        self._ring.append(_summary(exchange, exchange.id, exchange.at, exchange.seconds))

    def repeated(self, hits: Sequence[Repeat]) -> None:
        self._ring.extend(hits)

    def passed(self, passes: Sequence[Pass]) -> None:
        self._ring.extend(passes)

    def summaries(self) -> tuple[Summary, ...]:
        """All that are remembered, oldest first."""
        return tuple(map(_read, self._ring))

    def latest(self, limit: int = 100) -> list[dict[str, Any]]:
        """Newest first, secrets masked, as /api/v1/requests answers them; times in milliseconds."""
        return [self._told(_read(one)) for one in islice(reversed(self._ring), max(0, limit))]

    def _told(self, summary: Summary) -> dict[str, Any]:
        # Masked when read: that is rare, and the secrets of now are known then.
        told = summary._asdict()
        told["path"] = self.mask(summary.path)[:_MOST_PATH]
        told["id"] = self.mask(summary.id)
        told["tries"] = [_tried(attempt) for attempt in summary.tries]
        told["held"] = [
            {"reason": one.reason.value, "ms": round(one.seconds * 1000, 3)} for one in summary.held
        ]
        told["ms"] = round(told.pop("seconds") * 1000, 3)
        return told


def _telling(attempts: Sequence[Attempt]) -> bool:
    if len(attempts) == 1:
        return attempts[0].reason is not None
    return bool(attempts)


def _tried(attempt: Attempt) -> dict[str, Any]:
    return {
        "endpoint": attempt.endpoint,
        "outcome": attempt.outcome,
        "status": attempt.status,
        "ms": round(attempt.seconds * 1000, 3),
        "reason": None if attempt.reason is None else attempt.reason.value,
        "wait_ms": None if attempt.wait is None else round(attempt.wait * 1000, 3),
    }


def _read(one: Summary | Repeat | Pass) -> Summary:
    if isinstance(one, Summary):
        return one
    exchange, request_id, at, seconds, *more = one
    summary = _summary(exchange, request_id.decode(), at, seconds)
    return summary if not more else summary._replace(bytes_out=int(more[1]))


def _summary(exchange: Exchange, request_id: str, at: float, seconds: float) -> Summary:
    return Summary(
        at,
        request_id[:128],
        exchange.method[:32],
        exchange.target.partition("?")[0],
        exchange.route,
        exchange.status,
        exchange.verdict.value,
        None if exchange.reason is None else exchange.reason.value,
        len(exchange.attempts),
        seconds,
        exchange.bytes_out,
        exchange.code or (exchange.error.code if exchange.error is not None else None),
        exchange.cut,
        # What went as it should is told by the rest of the row.
        tuple(exchange.attempts) if _telling(exchange.attempts) else (),
        tuple(exchange.held),
    )
