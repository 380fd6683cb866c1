"""How fast is Leeward beside nginx, on one core each, in the same run? `python -m tests.benchmarks`."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from statistics import median

from proxy import __version__
from tests.benchmarks.peers import (
    BODY,
    CACHED,
    FRESH,
    Cores,
    MissingError,
    leeward,
    nginx,
    pinned,
    program,
    resident,
)

WORKLOADS = {"cache hit": CACHED, "pass-through": FRESH}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long is measured: rounds of seconds for each proxy and workload, one after the other."""

    rounds: int = 3
    seconds: int = 5
    connections: int = 32


@dataclass(slots=True, kw_only=True)
class Result:
    """Requests a second by (workload, proxy) for each round; seconds to the first answer; idle MiB."""

    rates: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    ready: list[float] = field(default_factory=list)
    resident: float = 0.0
    nginx: str = ""


def measure(plan: Plan) -> Result:
    """Starts everybody, measures, stops everybody. Raises MissingError where a program is not installed."""
    cores = Cores.available()
    program("wrk"), program("taskset")
    result = Result(nginx=_version())
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leeward-benchmark-")))
        origin = stack.enter_context(nginx(folder / "origin", cores.rest))
        for round_ in range(plan.rounds):
            start = time.monotonic()
            with leeward(folder / f"start{round_}", cores.proxy, origin) as (port, _):
                get(port, CACHED)
                result.ready.append(time.monotonic() - start)
        other = stack.enter_context(nginx(folder / "nginx", cores.proxy, origin))
        ours, pid = stack.enter_context(leeward(folder / "leeward", cores.proxy, origin))
        time.sleep(0.5)  # idle means that starting is over
        result.resident = resident(pid)
        for port in (other, ours):
            check(port)
        for _ in range(plan.rounds):  # interleaved, so that the machine's mood meets both
            for workload, path in WORKLOADS.items():
                for name, port in (("nginx", other), ("leeward", ours)):
                    rate = load(f"http://127.0.0.1:{port}{path}", plan, cores.rest)
                    result.rates.setdefault((workload, name), []).append(rate)
    return result


def get(port: int, path: str) -> tuple[int, bool, bool]:
    """One answer: its status, whether its body is there, whether it says that it is a hit."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    response = connection.getresponse()
    whole = len(response.read()) == len(BODY)
    connection.close()
    told = (response.getheader("Cache-Status") or "").lower()
    return response.status, whole, re.search(r"; hit\b", told) is not None


def check(port: int) -> None:
    """Whether a proxy caches what it may and forwards what it must; otherwise the figures mean nothing."""
    seen = [get(port, path) for path in (CACHED, CACHED, FRESH, FRESH)]
    if seen != [(200, True, hit) for hit in (False, True, False, False)]:
        raise RuntimeError(f"not what is to be measured: (status, whole, hit) were {seen}")


def load(url: str, plan: Plan, core: int) -> float:
    """Requests a second that wrk had answered."""
    wrk = [program("wrk"), "-t1", f"-c{plan.connections}", f"-d{plan.seconds}s", "--timeout=20s", url]
    told = subprocess.run(pinned(core, wrk), capture_output=True, text=True, check=True).stdout
    bad = [line.strip() for line in told.splitlines() if "Non-2xx" in line or "Socket errors" in line]
    if bad:
        raise RuntimeError(f"{url}: {'; '.join(bad)}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", told)
    if found is None:
        raise RuntimeError(f"wrk said:\n{told}")
    return float(found.group(1))


def table(plan: Plan, result: Result) -> str:
    """The result as Markdown."""
    terms = f"one core each, {plan.connections} connections, 700 bytes of JSON"
    lines = [
        f"Requests a second, {terms}, median of {plan.rounds} rounds of {plan.seconds} s:",
        "",
        f"| workload | nginx {result.nginx} | Leeward {__version__} | Leeward ÷ nginx |",
        "| --- | ---: | ---: | ---: |",
    ]
    for workload in WORKLOADS:
        theirs, ours = (median(result.rates[workload, name]) for name in ("nginx", "leeward"))
        lines.append(f"| {workload} | {theirs:,.0f} | {ours:,.0f} | {ours / theirs:.2f} |")
    lines += [
        "",
        f"Start to first answer {median(result.ready):.2f} s, idle memory {result.resident:.0f} MiB.",
    ]
    return "\n".join(lines)


def _version() -> str:
    told = subprocess.run([program("nginx"), "-v"], capture_output=True, text=True, check=True).stderr
    return told.strip().rpartition("/")[2].split(" ")[0]


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table; 1 where something is missing or not as it has to be."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=32)
    plan = Plan(**vars(parser.parse_args(arguments)))
    try:
        sys.stdout.write(table(plan, measure(plan)) + "\n")
    except MissingError as missing:
        sys.stderr.write(f"{missing} is not installed\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
