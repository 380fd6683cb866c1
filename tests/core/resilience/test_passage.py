"""Are the answers of gates and limits plain values?"""

from __future__ import annotations

from proxy.core.resilience.passage import GO, Go, Refuse, Wait


def test_answers_are_values() -> None:
    assert Go() == GO
    assert Go(era=1) != GO
    assert Wait(seconds=1.0) == Wait(seconds=1.0)
    assert Refuse().seconds is None
