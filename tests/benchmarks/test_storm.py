"""Does the simulation run, and does it say of each way what is true of it?"""

from __future__ import annotations

from tests.benchmarks.storm import WAYS, simulate, table


def test_retrying_without_a_thought_is_told_from_ours() -> None:
    rows = {way: simulate("fails everything", way, seconds=3.0) for way in WAYS}
    assert rows["aiohttp-retry"].amplified == rows["urllib3's Retry"].amplified == 4.0
    assert rows["no retry"].amplified == 1.0
    assert rows["Leeward"].amplified < 0.2
    assert {row.good for row in rows.values()} == {0.0}
    assert "| fails everything | Leeward | 0.0 |" in table(list(rows.values()))


def test_a_limited_upstream_is_used_as_far_as_it_goes() -> None:
    ours = simulate("takes 10 calls a second", "Leeward", seconds=5.0)
    assert ours.good >= 9.0
    assert simulate("fails one in five", "Leeward", seconds=5.0).good >= 95.0
