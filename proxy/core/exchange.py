"""What happened to one request? One record, written along the way, read by every observer."""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING

from proxy.core.failure import APIError
from proxy.core.message import Headers
from proxy.core.reason import Reason
from proxy.core.tracing import Trace
from proxy.core.value import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.core.ports import Begun, Lasting, Passing


class Verdict(StrEnum):
    """What the cache did, in the words of the metrics' `cache` label."""

    HIT = "hit"
    MISS = "miss"
    STALE = "stale"
    REVALIDATED = "revalidated"
    COALESCED = "coalesced"
    BYPASS = "bypass"

    # An enum's own is a call of Python for each look into a table, and there are several a request.
    __hash__ = str.__hash__


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One request sent upstream, or tried to be. Times in seconds, `started` on the monotonic clock.

    `outcome` is the metrics' word: a status class (`2xx` … `5xx`), `timeout`, `connect`, `protocol`, or
    `cancelled` where another beside it was quicker; "" while it is under way. `reason` says why it was or
    was not repeated, `wait` for how long was waited then. `endpoint` is the base URL that it went to. `span`
    is its place in the exchange's trace, and `url` where it went, without query; both only where one is told.
    """

    started: float
    seconds: float = 0.0
    status: int | None = None
    outcome: str = ""
    reason: Reason | None = None
    wait: float | None = None
    span: int = 0
    url: str = ""
    endpoint: str = ""

    @property
    def failed(self) -> bool:
        """Whether its endpoint failed, or has not answered yet."""
        return self.outcome not in _ALIVE


_ALIVE = frozenset({"1xx", "2xx", "3xx", "4xx"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A wait before an attempt: for so many seconds, and why."""

    reason: Reason
    seconds: float


@dataclass(slots=True, kw_only=True)
class Exchange:
    """The record of one request. `started` is monotonic, `at` is wall-clock; durations in seconds.

    `target` is the caller's, without its query, which may hold a secret. `headers_in` and
    `headers_out` are only for the debug log, which redacts them. `priority` is what the caller said of
    itself. `deadline` is the monotonic second at which its caller's time, or the route's, is over, None
    where nobody waits. `patient` is False where something stored may stand in, so that waiting for the
    upstream's leave is not worth it.
    """

    id: str
    method: str
    target: str
    started: float
    at: float
    route: str = ""
    verdict: Verdict = Verdict.BYPASS
    reason: Reason | None = None
    attempts: list[Attempt] = field(default_factory=list)
    trace: Trace | None = None  # where the request stands in a trace that is told
    idempotency_key: str | None = None  # with which it went upstream, made by us or the caller's own
    held: list[Held] = field(default_factory=list)
    priority: str | None = None
    deadline: float | None = None
    patient: bool = True
    unkept: Reason | None = None  # why its body could not be sent again
    status: int = 0
    error: APIError | None = None
    code: str | None = None  # the failure's code, also where the upstream's answer was passed on
    cut: bool = False  # the answer's body broke off after its head was sent
    bytes_in: int = 0
    bytes_out: int = 0
    first_byte: float | None = None  # seconds from `started` to the answer's head
    seconds: float = 0.0
    headers_in: Headers | None = None
    headers_out: Headers | None = None
    body_in: bytes = b""  # the first bytes, kept only where log.bodies asks for it
    body_out: bytes = b""
    lasting: Lasting | None = None  # how the same request may be answered again
    passing: Callable[[], Passing | None] | None = None  # finds out how the same may be passed on again
    begun: Begun | None = None  # what went out for it before it was decided about


# The exchange that was repeated, and of the new one: its id (ASCII), when it began (wall-clock), its seconds.
Repeat = tuple[Exchange, bytes, float, float]
# The same of one that was passed on again, then the seconds to the head of its answer, and its body's bytes.
Pass = tuple[Exchange, bytes, float, float, float, int]
