"""Do figures keep their labels and sums on the way into Prometheus's families?"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from proxy.observe.exposition import metric, page, process
from proxy.observe.families import BUCKETS, Family, Times, counter, gauge, histogram


@pytest.mark.parametrize("make", [counter, gauge])
def test_rows_keep_their_labels(make: Callable[..., Family]) -> None:
    family = metric(make("leeward_things", "Things.", ("upstream",), [(("a",), 1), (("b",), 2.5)]))
    assert [(sample.labels, sample.value) for sample in family.samples] == [
        ({"upstream": "a"}, 1),
        ({"upstream": "b"}, 2.5),
    ]


def test_a_histogram_is_cumulated_and_ends_with_all() -> None:
    times = Times()
    for seconds in (0.0001, 0.03, 0.05, 1000.0):
        times.add(seconds)
    family = metric(histogram("leeward_seconds", "Seconds.", ("upstream",), [(("a",), times)]))
    found = {sample.labels.get("le", sample.name): sample.value for sample in family.samples}
    assert found["0.0005"] == 1
    assert found["0.05"] == 3
    assert found["60.0"] == 3
    assert found["+Inf"] == found["leeward_seconds_count"] == 4
    assert found["leeward_seconds_sum"] == pytest.approx(1000.0801)
    assert len(times.cumulated()) == len(BUCKETS) + 1


def test_the_page_ends_with_the_process() -> None:
    shown, kind = page([counter("leeward_things", "Things.", (), [((), 3)])], "")
    assert shown.startswith(b"# HELP leeward_things_total Things.")
    names = [line.split()[2] for line in shown.decode().splitlines() if line.startswith("# TYPE")]
    assert names[0] == "leeward_things_total"
    assert len(names) > 3
    assert all(name.startswith("process_") for name in names[1:])
    assert kind.startswith("text/plain")
    assert "process_resident_memory_bytes" in {family.name for family in process()}


def test_a_start_does_not_wait_for_its_library() -> None:
    asked = "import sys, proxy.wiring, proxy.server.worker; print('prometheus_client' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert told.stdout == "False\n"
