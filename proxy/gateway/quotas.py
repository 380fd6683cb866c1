"""What have upstreams said about their quotas, and for whom does one of their answers speak?

Figures are kept by scope: upstream, credential, bucket. Which bucket a request belongs to shows only in
its answer; until then it is taken for the one that the last answer under the same first path segment
named.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from hashlib import blake2b
from math import inf
from typing import Any

from proxy.core.dialect import Meter
from proxy.core.message import Headers, Request
from proxy.core.ports import Clock
from proxy.core.resilience import quota
from proxy.core.resilience.passage import Wait
from proxy.core.resilience.quota import DEFAULT, Learned, PacePolicy
from proxy.core.routing import Route
from proxy.gateway.gates import Scope

# A caller's own credential, where none is injected.
_CREDENTIALS = ("authorization", "x-api-key", "api-key", "x-auth-token", "private-token")
_MOST_REMEMBERED = 1024
_MOST_SEGMENT = 64


class Quotas:
    """`secret` is 16 to 64 random bytes: callers' credentials are told apart by keyed digests."""

    def __init__(self, *, clock: Clock, secret: bytes) -> None:
        self._clock = clock
        self._secret = secret
        self._buckets: dict[tuple[str, str], str] = {}
        self.learned: dict[Scope, dict[str, Learned]] = {}

    def scope(self, request: Request, route: Route) -> Scope:
        """What an answer to this request will most likely speak for."""
        injector = route.injector
        own = b"" if injector.replaced else self._own(request.headers)
        who: Hashable = (injector.identity(), own)
        bucket = DEFAULT
        if self._buckets:
            bucket = self._buckets.get((route.name, _segment(request.path)), DEFAULT)
        return Scope(route.name, who, bucket)

    def learn(
        self, scope: Scope, path: str, headers: Headers, *, limited: bool, meters: tuple[Meter, ...] = ()
    ) -> Scope:
        """Remembers an answer's figures; the scope that it speaks for. `meters` are its API's fields."""
        readings = quota.readings(headers, self._clock.wall(), meters)
        if not readings:
            return scope
        named = quota.bucket_of(headers)
        if named != scope.bucket:
            _make_room(self._buckets)
            self._buckets[scope.upstream, _segment(path)] = named
            scope = scope._replace(bucket=named)
        if limited:
            # How long to leave it alone is the gate's matter; the figures that led here are over.
            self.learned.pop(scope, None)
            return scope
        known = self.learned.get(scope)
        if known is None:
            _make_room(self.learned)
            known = self.learned[scope] = {}
        now = self._clock.now()
        for reading in readings:
            known[reading.bucket] = quota.learn(known.get(reading.bucket), reading, now)
        return scope

    def knows(self, scope: Scope) -> bool:
        """Whether anything is remembered for it."""
        return bool(self.learned) and scope in self.learned

    def pace(self, policy: PacePolicy, scope: Scope, *, batch: bool, within: float = inf) -> float:
        """Seconds to wait before the next call; 0.0 mostly.

        It is counted as gone until `ended`; but one that cannot wait so long, `within` seconds, does not go,
        and nothing is changed.
        """
        known = self.learned.get(scope)
        if not known:
            return 0.0
        now, longest, after = self._clock.now(), 0.0, {}
        for bucket, learned in known.items():
            if quota.counts_requests(bucket):
                passage, after[bucket] = quota.pace(policy, learned, now, batch=batch)
                longest = max(longest, passage.seconds if isinstance(passage, Wait) else 0.0)
        if not longest or longest < within:
            known.update(after)
        return longest

    def ended(self, scope: Scope) -> None:
        """A call that `pace` has counted is answered, or does not go after all."""
        known = self.learned.get(scope, {})
        known.update({b: quota.ended(learned) for b, learned in known.items() if quota.counts_requests(b)})

    def remaining(self) -> Mapping[tuple[str, str], float]:
        """By upstream and bucket: what is left, of the credential that has least."""
        least: dict[tuple[str, str], float] = {}
        for scope, known in self.learned.items():
            for bucket, learned in known.items():
                key = (scope.upstream, bucket)
                least[key] = min(least.get(key, learned.remaining), learned.remaining)
        return least

    def _own(self, headers: Headers) -> bytes:
        names = headers.names()
        values = [headers.joined(name) or "" for name in _CREDENTIALS if name in names]
        if not values:
            return b""
        return blake2b("\n".join(values).encode("latin-1"), digest_size=16, key=self._secret).digest()


def _segment(path: str) -> str:
    """Upstreams divide their quotas by the path's first segment more often than by anything else."""
    return path[1 : _MOST_SEGMENT + 1].partition("/")[0]


def _make_room(table: dict[Any, Any]) -> None:
    """Credentials and paths come from callers: what came first goes."""
    while len(table) >= _MOST_REMEMBERED:
        del table[next(iter(table))]
