"""What was to be reached, and was it? One row a bar; what was not measured is said to be so."""

from __future__ import annotations

from dataclasses import dataclass

from tests.benchmarks.field import Plan
from tests.benchmarks.figures import P99, RATE, Figures
from tests.benchmarks.peers import ENVOY, LEEWARD, LOGGED, MANY, NGINX, VARNISH
from tests.benchmarks.spans import GROWTH, IDLE, READY, SPEED, TIMES

AT_LEAST, AT_MOST = "at least", "at most"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """`measured` is None where a part of it is missing."""

    workload: str
    row: str
    sense: str
    limit: float
    unit: str
    measured: float | None

    def reached(self) -> bool | None:
        if self.measured is None:
            return None
        return self.measured >= self.limit if self.sense == AT_LEAST else self.measured <= self.limit


def bars(figures: Figures, plan: Plan, guests: tuple[str, ...] = ()) -> list[Bar]:
    """Of the workloads that were asked for, in the order of the claim."""
    asked = {*figures.workloads(), *(of for of, _ in figures.refused)}

    def ratio(
        row: str, workload: str, limit: float, under: str, measure: str = RATE, over: str = LEEWARD
    ) -> Bar:
        measured = figures.ratio(workload, over, under, measure)
        return Bar(
            workload=workload, row=row, sense=AT_LEAST, limit=limit, unit=f"× {under}", measured=measured
        )

    def most(row: str, workload: str, limit: float, unit: str, measure: str) -> Bar:
        measured = max(figures.values.get((workload, LEEWARD, measure), []), default=None)
        return Bar(workload=workload, row=row, sense=AT_MOST, limit=limit, unit=unit, measured=measured)

    def plain(row: str, workload: str, limit: float, unit: str, measure: str) -> Bar:
        measured = figures.median(workload, LEEWARD, measure)
        return Bar(workload=workload, row=row, sense=AT_MOST, limit=limit, unit=unit, measured=measured)

    def worst(row: str, workload: str) -> Bar:
        measured = figures.ratio(workload, LEEWARD, ENVOY, P99)
        return Bar(workload=workload, row=row, sense=AT_MOST, limit=1.0, unit=f"× {ENVOY}", measured=measured)

    few, many = (f"{LEEWARD}, {number:,} entries" for number in (min(1_000, plan.entries), plan.entries))
    rows = [
        ratio("identical hits", "hits", 2.0, NGINX),
        ratio("identical hits", "hits", 2.5, VARNISH),
        ratio("identical hits", "hits", 3.0, ENVOY),
        ratio("hits, fresh traceparent each", "hits-traceparent", 1.0, NGINX),
        ratio(f"hits over {plan.keys:,} keys", "hits-keys", 1.2, NGINX),
        ratio("pass-through 700 B", "pass-through", 1.0, ENVOY),
        ratio("pass-through 700 B", "pass-through", 0.3, NGINX),
        *(ratio("pass-through 700 B", "pass-through", 20.0, guest) for guest in guests),
        ratio("pass-through 64 KiB", "pass-through-64k", 0.8, ENVOY),
        ratio("streaming 200 MiB", "streaming", 0.5, NGINX, SPEED),
        most("streaming 200 MiB, memory growth, the worst", "streaming", 32, "MiB", GROWTH),
        ratio("hits, JSON access log on", "hits-log", 0.6, LEEWARD, over=LOGGED),
        ratio("pass-through, JSON access log on", "pass-through-log", 0.6, LEEWARD, over=LOGGED),
        worst("p99 of hits", "hits"),
        worst("p99 of pass-through", "pass-through"),
        ratio("hits, by entries stored", "entries", 0.9, few, over=many),
        ratio("hits, by upstreams configured", "hits-upstreams", 0.95, LEEWARD, over=MANY),
        ratio("pass-through, by upstreams configured", "pass-through-upstreams", 0.95, LEEWARD, over=MANY),
        plain(f"{plan.kilobytes:,} entries of 1 KiB, above idle", "memory", 1.6, "× their bytes", TIMES),
        plain("idle", "start", 60, "MiB", IDLE),
        plain("start to ready, median", "start", 0.4, "s", READY),
    ]
    return [bar for bar in rows if bar.workload in asked]


def table(rows: list[Bar]) -> str:
    """As Markdown."""
    said = {True: "yes", False: "**no**", None: "not measured"}
    lines = ["| workload | bar | measured | reached |", "| --- | ---: | ---: | --- |"]
    for bar in rows:
        measured = "" if bar.measured is None else f"{bar.measured:.2f}"
        limit = f"{bar.sense} {bar.limit:g} {bar.unit}"
        lines.append(f"| {bar.row} | {limit} | {measured} | {said[bar.reached()]} |")
    return "\n".join(lines)
