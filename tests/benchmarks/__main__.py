"""How fast is Leeward beside nginx, Varnish and Envoy, on one core each, in the same run?

    python -m tests.benchmarks [--quick] [--only hits,pass-through] [--peers Leeward,Envoy] [--json FILE]

prints Markdown: what was measured, and which bars were reached. Whoever is not installed is named.

    python -m tests.benchmarks --instructions [--only hits,pass-through] [--requests 400] [--repeats 5]

counts a request's instructions instead, to compare two commits.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path

from tests.benchmarks import guests
from tests.benchmarks.bars import bars
from tests.benchmarks.chart import draw
from tests.benchmarks.field import QUICK, Field, Plan
from tests.benchmarks.figures import Figures
from tests.benchmarks.instructions import ASKED, count, table
from tests.benchmarks.loads import many_files
from tests.benchmarks.origins import origins
from tests.benchmarks.peers import LEEWARD, LOGGED, MANY, PEERS, versions
from tests.benchmarks.processes import Cores, MissingError, program
from tests.benchmarks.report import report
from tests.benchmarks.spans import WORKLOADS
from tests.benchmarks.workloads import ALL


def measure(plan: Plan, only: Sequence[str], peers: Sequence[str], python: Sequence[Path] = ()) -> Figures:
    """Starts who is needed, measures, stops everybody. Raises MissingError where nothing can be measured."""
    cores = Cores.available()
    for name in ("wrk", "taskset", "nginx"):
        program(name)
    many_files()
    found, invited = versions(), guests.guests(python)
    figures = Figures(
        versions={**{name: found[name] for name in peers if name in found}, **guests.versions(python)},
        missing=[name for name in peers if name not in found],
    )
    starts = {name: PEERS[name] for name in (*figures.versions, LOGGED, MANY) if name in PEERS}
    starts |= invited
    with contextlib.ExitStack() as stack:
        stack.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores.rest})
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leeward-benchmark-")))
        behind = stack.enter_context(origins(folder / "origins", cores))
        field = Field(
            plan=plan,
            cores=cores,
            folder=folder,
            origins=behind,
            figures=figures,
            stack=stack,
            starts=starts,
            guests=tuple(invited),
        )
        for name in only:
            sys.stderr.write(f"{name}\n")
            WORKLOADS[name](field, name)
    return figures


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the tables; 1 where something is missing, or Leeward does not what is to be measured."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    known = ASKED if chosen.instructions else WORKLOADS
    only = chosen.only.split(",") if chosen.only else list(known)
    peers = chosen.peers.split(",")
    for unknown in (*(set(only) - known.keys()), *(set(peers) - set(ALL))):
        parser.error(f"there is no {unknown}")
    try:
        if chosen.instructions:
            sys.stdout.write(table(count(only, chosen.requests, chosen.repeats)) + "\n")
            return 0
        plan = _plan(chosen)
        figures = measure(plan, only, peers, chosen.python)
        invited = tuple(guests.guests(chosen.python))
    except MissingError as missing:
        sys.stderr.write(f"{missing} is not installed\n")
        return 1
    sys.stdout.write(report(figures, plan, invited) + "\n")
    if chosen.json:
        rows = [{**asdict(bar), "reached": bar.reached()} for bar in bars(figures, plan, invited)]
        chosen.json.write_text(json.dumps({"plan": asdict(plan), **figures.plain(), "bars": rows}, indent=1))
    if chosen.chart:
        try:
            draw(figures, plan, ALL, chosen.chart)
        except MissingError as missing:
            sys.stdout.write(f"No chart: {missing} is not installed.\n")
    return 1 if any(peer.startswith(LEEWARD) for _, peer in figures.refused) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="a little of everything, in less than a minute")
    parser.add_argument("--only", help=f"of {', '.join(WORKLOADS)}")
    parser.add_argument("--peers", default=",".join(ALL), help=f"of {', '.join(ALL)}")
    parser.add_argument(
        "--python",
        type=Path,
        action="append",
        default=[],
        help="a virtual environment with NyaProxy, mitmproxy or LiteLLM, to be asked for pass-through too",
    )
    parser.add_argument("--chart", type=Path, help="a file for a picture of the rates; needs matplotlib")
    parser.add_argument("--json", type=Path, help="a file for every value of every round")
    for one in fields(Plan):
        parser.add_argument(f"--{one.name}", type=type(one.default), help=f"instead of {one.default}")
    parser.add_argument("--instructions", action="store_true", help=f"of {', '.join(ASKED)}")
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=5)
    return parser


def _plan(chosen: argparse.Namespace) -> Plan:
    given = {one.name: getattr(chosen, one.name) for one in fields(Plan)}
    return replace(QUICK if chosen.quick else Plan(), **{k: v for k, v in given.items() if v is not None})


if __name__ == "__main__":
    sys.exit(main())
