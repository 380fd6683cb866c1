"""Does the cache stay within its bytes, by the system's count too?"""

import json
import subprocess
import sys

from tests.house import ROOT
from tests.stores.week import KEYS, MAX_BYTES


def test_a_week_over_a_hundred_thousand_keys_stays_within_the_bound() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "tests.stores.week"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    week = json.loads(told.stdout)
    assert week["most"] <= MAX_BYTES
    assert week["bytes"] > 0.9 * MAX_BYTES, "it was full, so the bound was felt"
    assert week["size"] > KEYS / 2, "and turned over"
    assert week["purged"] > 0
    assert week["hits"] > 0
    assert week["growth"] <= 1.3 * MAX_BYTES
