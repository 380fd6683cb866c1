import logging

import pytest

from proxy.stores.health import Health


def test_one_line_when_it_fails_and_one_when_it_works_again(caplog: pytest.LogCaptureFixture) -> None:
    counted: list[str] = []
    health = Health("/cache", counted.append)
    with caplog.at_level(logging.INFO, logger="leeward.stores"):
        health.worked()
        assert caplog.messages == []
        for _ in range(3):
            health.failed("full", "No space left on device")
        assert health.trouble == "No space left on device"
        health.worked()
        health.worked()
        assert not health.trouble
    assert counted == ["full"] * 3
    first, second = caplog.messages
    assert "No space left on device" in first
    assert "/cache" in first
    assert "works again" in second
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_it_fails_again_after_it_worked(caplog: pytest.LogCaptureFixture) -> None:
    health = Health("/cache")
    for _ in range(2):
        health.failed("full", "full")
        health.worked()
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 2


def test_what_fails_now_and_then_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    time = 100.0
    health = Health("/cache", quiet=10, now=lambda: time)
    with caplog.at_level(logging.INFO, logger="leeward.stores"):
        for _ in range(5):
            health.failed("full", "full")
            time += 5
            health.worked()
            assert not health.trouble
        assert len(caplog.messages) == 1
        time += 5
        health.worked()
        health.worked()
    assert len(caplog.messages) == 2
