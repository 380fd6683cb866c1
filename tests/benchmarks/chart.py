"""How do the rates look beside each other? A PNG, where matplotlib is installed; the tables never need it."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.field import Plan
from tests.benchmarks.figures import RATE, Figures
from tests.benchmarks.processes import MissingError
from tests.benchmarks.report import compared, title

_COLOURS = ("#0b6e99", "#9aa5b1", "#c4ccd4", "#697684")  # Leeward stands out, the others do not


def draw(figures: Figures, plan: Plan, peers: tuple[str, ...], file: Path) -> None:
    """The rates of each workload that more than one peer has. Raises MissingError without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingError("matplotlib") from None
    shown = compared(figures, peers)
    drawn = [peer for peer in peers if any(figures.median(of, peer) is not None for of in shown)]
    picture = Figure(figsize=(9, 1.2 + 0.2 * len(shown) * (len(drawn) + 1)), layout="constrained")
    axes = picture.subplots()
    thick = 1 / (len(drawn) + 1)
    for number, peer in enumerate(drawn):
        at = [row + number * thick for row in range(len(shown))]
        rates = [figures.median(of, peer, RATE) or 0.0 for of in shown]
        label = f"{peer} {figures.versions.get(peer, '')}".strip()
        bars = axes.barh(at, rates, height=thick, color=_COLOURS[number % len(_COLOURS)], label=label)
        axes.bar_label(bars, [f"{rate:,.0f}" if rate else "" for rate in rates], padding=3, fontsize=7)
    middle = thick * (len(drawn) - 1) / 2
    axes.set_yticks(
        [row + middle for row in range(len(shown))], [title(of, plan) for of in shown], fontsize=8
    )
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("requests a second, one core each")
    axes.margins(x=0.12)
    axes.legend(fontsize=8, loc="lower right")
    picture.savefig(file, dpi=110, format="png")
