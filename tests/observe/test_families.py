"""Do figures keep their labels and sums on the way into Prometheus's families?"""

from __future__ import annotations

import pytest

from proxy.observe.families import BUCKETS, Times, counter, gauge, histogram


@pytest.mark.parametrize("make", [counter, gauge])
def test_rows_keep_their_labels(make) -> None:
    family = make("leeward_things", "Things.", ("upstream",), [(("a",), 1), (("b",), 2.5)])
    assert [(sample.labels, sample.value) for sample in family.samples] == [
        ({"upstream": "a"}, 1),
        ({"upstream": "b"}, 2.5),
    ]


def test_a_histogram_is_cumulated_and_ends_with_all() -> None:
    times = Times()
    for seconds in (0.0001, 0.03, 0.05, 1000.0):
        times.add(seconds)
    family = histogram("leeward_seconds", "Seconds.", ("upstream",), [(("a",), times)])
    found = {sample.labels.get("le", sample.name): sample.value for sample in family.samples}
    assert found["0.0005"] == 1
    assert found["0.05"] == 3
    assert found["60.0"] == 3
    assert found["+Inf"] == found["leeward_seconds_count"] == 4
    assert found["leeward_seconds_sum"] == pytest.approx(1000.0801)
    assert len(times.cumulated()) == len(BUCKETS) + 1


@pytest.mark.parametrize("several", [[0.0001, BUCKETS[0]], [0.0001, 0.03, 0.05, 1000.0]])
def test_many_times_at_once_are_each_of_them(several: list[float]) -> None:
    once, together = Times(), Times()
    for seconds in several:
        once.add(seconds)
    together.add(*several)
    assert together.counts == once.counts
    assert together.total == pytest.approx(once.total)
