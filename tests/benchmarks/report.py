"""How is what was measured told? As Markdown: rates, latencies, cost, everything else, and the bars."""

from __future__ import annotations

from collections.abc import Sequence

from tests.benchmarks import bars
from tests.benchmarks.field import Plan
from tests.benchmarks.figures import CLIENT, CPU, MEASURES, P50, P99, RATE, RSS, Figures
from tests.benchmarks.peers import LEEWARD
from tests.benchmarks.workloads import ALL, TITLES

_HEAD = 2  # lines
_BUSY = 0.9


def title(workload: str, plan: Plan) -> str:
    words = {"keys": plan.keys, "active": plan.active, "entries": plan.entries, "idle": plan.idle}
    return TITLES[workload].format(**words, callers=plan.callers, kilobytes=plan.kilobytes)


def report(figures: Figures, plan: Plan, guests: tuple[str, ...] = ()) -> str:
    """All of it. What is not there was not measured."""
    named = [f"{name} {version}" for name, version in figures.versions.items()]
    terms = (
        f"{', '.join(named)}: one process and one core each, load and origin on another; "
        f"{plan.connections} connections unless said; medians of {plan.rounds} rounds of {plan.seconds:g} s, "
        "the peers in turn."
    )
    lines = [
        terms,
        "",
        *_rates(figures, plan, (*ALL, *guests)),
        *_latencies(figures, plan, (*ALL, *guests)),
        *_own(figures, plan),
        *_others(figures, plan),
        bars.table(bars.bars(figures, plan, guests)),
    ]
    lines += ["", *_idle(figures, plan), *(f"Not installed here: {name}." for name in figures.missing)]
    refused = figures.refused.items()
    lines += [f"Not measured: {peer}, {title(of, plan)}: {why}" for (of, peer), why in refused]
    return "\n".join(lines).rstrip()


def compared(figures: Figures, peers: Sequence[str]) -> list[str]:
    """The workloads of which more than one of the peers has a rate."""
    return [of for of in figures.workloads() if len(_with(figures, of, RATE, peers)) > 1]


def _rates(figures: Figures, plan: Plan, peers: Sequence[str]) -> list[str]:
    shown = compared(figures, peers)
    return _table("requests a second", shown, figures, plan, peers, RATE, ratios=True)


def _latencies(figures: Figures, plan: Plan, peers: Sequence[str]) -> list[str]:
    shown = compared(figures, peers)
    lines: list[str] = []
    for measure in (P50, P99, CPU, CLIENT, RSS):
        lines += _table(measure, shown, figures, plan, peers, measure)
    return lines


def _with(figures: Figures, workload: str, measure: str, peers: Sequence[str]) -> list[str]:
    return [peer for peer in peers if figures.median(workload, peer, measure) is not None]


def _table(
    what: str,
    workloads: Sequence[str],
    figures: Figures,
    plan: Plan,
    peers: Sequence[str],
    measure: str,
    *,
    ratios: bool = False,
) -> list[str]:
    columns = [peer for peer in peers if any(_with(figures, of, measure, [peer]) for of in workloads)]
    if not columns:
        return []
    others = [f"÷ {peer}" for peer in columns if ratios and peer != LEEWARD]
    heads = [what, *columns, *others]
    lines = [f"| {' | '.join(heads)} |", f"| --- {'| ---: ' * (len(heads) - 1)}|"]
    for of in workloads:
        cells = [_number(figures.median(of, peer, measure)) for peer in columns]
        if ratios:
            found = [figures.ratio(of, LEEWARD, peer, measure) for peer in columns if peer != LEEWARD]
            cells += ["" if ratio is None else f"{ratio:.2f}" for ratio in found]
        lines.append(f"| {title(of, plan)} | {' | '.join(cells)} |")
    return [*lines, ""]


def _idle(figures: Figures, plan: Plan) -> list[str]:
    """Who was not kept busy: what the client or the origin could do is then told, not what the proxy can."""
    lines = []
    for of in figures.workloads():
        for peer in figures.peers(of):
            rate, cost = figures.median(of, peer), figures.median(of, peer, CPU)
            if rate is not None and cost is not None and rate * cost / 1e6 < _BUSY:
                share = rate * cost / 1e4
                lines.append(
                    f"{peer}, {title(of, plan)}: its core was busy for {share:.0f} % of the time only."
                )
    return lines


def _own(figures: Figures, plan: Plan) -> list[str]:
    """Leeward beside itself, set or filled otherwise."""
    lines = ["| Leeward beside itself | requests a second | beside | |", "| --- | ---: | ---: | ---: |"]
    for of in figures.workloads():
        peers = [peer for peer in figures.peers(of) if figures.median(of, peer) is not None]
        if not all(peer.startswith(LEEWARD) for peer in peers):
            continue
        rates = [_number(figures.median(of, peer)) for peer in peers]
        match peers:
            case [only]:
                lines.append(f"| {title(of, plan)}: {only} | {rates[0]} | | |")
            case [first, second]:
                ratio = figures.ratio(of, second, first) or 0.0
                lines.append(f"| {title(of, plan)} | {rates[0]} | {rates[1]} | {ratio:.2f} |")
            case _:
                pass
    return [*lines, ""] if len(lines) > _HEAD else []


def _others(figures: Figures, plan: Plan) -> list[str]:
    """Each measure that no table above has."""
    lines = [
        "| otherwise | who | measure | median | least | most |",
        "| --- | --- | --- | ---: | ---: | ---: |",
    ]
    for (of, peer, measure), values in figures.values.items():
        middle = figures.median(of, peer, measure)
        if middle is not None and measure not in MEASURES:
            ends = f"{_number(min(values))} | {_number(max(values))}"
            lines.append(f"| {title(of, plan)} | {peer} | {measure} | {_number(middle)} | {ends} |")
    return [*lines, ""] if len(lines) > _HEAD else []


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"
