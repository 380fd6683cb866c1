"""Is anything but what was just being written lost, or anything served that was not written whole?"""

import json
import subprocess
import sys
from pathlib import Path

from tests.house import ROOT
from tests.stores.killed import KEYS, ROUNDS


def test_killed_two_hundred_times_while_it_writes(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "tests.stores.killed", str(tmp_path / "cache")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout)
    assert (found["rounds"], found["writes"], found["unread"]) == (ROUNDS, KEYS, 0)
    assert found["entries"] > ROUNDS * KEYS / 4, "what was there before is still there"
