"""What is measured? One workload a row: who is asked for what, and how it is known that it was that.

Every span is checked at the origin: what is to be a hit must not have reached it, what is to be passed on
must have, with the credential, without which it refuses. Before it and after it answers are read whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tests.benchmarks.field import Field
from tests.benchmarks.figures import CLIENT, CPU, P50, P99, RATE, RSS
from tests.benchmarks.loads import Load, fill, get, wrk
from tests.benchmarks.origins import (
    BODY,
    CACHED,
    FAILING,
    FLAKY,
    FRESH,
    FRESH_LARGE,
    KEYS,
    LARGE,
    POST,
    POSTED,
    WAITING,
)
from tests.benchmarks.peers import ENVOY, LEEWARD, LOGGED, MANY, NGINX, VARNISH, Peer
from tests.benchmarks.processes import NotMeasurableError, cpu, resident

ALL = (LEEWARD, NGINX, VARNISH, ENVOY)
Workload = Callable[[Field, str], None]
_LONGEST = 120.0  # seconds
_STRAY = 0.001  # of hits may reach the origin: what was evicted or let in by a race


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """As many requests as go in a time: all `hits`, or all passed on, where `failures` may be allowed."""

    path: str
    hits: bool
    body: str = BODY
    script: str | None = None
    words: Callable[[Field], Sequence[str]] = lambda _: ()
    before: Callable[[Field], Sequence[str]] = lambda _: ()  # paths that are asked for once
    warm: Callable[[Field], int] = lambda _: 1  # requests, at least, before any is measured
    posted: str | None = None
    failures: bool = False
    connections: Callable[[Field], int] = lambda field: field.plan.connections
    peers: tuple[str, ...] = ALL
    guests: bool = False  # are asked too

    def __call__(self, field: Field, name: str) -> None:
        peers = self._ready(field, name)
        for number in range(field.plan.rounds):
            for peer in peers if number % 2 == 0 else reversed(peers):
                if (name, peer.name) in field.figures.refused:
                    continue
                try:
                    field.figures.add(name, peer.name, self._round(field, peer))
                    self._check(field, peer)
                except NotMeasurableError as problem:
                    field.figures.refused[name, peer.name] = str(problem)

    def _ready(self, field: Field, name: str) -> list[Peer]:
        """Those who do what is to be measured, warm."""
        ready = []
        for one in field.present((*self.peers, *(field.guests if self.guests else ()))):
            try:
                peer = field.peer(one)
                fill(peer.port, [peer.under + path for path in self.before(field)])
                self._check(field, peer)
                asked = 0
                while asked < self.warm(field):
                    asked += self._load(field, peer, min(1.0, field.plan.seconds)).requests
            except NotMeasurableError as problem:
                field.figures.refused[name, one] = str(problem)
            else:
                ready.append(peer)
        return ready

    def _check(self, field: Field, peer: Peer) -> None:
        path = peer.under + (self.before(field) or [self.path])[0]
        body = None if self.posted is None else self.posted.encode()
        if self.hits:
            get(peer.port, path)
        came = field.origins.settled()
        answers = [get(peer.port, path, body) for _ in range(3)]
        came = field.origins.requests() - came
        if not self.failures and any(answer != (200, self.body.encode()) for answer in answers):
            sizes = [(status, len(got)) for status, got in answers]
            raise NotMeasurableError(f"answered {sizes}, not 200 with {len(self.body)} bytes")
        if body is not None and get(peer.port, f"{peer.under}{WAITING}echo", body) != (200, body):
            raise NotMeasurableError("changed the body on its way to the origin")
        if came != 0 if self.hits else came < len(answers):
            raise NotMeasurableError(f"of {len(answers)} requests {came} reached the origin")

    def _load(self, field: Field, peer: Peer, seconds: float) -> Load:
        """At least so long; longer where nobody was answered so soon, which has no percentiles."""
        url, words = f"http://127.0.0.1:{peer.port}{peer.under}{self.path}", self.words(field)
        while seconds < _LONGEST:
            load = wrk(url, field.cores.rest, seconds, self.connections(field), self.script, words)
            if load.requests:
                return load
            seconds *= 4
        raise NotMeasurableError(f"answered nobody in {seconds / 4:g} s")

    def _round(self, field: Field, peer: Peer) -> Mapping[str, float]:
        field.rest()
        came, used = field.origins.settled(), cpu(peer.pid)
        load = self._load(field, peer, field.plan.seconds)
        used, came = cpu(peer.pid) - used, field.origins.requests() - came
        self._judge(load, came)
        measured = {RATE: load.rate, P50: load.p50, P99: load.p99, CPU: used / load.requests * 1e6}
        measured[RSS] = resident(peer.pid)
        measured[CLIENT] = load.spent / load.requests * 1e6
        if self.failures:
            measured["failed %"] = load.failed / load.requests * 100
            measured["sent upstream for each"] = came / load.requests
        return measured

    def _judge(self, load: Load, came: int) -> None:
        if load.failed and not self.failures:
            raise NotMeasurableError(f"{load.failed} of {load.requests} answers were no success")
        if self.hits and came > load.requests * _STRAY:
            raise NotMeasurableError(f"{came} of {load.requests} hits reached the origin")
        if not self.hits and came < load.requests:
            raise NotMeasurableError(f"only {came} of {load.requests} requests reached the origin")


def _keys(field: Field) -> list[str]:
    return [f"{KEYS}{number}" for number in range(field.plan.keys)]


HITS = Rate(path=CACHED, hits=True)
PASS = Rate(path=FRESH, hits=False, guests=True)

RATES: dict[str, Rate] = {
    "hits": HITS,
    "hits-traceparent": Rate(path=CACHED, hits=True, script="traceparent"),
    "hits-keys": Rate(
        path=KEYS,
        hits=True,
        script="keys",
        words=lambda field: (KEYS, str(field.plan.keys)),
        before=_keys,
        warm=lambda field: 4 * field.plan.keys,  # by this client, whose bytes are what is remembered
    ),
    "hits-active": Rate(path=CACHED, hits=True, connections=lambda field: field.plan.active),
    "pass-through": PASS,
    # What Leeward has not passed on before goes its long way: this is what it costs.
    "pass-through-urls": Rate(
        path=f"{FRESH}/", hits=False, script="keys", words=lambda _: (f"{FRESH}/", str(10**9))
    ),
    "pass-through-64k": Rate(path=FRESH_LARGE, hits=False, body=LARGE),
    "post": Rate(path=POST, hits=False, posted=POSTED, script="post", words=lambda _: (str(len(POSTED)),)),
    "retries": Rate(
        path=FLAKY, hits=False, failures=True, connections=lambda field: 8 * field.plan.connections
    ),
    "hits-log": Rate(path=CACHED, hits=True, peers=(LEEWARD, LOGGED)),
    "pass-through-log": Rate(path=FRESH, hits=False, peers=(LEEWARD, LOGGED)),
    "hits-upstreams": Rate(path=CACHED, hits=True, peers=(LEEWARD, MANY)),
    "pass-through-upstreams": Rate(path=FRESH, hits=False, peers=(LEEWARD, MANY)),
}

TITLES: dict[str, str] = {
    "hits": "identical hits, 700 B",
    "hits-traceparent": "hits, a fresh `traceparent` each",
    "hits-keys": "hits over {keys:,} keys",
    "hits-active": "hits, {active:,} connections active",
    "pass-through": "pass-through, 700 B",
    "pass-through-urls": "pass-through, 700 B, another URL each",
    "pass-through-64k": "pass-through, 64 KiB",
    "post": "pass-through, POST with 1 KiB",
    "retries": f"retries, {FAILING} % of answers 503",
    "hits-log": "hits, JSON access log off and on",
    "pass-through-log": "pass-through, JSON access log off and on",
    "hits-upstreams": "hits, 1 and 1,000 upstreams configured",
    "pass-through-upstreams": "pass-through, 1 and 1,000 upstreams configured",
    "entries": "hits over 1,000 keys, 1,000 and {entries:,} stored",
    "entries-all": "hits over all of {entries:,} keys",
    "streaming": "streaming 200 MiB",
    "idle": "hits beside {idle:,} idle connections",
    "stampede": "stampede of {callers:,} on one cold key",
    "memory": "{kilobytes:,} entries of 1 KiB",
    "start": "start, then idle",
}
