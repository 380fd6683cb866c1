"""What several workers tell, as one."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from aiohttp import web

from proxy.admin.asked import UnknownUpstreamError
from proxy.core.caching.purge import Purge
from proxy.core.failure import BadRequestError, NoRouteError
from proxy.server.channel import GoneError, RefusedError
from proxy.server.gathering import Asked, Gathering


def requests(count: int) -> Any:
    samples = [["leeward_requests_total", {"upstream": "api", "cache": "hit"}, count]]
    return [["leeward_requests", "counter", "Requests.", samples]]


class Told:
    """A worker's channel that answers as a test says; what is not said, it refuses."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[tuple[str, dict[str, Any]]] = []

    async def ask(self, what: str, /, *, timeout: float, **arguments: Any) -> Any:  # noqa: ASYNC109
        self.asked.append((what, arguments))
        answer = self.answers.get(what, RefusedError("unknown", what))
        if isinstance(answer, Exception):
            raise answer
        return answer


def gathering(*channels: Told) -> Gathering:
    workers = [Asked(number, cast("Any", channel)) for number, channel in enumerate(channels, 1)]
    return Gathering(lambda: workers)


def row(at: float) -> dict[str, Any]:
    return {"at": at, "id": str(at)}


async def test_requests_of_all_and_of_those_that_left_newest_first():
    both = gathering(Told(requests=[row(5), row(2)]), Told(requests=[row(4)]), Told(requests=GoneError()))
    both.departed(9, [row(3), row(1)])
    assert [told["at"] for told in await both.requests(10)] == [5, 4, 3, 2, 1]
    assert [told["at"] for told in await both.requests(2)] == [5, 4]


async def test_the_page_has_the_latest_of_who_answers_and_the_last_of_who_does_not():
    one, other = Told(figures=requests(3)), Told(figures=requests(4))
    both = gathering(one, other)

    async def count() -> int:
        page, _ = await both.exposition("", [])
        [line] = [line for line in page.decode().splitlines() if line.startswith("leeward_requests_total")]
        return int(float(line.rpartition(" ")[2]))

    assert await count() == 7
    one.answers["figures"], other.answers["figures"] = requests(5), TimeoutError()
    assert await count() == 9
    both.departed(1, [])
    one.answers["figures"] = GoneError()
    assert await count() == 9


async def test_who_left_while_it_was_asked_is_not_counted_twice():
    workers: list[Asked] = []

    class Leaving(Told):
        async def ask(self, what: str, /, *, timeout: float, **arguments: Any) -> Any:  # noqa: ASYNC109
            workers.clear()
            both.ledger.note(1, requests(3))
            both.departed(1, [])
            return requests(3)

    both = Gathering(lambda: list(workers))
    workers.append(Asked(1, cast("Any", Leaving())))
    page, _ = await both.exposition("", requests(0))
    assert b'leeward_requests_total{cache="hit",upstream="api"} 3.0' in page


async def test_the_store_is_asked_of_one_and_what_is_under_way_of_all():
    one, other = Told(purge=1, forget=True, cache=[{"n": 1}]), Told(purge=2, forget=True, cache=[{"n": 1}])
    both = gathering(one, other)
    assert await both.purge(Purge(tag="a")) in (1, 2)
    asked = [[what for what, _ in channel.asked] for channel in (one, other)]
    assert sorted(asked) == [["forget"], ["forget", "purge"]]
    assert await both.cache(Purge(path="/a"), 5) == [{"n": 1}]


async def test_where_one_has_gone_the_next_is_asked():
    both = gathering(Told(cache=GoneError()), Told(cache=[{"n": 1}]))
    for _ in range(4):
        assert await both.cache(Purge(), 1) == [{"n": 1}]


@pytest.mark.parametrize(
    ("refusal", "raised"),
    [
        (RefusedError("unknown_upstream", "a"), UnknownUpstreamError),
        (RefusedError("no_route", "a"), NoRouteError),
        (RefusedError("bad_request", "a"), BadRequestError),
        (RefusedError("failed", "a"), RefusedError),
        (GoneError(), web.HTTPServiceUnavailable),
    ],
)
async def test_refusals_are_the_ports_own(refusal: Exception, raised: type[Exception]):
    with pytest.raises(raised):
        await gathering(Told(explain=refusal)).explain("GET", "/a")


@pytest.mark.parametrize(
    "ask", [lambda g: g.cache(Purge(), 1), lambda g: g.status(uptime=1, ready=True, capacity={})]
)
async def test_where_nobody_is_there(ask: Callable[[Gathering], Any]):
    with pytest.raises(web.HTTPServiceUnavailable):
        await ask(gathering())


async def test_status_has_the_sums_and_each_row_once():
    def told(times: list[float]) -> Any:
        return {
            "status": {"version": "1", "upstreams": [{"name": "api", "url": "http://a", "requests": 1}]},
            "times": {"api": times},
        }

    both = gathering(
        Told(status=told([0.1, 0.2]), figures=requests(2)), Told(status=told([0.9]), figures=requests(1))
    )
    both.ledger.note(7, requests(10))
    both.departed(7, [])
    status = await both.status(uptime=5, ready=True, capacity={})
    [api] = status["upstreams"]
    assert (api["requests"], api["url"], api["p50_ms"], api["p95_ms"]) == (13, "http://a", 200, 900)
    assert (status["uptime"], status["ready"], status["totals"]["requests"]) == (5, True, 13)
    await asyncio.sleep(0)
