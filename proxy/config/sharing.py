"""What of the settings holds for all workers together, and how is it divided among them?

The law: each gets an equal part, since the system spreads connections evenly, but at least one place; times
and ratios stay as they are, and so does what a breaker needs to see.
"""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel

from proxy.config.routes import RetrySettings
from proxy.config.settings import Settings

M = TypeVar("M", bound=BaseModel)


def divided(settings: Settings, workers: int) -> Settings:
    """What each of so many workers goes by."""
    if workers == 1:
        return settings
    upstreams = {}
    for name, upstream in settings.upstreams.items():
        changed: dict[str, Any] = {"retry": _retry(upstream.retry, workers)}
        changed["rules"] = [
            # What a rule does not say itself, it takes from its upstream.
            rule
            if rule.retry is None or "budget" not in rule.retry.model_fields_set
            else _with(rule, retry=_retry(rule.retry, workers))
            for rule in upstream.rules
        ]
        if upstream.rate_limit is not None:
            # As many in a longer time is the same rate, where a part of one request is none.
            limit = upstream.rate_limit
            burst = max(1, (limit.burst or limit.requests) // workers)
            changed["rate_limit"] = _with(limit, per=limit.per * workers, burst=burst)
        if upstream.concurrency is not None:
            most = upstream.concurrency
            queue = most.max_queue and max(1, most.max_queue // workers)
            changed["concurrency"] = _with(most, max=max(1, most.max // workers), max_queue=queue)
        upstreams[name] = _with(upstream, **changed)
    server = settings.server
    memory, disk = server.max_replay_memory // workers, server.max_replay_disk // workers
    server = _with(server, max_replay_memory=memory, max_replay_disk=disk)
    return _with(settings, upstreams=upstreams, server=server)


def _retry(said: RetrySettings, workers: int) -> RetrySettings:
    budget = said.budget
    if budget is None:
        return said
    return _with(said, budget=_with(budget, min_per_second=budget.min_per_second / workers))


def _with(model: M, **changed: Any) -> M:
    return model.model_copy(update=changed)
