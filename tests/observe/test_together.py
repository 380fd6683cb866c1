from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest

from proxy.core.exchange import Attempt, Exchange, Pass, Repeat
from proxy.observe.together import Together
from tests.observe.exchanges import exchange, observed


class Seen:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def opened(self, exchange: Exchange) -> None:
        self.calls.append("opened")

    def attempted(self, exchange: Exchange, attempt: Attempt) -> None:
        self.calls.append("attempted")

    def repeated(self, hits: Sequence[Repeat]) -> None:
        self.calls.append("repeated")

    def passed(self, passes: Sequence[Pass]) -> None:
        self.calls.append("passed")

    def closed(self, exchange: Exchange) -> None:
        self.calls.append("closed")


class Broken:
    def opened(self, exchange: Exchange) -> None:
        raise ValueError("opened")

    def attempted(self, exchange: Exchange, attempt: Attempt) -> None:
        raise ValueError("attempted")

    def repeated(self, hits: Sequence[Repeat]) -> None:
        raise ValueError("repeated")

    def passed(self, passes: Sequence[Pass]) -> None:
        raise ValueError("passed")

    def closed(self, exchange: Exchange) -> None:
        raise ValueError("closed")


def test_one_that_fails_neither_fails_the_request_nor_the_others(caplog: pytest.LogCaptureFixture) -> None:
    first, last = Seen(), Seen()
    with caplog.at_level(logging.ERROR, "leeward.observe"):
        together = Together([first, Broken(), last])
        observed(together, exchange(outcomes=("2xx",)))
        together.repeated([(exchange(), b"id", 0.0, 0.0)])
        together.passed([(exchange(), b"id", 0.0, 0.0, 0.0, 0)])
    assert first.calls == last.calls == ["opened", "attempted", "closed", "repeated", "passed"]
    assert [record.exc_text or str(record.exc_info) for record in caplog.records] != []
    assert len(caplog.records) == 5
