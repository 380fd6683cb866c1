from __future__ import annotations

import json

import pytest

from proxy.core.exchange import Held, Verdict
from proxy.core.failure import NotFoundError
from proxy.core.message import Headers
from proxy.core.reason import Reason
from proxy.observe.recent import Recent
from tests.observe.exchanges import exchange, observed


def test_the_newest_come_first_and_the_oldest_are_forgotten() -> None:
    recent = Recent(kept=3)
    for number in range(5):
        observed(recent, exchange(id=str(number)))
    assert [row["id"] for row in recent.latest()] == ["4", "3", "2"]
    assert [row["id"] for row in recent.latest(2)] == ["4", "3"]
    assert recent.latest(0) == []
    assert recent.latest(-1) == []
    assert [summary.id for summary in recent.summaries()] == ["2", "3", "4"]


def test_a_thousand_are_kept() -> None:
    recent = Recent()
    for _ in range(1100):
        observed(recent, exchange())
    assert len(recent.latest(5000)) == 1000


def test_what_a_row_says() -> None:
    recent = Recent()
    observed(recent, exchange(outcomes=("5xx", "2xx"), verdict=Verdict.MISS, seconds=0.0125, status=201))
    assert recent.latest() == [
        {
            "at": 1_700_000_000.0,
            "id": "01JD",
            "method": "GET",
            "path": "/github/users",
            "upstream": "github",
            "status": 201,
            "cache": "miss",
            "reason": "uri-miss",
            "attempts": 2,
            "bytes_out": 5,
            "error": None,
            "cut": False,
            "tries": [
                {
                    "endpoint": "",
                    "outcome": "5xx",
                    "status": 500,
                    "ms": 200.0,
                    "reason": "status",
                    "wait_ms": 250.0,
                },
                {
                    "endpoint": "",
                    "outcome": "2xx",
                    "status": 200,
                    "ms": 200.0,
                    "reason": None,
                    "wait_ms": None,
                },
            ],
            "held": [],
            "ms": 12.5,
        }
    ]


@pytest.mark.parametrize("made", [exchange(code="not_found"), exchange(error=NotFoundError())])
def test_a_failure_says_its_code(made: object) -> None:
    recent = Recent()
    observed(recent, made)  # type: ignore[arg-type]  # parametrize loses the type
    assert recent.latest()[0]["error"] == "not_found"


def test_neither_headers_nor_query_nor_secrets_and_bounded() -> None:
    recent = Recent(mask=lambda text: text.replace("c4nary", "***"))
    made = exchange(
        target="/c4nary/" + "x" * 5000 + "?key=c4nary",
        id="c4nary" + "i" * 500,
        method="M" * 500,
        headers=Headers.of(("Authorization", "c4nary")),
    )
    observed(recent, made)
    told = json.dumps(recent.latest())
    assert "c4nary" not in told
    assert "key=" not in told
    assert len(told) < 1500


def test_a_row_cannot_be_changed() -> None:
    recent = Recent()
    observed(recent, exchange())
    with pytest.raises(AttributeError):
        recent.summaries()[0].status = 500  # type: ignore[misc]  # that is what is tested


def test_what_held_a_request_back_is_told() -> None:
    recent, made = Recent(), exchange()
    made.held = [Held(reason=Reason.HOLD_OFF, seconds=1.5)]
    observed(recent, made)
    (row,) = recent.latest()
    assert row["held"] == [{"reason": "hold-off", "ms": 1500.0}]
    assert row["tries"] == []


def test_a_repeated_hit_is_a_row_like_the_first() -> None:
    recent = Recent(kept=3)
    hit = exchange(id="first")
    observed(recent, hit)
    recent.repeated([(hit, b"second", hit.at + 1, 0.5), (hit, b"third", hit.at + 2, 0.25)])
    third, second, first = recent.latest()
    assert [row.pop("id") for row in (first, second, third)] == ["first", "second", "third"]
    assert [row.pop("ms") for row in (first, second, third)] == [10.0, 500.0, 250.0]
    assert [row.pop("at") - hit.at for row in (first, second, third)] == [0, 1, 2]
    assert first == second == third


def test_one_attempt_that_was_not_repeated_says_why() -> None:
    recent, made = Recent(), exchange(outcomes=("5xx",), status=500)
    made.attempts[0].reason = Reason.MAY_HAVE_HAPPENED
    observed(recent, made)
    (tried,) = recent.latest()[0]["tries"]
    assert (tried["outcome"], tried["reason"], tried["wait_ms"]) == ("5xx", "may-have-happened", None)
