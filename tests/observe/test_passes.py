"""What is passed on without a record of its own counts and reads as what has one."""

from __future__ import annotations

import io
import json
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from proxy.core.exchange import Attempt, Exchange, Pass, Verdict
from proxy.core.ports import Observer
from proxy.core.reason import Reason
from proxy.observe.logs import AccessLog, Bridge, configure
from proxy.observe.metrics import Metrics
from proxy.observe.recent import Recent
from proxy.observe.together import Together
from tests.observe.exchanges import exchange, observed
from tests.observe.test_metrics import scraped

SECRET = "hunter2-hunter2"


def pattern(*, status: int = 200, verdict: Verdict = Verdict.MISS, route: str = "github") -> Exchange:
    """As it is remembered of a sort of answers."""
    made = exchange(status=status, verdict=verdict, reason=Reason.NO_STORE, route=route)
    attempt = Attempt(started=0.0, status=status, outcome=f"{status // 100}xx", endpoint="http://a:1")
    return replace(
        made, id="", at=0.0, attempts=[attempt], bytes_in=0, bytes_out=0, first_byte=None, seconds=0.0
    )


PASSES: list[Pass] = [
    (pattern(), b"one", 1_700_000_000.5, 0.03, 0.02, 700),
    (pattern(), b"two", 1_700_000_001.5, 0.004, 0.003, 0),
    (pattern(status=201, verdict=Verdict.BYPASS), f"x-{SECRET}".encode(), 1_700_000_002.5, 61.0, 7.5, 1),
    (pattern(route="other"), b"four", 1_700_000_003.5, 0.25, 0.25, 8),
]


def long(one: Pass) -> Exchange:
    """The record that the long way makes of it."""
    made, name, at, seconds, first, size = one
    attempt = replace(made.attempts[0], started=100.0, seconds=first)
    return replace(
        made, id=name.decode(), at=at, seconds=seconds, first_byte=first, bytes_out=size, attempts=[attempt]
    )


def both(short_way: Observer, long_way: Observer) -> None:
    short_way.passed(PASSES)
    for one in PASSES:
        observed(long_way, long(one))


def test_the_metrics_are_the_same() -> None:
    short_way, long_way = Metrics("1"), Metrics("1")
    both(short_way, long_way)
    counted, other = (
        {key: value for key, value in scraped(one).items() if not key[0].startswith("process_")}
        for one in (short_way, long_way)
    )
    assert counted == pytest.approx(other)
    attempts = frozenset({("upstream", "github"), ("outcome", "2xx")})
    assert counted["leeward_upstream_attempts_total", attempts] == 3
    times = frozenset({("upstream", "github")})
    assert counted["leeward_upstream_duration_seconds_sum", times] == pytest.approx(7.523)


def test_what_is_under_way_is_counted_with_the_rest() -> None:
    metrics = Metrics("1")
    metrics.opened(exchange(id="open"))
    riding: Counter[str] = Counter()
    metrics.watch_passing(lambda: riding)
    for here, there in ((0, 0), (3, 1), (0, 2)):
        riding.clear()
        riding.update({"github": here, "other": there})
        counted = scraped(metrics)
        assert counted["leeward_inflight_requests", frozenset({("upstream", "github")})] == 1 + here
        if there:
            assert counted["leeward_inflight_requests", frozenset({("upstream", "other")})] == there


def test_the_page_of_the_latest_is_the_same() -> None:
    short_way, long_way = Recent(), Recent()
    both(short_way, long_way)
    assert short_way.latest() == long_way.latest()
    assert short_way.summaries() == long_way.summaries()
    assert [row["bytes_out"] for row in short_way.latest()] == [8, 1, 0, 700]


def test_what_is_remembered_stays_bounded_and_masked() -> None:
    recent = Recent(kept=3, mask=lambda text: text.replace(SECRET, "***"))
    recent.passed(PASSES)
    other = Recent(kept=3, mask=lambda text: text.replace(SECRET, "***"))
    for one in PASSES:
        observed(other, long(one))
    assert recent.latest() == other.latest()
    assert [row["id"] for row in recent.latest()][::2] == ["four", "two"]


@pytest.fixture
def _cleaned() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)


def written(tell: Any) -> list[dict[str, Any]]:
    stream = io.StringIO()
    configure(layout="json", stream=stream, mask=lambda text: text.replace(SECRET, "***"))
    tell(AccessLog())
    assert any(isinstance(handler, Bridge) for handler in logging.getLogger().handlers)
    assert SECRET not in stream.getvalue()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    for line in lines:
        del line["timestamp"]
    return lines


@pytest.mark.usefixtures("_cleaned")
def test_the_lines_of_the_log_are_the_same() -> None:
    def one_by_one(log: AccessLog) -> None:
        for one in PASSES:
            observed(log, long(one))

    short_way = written(lambda log: log.passed(PASSES))
    assert short_way == written(one_by_one)
    assert len(short_way) == len(PASSES)


def test_the_pattern_stays_as_it_is() -> None:
    made = pattern()
    kept = replace(made, attempts=[replace(made.attempts[0])])
    for observer in (Metrics("1"), Recent(), AccessLog(), Together([Recent(), Metrics("1")])):
        observer.passed([(made, b"one", 1.0, 2.0, 3.0, 4)])
    assert made == kept
