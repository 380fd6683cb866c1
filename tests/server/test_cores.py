import os
from pathlib import Path

import pytest

from proxy.server.cores import workers


def test_a_number_is_that_number():
    assert workers(3) == 3


@pytest.mark.parametrize(
    ("quota", "most"),
    [
        ("max 100000", None),
        ("100000 100000", 1),
        ("50000 100000", 1),
        ("6400000 100000", None),
        ("nonsense", None),
    ],
)
def test_auto_is_the_cores_that_are_allowed(tmp_path: Path, quota: str, most: int | None):
    (tmp_path / "cpu.max").write_text(quota)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    assert workers("auto", tmp_path / "cpu.max") == (most or min(cores, 64))
    assert workers("auto", tmp_path / "none") == min(cores, 64)
