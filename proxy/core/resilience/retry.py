"""May this attempt be followed by another, and after how long?"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """`attempts` counts the first one too; waits in seconds, `max_replay_body` in bytes.

    `methods` may be repeated although they may have been processed.
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
