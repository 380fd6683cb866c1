from typing import Any

import pytest

from proxy.config.loading import load
from proxy.config.routes import UpstreamSettings
from proxy.config.sharing import divided


def parts(workers: int, **said: Any) -> UpstreamSettings:
    whole = load(None, {"upstreams": {"up": {"base_url": "http://127.0.0.1:1", **said}}}, {}).settings
    return divided(whole, workers).upstreams["up"]


def test_one_worker_has_all_of_it():
    budget = parts(1).retry.budget
    assert budget is not None
    assert budget.min_per_second == 2


def test_a_budgets_rate_is_divided_and_its_share_is_not():
    budget = parts(4, retry={"budget": {"ratio": 0.5, "min_per_second": 2}}).retry.budget
    assert budget is not None
    assert (budget.ratio, budget.min_per_second) == (0.5, 0.5)
    assert parts(4, retry={"budget": None}).retry.budget is None


def test_rules_keep_what_they_do_not_say():
    up = parts(
        2,
        retry={"budget": {"min_per_second": 10}},
        rules=[
            {"match": {"path": "/a"}, "retry": {"attempts": 9}},
            {"match": {"path": "/b"}, "retry": {"budget": {"min_per_second": 4}}},
            {"match": {"path": "/c"}, "errors": "annotate"},
        ],
    )
    found = [up.ruled(rule).retry for rule in up.rules]
    assert [retry.budget.min_per_second for retry in found if retry.budget] == [5, 2, 5]
    assert found[0].attempts == 9


@pytest.mark.parametrize(
    ("said", "per", "burst"),
    [({"requests": 100, "per": "1m", "burst": 20}, 240, 5), ({"requests": 2, "per": "1s"}, 4, 1)],
)
def test_a_rate_limit_is_the_same_rate_altogether(said: dict[str, Any], per: float, burst: int):
    limit = parts(4, rate_limit=said).rate_limit
    assert limit is not None
    assert (limit.requests, limit.per, limit.burst) == (said["requests"], per, burst)


def test_places_are_divided_and_everybody_has_one():
    most = parts(4, concurrency={"max": 10, "max_queue": 10}).concurrency
    assert most is not None
    assert (most.max, most.max_queue) == (2, 2)
    least = parts(4, concurrency={"max": 1, "max_queue": 1}).concurrency
    assert least is not None
    assert (least.max, least.max_queue) == (1, 1)
    none = parts(4, concurrency={"max": 8, "max_queue": 0}).concurrency
    assert none is not None
    assert (none.max, none.max_queue) == (2, 0)
    assert parts(4, concurrency=None).concurrency is None


def test_room_for_bodies_that_may_be_sent_again_is_divided():
    given = {
        "server": {"max_replay_memory": "8MiB", "max_replay_disk": "64MiB"},
        "upstreams": {"up": {"base_url": "http://127.0.0.1:1"}},
    }
    server = divided(load(None, given, {}).settings, 4).server
    assert (server.max_replay_memory, server.max_replay_disk) == (2 << 20, 16 << 20)
