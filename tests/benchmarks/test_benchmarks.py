"""Does the benchmark measure what it says, and say what it measured? The figures are no test's business."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.benchmarks import instructions, loads, processes
from tests.benchmarks.__main__ import main
from tests.benchmarks.bars import AT_LEAST, Bar, bars, table
from tests.benchmarks.field import QUICK, Plan
from tests.benchmarks.figures import CPU, P99, RATE, Figures
from tests.benchmarks.origins import CACHED, FRESH
from tests.benchmarks.peers import ENVOY, LEEWARD, LOGGED, MANY, NGINX, VARNISH
from tests.benchmarks.report import report
from tests.benchmarks.spans import WORKLOADS
from tests.benchmarks.workloads import RATES, Rate

TOLD = """Running 1h test @ http://127.0.0.1:1/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.19ms    1.03ms  19.98ms   94.17%
    Req/Sec    28.37k     3.95k   33.83k    70.00%
  Latency Distribution
     50%  980.00us
     75%    1.22ms
     90%    1.66ms
     99%    1.03s
  28311 requests in 1.00s, 26.19MB read
Requests/sec:  28263.18
Transfer/sec:     26.15MB
"""


def test_the_quick_mode_measures_everything_and_names_who_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = os.sched_getaffinity(0)
    assert (
        main(["--quick", "--seconds=0.2", f"--json={tmp_path / 'figures'}", f"--chart={tmp_path / 'chart'}"])
        == 0
    )
    assert os.sched_getaffinity(0) == before
    told = capsys.readouterr().out
    plain = json.loads((tmp_path / "figures").read_text())
    here = set(plain["versions"])
    assert here >= {LEEWARD, NGINX}
    assert here | set(plain["missing"]) == {LEEWARD, NGINX, VARNISH, ENVOY}
    for name in plain["missing"]:
        assert f"Not installed here: {name}." in told
    measured = {(one["workload"], one["peer"]) for one in plain["figures"] if one["median"] > 0}
    others = {"entries"}  # which Leeward fills under names of their own
    assert measured >= {(workload, LEEWARD) for workload in WORKLOADS.keys() - others}
    assert measured >= {(workload, NGINX) for workload, rate in RATES.items() if NGINX in rate.peers}
    assert measured >= {("hits-log", LOGGED), ("hits-upstreams", MANY)}
    assert [
        bar["row"] for bar in plain["bars"] if bar["measured"] is None and bar["unit"] == f"× {NGINX}"
    ] == []
    assert "| identical hits | at least 2 × nginx |" in told
    assert (tmp_path / "chart").read_bytes().startswith(b"\x89PNG")


def test_the_instructions_of_the_real_server_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--instructions", "--only=hits", "--requests=20", "--repeats=2"]) == 0
    [row] = re.findall(r"^\| hits \| ([\d,]+) \| [\d.]+ % \|$", capsys.readouterr().out, re.MULTILINE)
    # A process that only waits costs nothing, and one that is being started a thousand times as much.
    assert 1_000 < int(row.replace(",", "")) < 10_000_000


def test_what_repeats_differ_by_is_told() -> None:
    assert instructions.table([instructions.Cost("hits", (90.0, 100.0, 110.0))]).endswith(
        "| hits | 100 | 20.0 % |"
    )


def test_each_request_that_is_counted_has_a_traceparent_of_its_own() -> None:
    asked = instructions.ASKED["hits-traceparent"]
    assert asked.request(1) != asked.request(2)
    assert re.search(rb"\r\ntraceparent: 00-[0-9a-f]{32}-[0-9a-f]{16}-01\r\n", asked.request(1))


def test_figures_are_medians_and_ratios_of_them() -> None:
    figures = Figures()
    for rate, other in ((50.0, 100.0), (1.0, 9.0), (60.0, 200.0)):
        figures.add("hits", LEEWARD, {RATE: rate})
        figures.add("hits", NGINX, {RATE: other})
    assert figures.median("hits", LEEWARD) == 50.0
    assert figures.ratio("hits", LEEWARD, NGINX) == 0.5
    assert figures.ratio("hits", LEEWARD, ENVOY) is None
    figures.refused["hits", NGINX] = "it was no hit"
    assert figures.ratio("hits", LEEWARD, NGINX) is None
    told = report(figures, Plan())
    assert f"| identical hits | at least 2 × {NGINX} |  | not measured |" in told
    assert f"Not measured: {NGINX}, identical hits, 700 B: it was no hit" in told


def test_whose_core_was_not_busy_is_told() -> None:
    figures = Figures()
    figures.add("hits", LEEWARD, {RATE: 50_000.0, CPU: 19.0})
    figures.add("hits", NGINX, {RATE: 50_000.0, CPU: 17.0})
    told = report(figures, Plan())
    assert "nginx, identical hits, 700 B: its core was busy for 85 % of the time only." in told
    assert "Leeward, identical hits" not in told


def test_a_bar_is_reached_or_not_or_not_measured() -> None:
    def bar(measured: float | None) -> Bar:
        return Bar(workload="hits", row="hits", sense=AT_LEAST, limit=2.0, unit="× nginx", measured=measured)

    lines = table([bar(2.0), bar(1.99), bar(None)]).splitlines()[2:]
    assert [line.split("|")[-2].strip() for line in lines] == ["yes", "**no**", "not measured"]


def test_a_latency_is_to_be_at_most_that_of_envoy() -> None:
    figures = Figures()
    figures.add("hits", LEEWARD, {P99: 2.0})
    figures.add("hits", ENVOY, {P99: 1.0})
    [of_hits] = [bar for bar in bars(figures, QUICK) if bar.row == "p99 of hits"]
    assert (of_hits.measured, of_hits.reached()) == (2.0, False)


def test_what_wrk_says_is_read_in_milliseconds() -> None:
    load = loads._load(TOLD, 0.5)
    assert (load.requests, load.failed, load.rate, load.p50, load.p99) == (28311, 0, 28263.18, 0.98, 1030.0)
    assert loads._load(TOLD + "  Non-2xx or 3xx responses: 7\n", 0.5).failed == 7
    with pytest.raises(processes.NotMeasurableError, match="connect 3"):
        loads._load(TOLD + "  Socket errors: connect 3, read 0, write 0, timeout 0\n", 0.5)


def test_without_matplotlib_there_are_tables_and_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    only = ["--quick", "--only=stampede", f"--peers={LEEWARD}"]
    assert main([*only, f"--chart={tmp_path / 'chart'}"]) == 0
    told = capsys.readouterr().out
    assert "No chart: matplotlib is not installed.\n" in told
    assert "| stampede of 20 on one cold key | Leeward | sent upstream | 1.00 |" in told
    assert not (tmp_path / "chart").exists()


def test_a_missing_program_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shutil.which", lambda name, path=None: None)
    assert main(["--quick"]) == 1
    assert capsys.readouterr().err == "wrk is not installed\n"


def test_an_unknown_workload_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--only=hits,misses"])
    assert "there is no misses" in capsys.readouterr().err


def test_a_process_that_does_not_start_says_why(tmp_path: Path) -> None:
    command = [shutil.which("sh") or "sh", "-c", "echo no such luck; exit 3"]
    with (
        pytest.raises(processes.NotMeasurableError, match="no such luck"),
        processes.started(command, 1, tmp_path / "log"),
    ):
        pass


def test_what_is_not_what_it_says_has_no_figure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(WORKLOADS, "hits", Rate(path=FRESH, hits=True))
    monkeypatch.setitem(WORKLOADS, "pass-through", Rate(path=CACHED, hits=False))
    assert main(["--quick", "--only=hits,pass-through", f"--peers={LEEWARD}"]) == 1
    told = capsys.readouterr().out
    assert f"Not measured: {LEEWARD}, identical hits, 700 B: of 3 requests 3 reached the origin" in told
    assert f"Not measured: {LEEWARD}, pass-through, 700 B: of 3 requests 1 reached the origin" in told
    assert "requests a second" not in told


def test_what_a_process_uses_is_read() -> None:
    pid = os.getpid()
    kept = processes.resident(pid)
    assert kept > 10
    assert processes.peak(pid) >= kept
    assert processes.cpu(pid) > 0
