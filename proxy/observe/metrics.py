"""What is counted and timed, under which names? With `resending`, all that declares metrics.

The law: a label is a route's name or a word of a closed list, never a caller's string. At most
SERIES_A_ROUTE series come from one route: what an upstream's strange statuses would add folds into
`other`. Counting one request costs two table look-ups; names, labels and sums are made when scraped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from proxy.core import failure
from proxy.core.exchange import Attempt, Exchange, Pass, Repeat, Verdict
from proxy.core.value import dataclass
from proxy.observe.families import OTHER, Family, Histogram, Times, counter, folded, gauge, histogram
from proxy.observe.repeats import passes_of_each, times_of_each
from proxy.observe.resending import Resending

SERIES_A_ROUTE = 200

NO_ROUTE = "none"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
OUTCOMES = frozenset({"1xx", "2xx", "3xx", "4xx", "5xx", "timeout", "connect", "protocol", "cancelled"})
CODES = frozenset(
    thing.code
    for thing in vars(failure).values()
    if isinstance(thing, type) and issubclass(thing, failure.APIError)
)
# An answer from the store or from somebody else's fetch is a hit, checked with the origin or not;
# a bypass never asked the cache and is neither.
HITS = frozenset({Verdict.HIT, Verdict.STALE, Verdict.REVALIDATED, Verdict.COALESCED})

_MOST_COMBINATIONS = 18  # of method, code and verdict, a route
_MOST_RETRIES = 8  # reasons of retries, a route; there are no more that lead to one
_MOST_REASONS = 12  # of evictions
_STATUSES = range(100, 600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What a route did since the start, for the dashboard."""

    requests: int = 0
    hits: int = 0
    misses: int = 0
    attempts: int = 0
    retries: int = 0
    errors: int = 0
    inflight: int = 0


class _Cell:
    """One combination of labels of a request: its count, and the times of its verdict."""

    __slots__ = ("count", "labels", "times")

    def __init__(self, labels: tuple[str, str, str, str], times: Times) -> None:
        self.labels = labels
        self.times = times
        self.count = 0


class Metrics:
    """A core.ports.Observer."""

    def __init__(self, version: str, upstreams: Iterable[str] = ()) -> None:
        self._version = version
        self._upstreams: dict[str, None] = {}
        self.expect(upstreams)
        # By what the exchange says; several statuses of a full route share one cell.
        self._cells: dict[tuple[str, str, int, str], _Cell] = {}
        self._by_labels: dict[tuple[str, str, str, str], _Cell] = {}
        self._combinations: Counter[str] = Counter()
        self._durations: dict[tuple[str, str], Times] = {}
        self._outcomes: Counter[tuple[str, str]] = Counter()
        self._upstream_times: dict[str, Times] = {}
        self._retries: Counter[tuple[str, str]] = Counter()
        self._errors: Counter[tuple[str, str]] = Counter()
        self._evictions: Counter[tuple[str]] = Counter()
        self._failures: Counter[tuple[str, str]] = Counter()
        self._restarts: Counter[tuple[()]] = Counter({(): 0})
        self._reloads: Counter[tuple[str]] = Counter({("success",): 0, ("failure",): 0})
        self._open: dict[int, Exchange] = {}
        self._passing: Callable[[], Mapping[str, int]] = dict
        self._stores: dict[str, Callable[[], tuple[int, int]]] = {}
        self._budgets: Callable[[], Mapping[str, float]] = dict
        self._circuits: Callable[[], Mapping[str, int]] = dict
        self._quotas: Callable[[], Mapping[tuple[str, str], float]] = dict
        self._endpoints: Callable[[], Mapping[tuple[str, str], bool]] = dict
        self._held: dict[tuple[str, str], float] = {}
        self._credentials: Callable[[], Mapping[str, float]] = dict
        self.resending = Resending()

    def expect(self, upstreams: Iterable[str]) -> None:
        """These are shown from now on, with zeros."""
        self._upstreams.update(dict.fromkeys(upstreams))

    # What happens

    def opened(self, exchange: Exchange) -> None:
        self._open[id(exchange)] = exchange

    def attempted(self, exchange: Exchange, attempt: Attempt) -> None:
        name = exchange.route or NO_ROUTE
        outcome = attempt.outcome if attempt.outcome in OUTCOMES else OTHER
        self._outcomes[name, outcome] += 1
        times = self._upstream_times.get(name)
        if times is None:
            times = self._upstream_times[name] = Times()
        times.add(attempt.seconds)
        self.resending.attempted(name, attempt)
        before = exchange.attempts
        if before and before[-1] is attempt:
            before = before[:-1]
        if before:
            # That there was one before makes this a retry; that one's reason says why.
            self._count(self._retries, name, before[-1].reason or OTHER, _MOST_RETRIES)

    def closed(self, exchange: Exchange) -> None:
        self._open.pop(id(exchange), None)
        code = exchange.code or (exchange.error.code if exchange.error is not None else None)
        if code is not None:
            self._errors[exchange.route or NO_ROUTE, code if code in CODES else OTHER] += 1
        for held in exchange.held:
            key = (exchange.route or NO_ROUTE, held.reason.value)
            self._held[key] = self._held.get(key, 0.0) + held.seconds
        self.resending.closed(exchange)
        self.answered(exchange.route, exchange.method, exchange.status, exchange.verdict, exchange.seconds)

    def answered(self, upstream: str, method: str, status: int, verdict: Verdict, *seconds: float) -> None:
        """Counts answers of one kind, each with its time."""
        cell = self._cells.get((upstream, method, status, verdict))
        if cell is None:
            cell = self._cell(upstream or NO_ROUTE, method, status, verdict)
            # Only what was seen often enough to matter may grow this table: it is bounded by folding.
            if method in METHODS and status in _STATUSES:
                self._cells[upstream, method, status, verdict] = cell
        cell.count += len(seconds)
        cell.times.add(*seconds)

    def repeated(self, hits: Sequence[Repeat]) -> None:
        for kind, seconds in times_of_each(hits):
            self.answered(*kind, *seconds)

    def passed(self, passes: Sequence[Pass]) -> None:
        for exchange, seconds, firsts in passes_of_each(passes):
            self._outcomes[name := exchange.route, exchange.attempts[0].outcome] += len(firsts)
            times = self._upstream_times.get(name)
            if times is None:
                times = self._upstream_times[name] = Times()
            times.add(*firsts)
            self.answered(name, exchange.method, exchange.status, exchange.verdict, *seconds)

    def watch_passing(self, under_way: Callable[[], Mapping[str, int]]) -> None:
        """`under_way` answers by upstream what is being passed on without a record of its own."""
        self._passing = under_way

    def evicted(self, reason: str, count: int = 1) -> None:
        """A store let entries go; `reason` is a word of a short list."""
        known = (reason,) in self._evictions or len(self._evictions) < _MOST_REASONS
        self._evictions[reason if known else OTHER,] += count

    def reloaded(self, outcome: str) -> None:
        """The configuration was read again: `success`, or `failure` and nothing has changed."""
        self._reloads[outcome,] += 1

    def store_failed(self, store: str, reason: str) -> None:
        """A call to a store failed, and was a miss; both are words of short lists."""
        self._count(self._failures, store, reason, _MOST_REASONS)

    def restarted(self) -> None:
        """A worker had ended without being asked, and another one takes its place."""
        self._restarts[()] += 1

    def watch_store(self, name: str, usage: Callable[[], tuple[int, int]]) -> None:
        """`usage` answers (entries, bytes) whenever somebody scrapes."""
        self._stores[name] = usage

    def watch_budgets(self, remaining: Callable[[], Mapping[str, float]]) -> None:
        """`remaining` answers the retries that each upstream's budget would pay for, whenever asked."""
        self._budgets = remaining

    def watch_circuits(self, states: Callable[[], Mapping[str, int]]) -> None:
        """`states` answers 0 closed, 1 half open, 2 open by upstream."""
        self._circuits = states

    def watch_endpoints(self, up: Callable[[], Mapping[tuple[str, str], bool]]) -> None:
        """`up` answers by upstream and authority."""
        self._endpoints = up

    def watch_quotas(self, remaining: Callable[[], Mapping[tuple[str, str], float]]) -> None:
        """`remaining` answers by upstream and bucket; a bucket is the upstream's word."""
        self._quotas = remaining

    def watch_credentials(self, ends: Callable[[], Mapping[str, float]]) -> None:
        """`ends` answers the seconds that each upstream's credential has left, where it has an end."""
        self._credentials = ends

    def _cell(self, upstream: str, method: str, status: int, verdict: Verdict) -> _Cell:
        code = str(status) if status in _STATUSES else OTHER
        labels = (upstream, method if method in METHODS else OTHER, code, verdict.value)
        known = self._by_labels.get(labels)
        if known is not None:
            return known
        if self._combinations[upstream] < _MOST_COMBINATIONS:
            self._combinations[upstream] += 1
        else:
            labels = (upstream, OTHER, OTHER, verdict.value)
        known = self._by_labels.get(labels)
        if known is None:
            times = self._durations.setdefault((upstream, verdict.value), Times())
            known = self._by_labels[labels] = _Cell(labels, times)
        return known

    @staticmethod
    def _count(counter: Counter[tuple[str, str]], upstream: str, word: str, most: int) -> None:
        key = (upstream, word)
        if key not in counter and sum(1 for name, _ in counter if name == upstream) >= most:
            key = (upstream, OTHER)
        counter[key] += 1

    # What is shown

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """The page and its Content-Type: OpenMetrics where Accept asks for it, else Prometheus text."""
        from proxy.observe.exposition import page  # noqa: PLC0415 - loaded after the start

        return page(self.collect(), accept)

    def totals(self) -> dict[str, Totals]:
        """By route, in the order in which they were configured or came."""
        inflight = self._inflight()
        summed: dict[str, dict[str, int]] = {name: {} for name in (*self._upstreams, *inflight)}

        def add(name: str, what: str, count: int) -> None:
            row = summed.setdefault(name, {})
            row[what] = row.get(what, 0) + count

        for (upstream, _, _, verdict), cell in self._by_labels.items():
            add(upstream, "requests", cell.count)
            if verdict in HITS:
                add(upstream, "hits", cell.count)
            elif verdict == Verdict.MISS:
                add(upstream, "misses", cell.count)
        for what, counted in (
            ("attempts", self._outcomes),
            ("retries", self._retries),
            ("errors", self._errors),
        ):
            for (upstream, _), count in counted.items():
                add(upstream, what, count)
        return {name: Totals(**row, inflight=inflight.get(name, 0)) for name, row in summed.items()}

    def _inflight(self) -> Counter[str]:
        # Counted by looking: the route is not known yet when a request is opened.
        counted = Counter(exchange.route or NO_ROUTE for exchange in self._open.values())
        counted.update(self._passing())
        return counted

    def stores(self) -> dict[str, tuple[int, int]]:
        """(entries, bytes) by store."""
        return {name: usage() for name, usage in self._stores.items()}

    def collect(self) -> Iterator[Family | Histogram]:
        """All that is shown, as it stands now."""
        yield counter(
            "leeward_requests",
            "Requests answered, by route, method, status and what the cache did.",
            ("upstream", "method", "code", "cache"),
            ((cell.labels, cell.count) for cell in self._by_labels.values()),
        )
        yield histogram(
            "leeward_request_duration_seconds",
            "From a request's arrival to the end of its answer.",
            ("upstream", "cache"),
            self._durations.items(),
        )
        yield counter(
            "leeward_upstream_attempts",
            "Requests sent upstream, retries included, by how each ended.",
            ("upstream", "outcome"),
            self._outcomes.items(),
        )
        yield histogram(
            "leeward_upstream_duration_seconds",
            "From an attempt's start to the head of the upstream's answer.",
            ("upstream",),
            (((name,), times) for name, times in self._upstream_times.items()),
        )
        yield counter(
            "leeward_retries",
            "Attempts after the first, by why the one before was not enough.",
            ("upstream", "reason"),
            self._retries.items(),
        )
        yield from self.resending.collect()
        yield gauge(
            "leeward_retry_budget_remaining",
            "Retries that the budget would pay for now.",
            ("upstream",),
            (((name,), remaining) for name, remaining in self._budgets().items()),
        )
        circuits = self._circuits()
        yield gauge(
            "leeward_circuit_state",
            "0 closed, 1 half open, 2 open.",
            ("upstream",),
            (((name,), circuits.get(name, 0)) for name in dict.fromkeys((*self._upstreams, *circuits))),
        )
        yield gauge(
            "leeward_endpoint_up",
            "1 for a base URL that would be asked now, 0 for one that is given a rest or found ill.",
            ("upstream", "endpoint"),
            ((labels, int(well)) for labels, well in self._endpoints().items()),
        )
        yield gauge(
            "leeward_upstream_quota_remaining",
            "What is left of a quota, by the upstream's own figures.",
            ("upstream", "bucket"),
            folded(self._quotas()),
        )
        yield counter(
            "leeward_held_seconds",
            "Time that requests were held back before an attempt, by why.",
            ("upstream", "reason"),
            self._held.items(),
        )
        yield gauge(
            "leeward_credential_expires_seconds",
            "Seconds until the credential in use is of no use; below 0 where it is so already.",
            ("upstream",),
            (((name,), left) for name, left in self._credentials().items()),
        )
        yield counter(
            "leeward_errors",
            "Failures that callers saw, by code.",
            ("upstream", "code"),
            self._errors.items(),
        )
        totals = self.totals()
        yield counter(
            "leeward_cache_hits",
            "Answers from the cache: fresh, stale, revalidated, or shared with a fetch under way.",
            ("upstream",),
            (((name,), row.hits) for name, row in totals.items()),
        )
        yield counter(
            "leeward_cache_misses",
            "Requests that the cache could have answered and had nothing for.",
            ("upstream",),
            (((name,), row.misses) for name, row in totals.items()),
        )
        yield gauge(
            "leeward_inflight_requests",
            "Requests being served now.",
            ("upstream",),
            (((name,), row.inflight) for name, row in totals.items()),
        )
        usage = self.stores()
        yield gauge(
            "leeward_cache_entries",
            "Entries in the store.",
            ("store",),
            (((name,), entries) for name, (entries, _) in usage.items()),
        )
        yield gauge(
            "leeward_cache_bytes",
            "Bytes in the store, bookkeeping included.",
            ("store",),
            (((name,), size) for name, (_, size) in usage.items()),
        )
        yield counter(
            "leeward_cache_evictions",
            "Entries that the store let go, by why.",
            ("reason",),
            self._evictions.items(),
        )
        yield counter(
            "leeward_cache_failures",
            "Calls to the store that failed and were misses, by why.",
            ("store", "reason"),
            self._failures.items(),
        )
        read = "Times that the configuration was read again, by what came of it."
        yield counter("leeward_config_reloads", read, ("outcome",), self._reloads.items())
        replaced = "Workers that ended without being asked to, and were replaced."
        yield counter("leeward_worker_restarts", replaced, (), self._restarts.items())
        version = [((self._version,), 1)]
        yield gauge("leeward_build_info", "Always 1; the version is the label.", ("version",), version)
