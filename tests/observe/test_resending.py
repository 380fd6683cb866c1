"""Is it counted how long was waited, and what is kept to be sent again?"""

from __future__ import annotations

from proxy.core.reason import Reason
from proxy.observe.metrics import Metrics
from tests.observe.exchanges import exchange, observed
from tests.observe.test_metrics import value


def test_waits_are_summed() -> None:
    metrics = Metrics("1")
    observed(metrics, exchange(outcomes=("5xx", "5xx", "5xx")))
    assert value(metrics, "leeward_retry_wait_seconds_total", upstream="github") == 0.5


def test_bodies_that_are_kept_and_those_that_were_not() -> None:
    metrics = Metrics("1")
    metrics.resending.watch(lambda: {"memory": 5, "disk": 7})
    made = exchange()
    made.unkept = Reason.NO_ROOM
    observed(metrics, made)
    assert value(metrics, "leeward_kept_body_bytes", place="memory") == 5
    assert value(metrics, "leeward_kept_body_bytes", place="disk") == 7
    assert value(metrics, "leeward_bodies_not_kept_total", reason="no-room") == 1
