"""How is the demo's result told, so that it is understood in ten seconds? Two runs side by side."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from proxy.cli.flaky import Flaky, Mood
from proxy.cli.traffic import SPAN, Outcome, Run

WIDTH = 100  # columns that the whole picture needs
_LIMITED = 429
_LEAST_SHOWN = 0.005  # a smaller share would round to 0 %, which it is not
_QUICK = 0.01  # seconds below which tenths of a millisecond are told
# What a call may cost on a day when a quarter of all calls fail, and a limit makes it more.
ATTEMPTS = 6
RATIO = 0.6
PER_SECOND = 10


@dataclass(slots=True, kw_only=True)
class Side:
    """One way of the calls: what the callers had of it, and the API that was asked."""

    run: Run
    upstream: Flaky

    def fetched(self) -> list[Outcome]:
        return [outcome for outcome in self.run.outcomes if outcome.verdict == "fetched"]

    def of(self, verdict: str) -> list[Outcome]:
        return [outcome for outcome in self.run.outcomes if outcome.verdict == verdict]


def opening(calls: int, mood: Mood) -> RenderableType:
    low, high = (round(1000 * seconds) for seconds in mood.latency)
    return Text.assemble(
        ("An API on a bad day: ", "bold"),
        f"{low}-{high} ms, {mood.unavailable:.0%} 503s, {mood.dropped:.0%} dropped connections, "
        f"{mood.rate} calls/s at most.\n",
        f"One app makes {calls} calls in {SPAN:.0f} s, twice at the same time: ",
        ("straight", "yellow"),
        " to the API, and ",
        ("through Leeward", "green"),
        ".\n",
        # Said, since it is what such a day needs, and not the default.
        f"Leeward is set for it: {ATTEMPTS} attempts, retries up to {RATIO:.0%} or {PER_SECOND}/s "
        "(default: 3 attempts, 20% or 2/s).",
    )


def picture(straight: Side, through: Side, calls: int) -> RenderableType:
    """The four figures that matter, as far as they are known by now."""
    table = Table(box=None, padding=(0, 3, 0, 0), pad_edge=False)
    table.add_column("", width=38)
    table.add_column("straight", justify="right", style="yellow", width=18)
    table.add_column("through Leeward", justify="right", style="bold green", width=18)
    both = straight, through
    table.add_row("calls that failed", *(_of(side.run.failed, len(side.run.outcomes)) for side in both))
    table.add_row("calls that reached the API", *(str(side.upstream.asked) for side in both))
    table.add_row("a good answer took, half of them", *(_ms(side.run.waited(0.5)) for side in both))
    table.add_row("a good answer took, 95 of 100 of them", *(_ms(side.run.waited(0.95)) for side in both))
    done = min(len(side.run.outcomes) for side in both)
    if done >= calls:
        return table
    return Group(table, Text(), ProgressBar(total=calls, completed=done, width=70))


def deeds(through: Side) -> RenderableType:
    """What Leeward did, in the words that its logs and metrics use."""
    hits, joined, fetched = through.of("hit"), through.of("collapsed"), through.fetched()
    retried = [outcome for outcome in fetched if outcome.attempts > 1]
    saved = sum(not outcome.failed for outcome in retried)
    limited = through.upstream.answered[_LIMITED]
    # Whoever joined a fetch was shown the same 429 as the one that made it.
    passed_on = sum(outcome.status == _LIMITED for outcome in fetched)
    posts = [outcome for outcome in through.run.outcomes if outcome.call.method == "POST"]
    told = sum(bool(outcome.code) for outcome in through.run.outcomes)
    quick = sorted(outcome.seconds for outcome in hits)
    median = _ms(quick[len(quick) // 2]) if quick else "-"
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    table.add_column(justify="right", style="bold green", width=5)
    table.add_column(style="bold", width=12)
    table.add_column(style="dim")
    rows = [
        (len(hits), "hit", f"answered from the cache, half of them within {median}"),
        (len(joined), "coalesced", "asked while the same fetch was under way: one call upstream for all"),
        (sum(outcome.attempts - 1 for outcome in fetched), "retried", _retried(len(retried), saved)),
        (limited, "rate-limited", f"the API said 429, Retry-After: 1; callers saw {passed_on} of them"),
        (len(posts), "sent once", "a POST answered 500 may have had its effect: not repeated"),
        (told, "translated", "errors in one form, whoever made them; one of them below"),
    ]
    for number, word, sentence in rows:
        table.add_row(str(number), word, sentence)
    return Group(Text("\nWhat Leeward did", style="bold"), table)


def specimen(straight: Side, through: Side) -> RenderableType:
    """One error as the API tells it, and the same one as the caller of Leeward reads it."""
    raw = _find(straight, 404)
    told = _find(through, 404)
    if raw is None or told is None:
        return Text()
    table = Table.grid(padding=(0, 1))
    table.add_column(width=33)
    table.add_column(width=WIDTH - 34)
    table.add_row(_framed("the API's own error", raw, "yellow"), _framed("through Leeward", told, "green"))
    return table


def ending(listen: str, admin: str, *, keep: bool) -> RenderableType:
    lasting = "Ctrl-C ends it" if keep else "ends with the demo; to look at it: leeward demo --keep"
    lines: list[str | tuple[str, str]] = [
        ("Dashboard  ", "bold"),
        (f"http://{admin}/", "underline cyan"),
        (f"   {lasting}", "dim"),
    ]
    if keep:
        lines += [("\nTry        ", "bold"), f"curl -i http://{listen}/products/1"]
    return Text.assemble(*lines)


def _retried(calls: int, saved: int) -> str:
    return f"{calls} fetches met a 503, a 429 or a drop; {saved} of them ended well"


def _of(part: int, whole: int) -> str:
    if not part or not whole:
        return str(part)
    share = part / whole
    return f"{part} (<1%)" if share < _LEAST_SHOWN else f"{part} ({share:.0%})"


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms" if seconds < _QUICK else f"{1000 * seconds:.0f} ms"


def _find(side: Side, status: int) -> str | None:
    return next((outcome.body for outcome in side.run.outcomes if outcome.status == status), None)


def _framed(title: str, body: str, style: str) -> Panel:
    try:
        shown = _lines(json.loads(body))
    except ValueError:
        shown = body
    code = Syntax(shown, "json", background_color="default", word_wrap=True)
    return Panel(code, title=title, title_align="left", border_style=style)


def _lines(document: Any) -> str:
    """JSON with one line for each member, those within an only member too."""
    if not isinstance(document, dict):
        return json.dumps(document)
    if len(document) == 1:
        ((name, inner),) = document.items()
        return f"{{{json.dumps(name)}: {_lines(inner)}}}"
    members = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in document.items()]
    return "{\n" + ",\n".join(members) + "\n}"
