"""Does the benchmark run and print its table? What the figures are is no test's business."""

from __future__ import annotations

import re
import shutil

import pytest

from tests.benchmarks import __main__ as benchmark
from tests.benchmarks import peers


def test_it_measures_both_and_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main(["--rounds=1", "--seconds=1", "--connections=4"]) == 0
    told = capsys.readouterr().out
    assert re.search(
        r"^\| workload \| nginx [\d.]+ \| Leeward [\d.]+ \| Leeward ÷ nginx \|$", told, re.MULTILINE
    )
    for workload in benchmark.WORKLOADS:
        assert re.search(rf"^\| {workload} \| [\d,]+ \| [\d,]+ \| \d+\.\d\d \|$", told, re.MULTILINE)
    assert re.search(r"Start to first answer \d+\.\d\d s, idle memory \d+ MiB\.", told)


def test_the_figures_are_medians_and_ratios() -> None:
    rates = {(workload, "nginx"): [100.0, 9.0, 200.0] for workload in benchmark.WORKLOADS}
    rates |= {(workload, "leeward"): [50.0, 1.0, 60.0] for workload in benchmark.WORKLOADS}
    result = benchmark.Result(rates=rates, ready=[0.5, 0.2, 0.3], resident=40.4, nginx="1.0")
    told = benchmark.table(benchmark.Plan(), result)
    assert "| cache hit | 100 | 50 | 0.50 |" in told
    assert "Start to first answer 0.30 s, idle memory 40 MiB." in told


def test_a_missing_program_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shutil.which", lambda name, path=None: None)
    assert benchmark.main(["--rounds=1"]) == 1
    assert capsys.readouterr().err == "wrk is not installed\n"


def test_a_process_that_does_not_start_says_why(tmp_path) -> None:
    command = [shutil.which("sh") or "sh", "-c", "echo no such luck; exit 3"]
    with pytest.raises(RuntimeError, match="no such luck"), peers.started(command, 1, tmp_path / "log"):
        pass
