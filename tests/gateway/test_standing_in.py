"""What is stored answers while the origin fails, to whoever led and whoever waited."""

import asyncio

import pytest

from proxy.core.exchange import Verdict
from proxy.core.failure import ConnectError, UpstreamProtocolError
from proxy.core.message import Response
from proxy.core.reason import Reason
from tests.core.caching.samples import Pair, request, response
from tests.gateway.stage import Stage, callers, fresh, go, quiet, told


def cc(value: str) -> Pair:
    return ("Cache-Control", value)


async def aged(stage: Stage, *fields: Pair, seconds: float = 70) -> None:
    """Something is stored, and has become stale."""
    stage.script.append(response(*fields, body=fresh().body))
    await stage.get(request())
    stage.clock.time += seconds


@pytest.mark.parametrize("tagged", [[], [("ETag", '"a"')]])
async def test_an_origin_that_is_gone_is_stood_in_for(tagged: list[Pair]) -> None:
    stage = Stage()
    await aged(stage, cc("max-age=60"), *tagged)
    stage.script.append(ConnectError())
    answer, exchange = await stage.ask(request())
    assert (answer.status, told(answer)) == (200, "leeward; fwd=stale; ttl=-10; detail=origin-gone")
    assert (exchange.verdict, exchange.reason) == (Verdict.STALE, Reason.ORIGIN_GONE)
    assert answer.headers.get("age") == "70"


async def test_the_next_one_asks_again() -> None:
    stage = Stage()
    await aged(stage, cc("max-age=60"))
    stage.script.extend([ConnectError(), fresh(body=b"new")])
    assert (await stage.get(request()))[1] == b"body"
    assert (await stage.get(request()))[1] == b"new"


@pytest.mark.parametrize("directive", ["must-revalidate", "no-cache", "stale-if-error=5"])
async def test_where_it_may_not_the_failure_is_told(directive: str) -> None:
    stage = Stage()
    await aged(stage, cc(f"max-age=60, {directive}"), ("ETag", '"a"'))
    stage.script.append(UpstreamProtocolError())
    with pytest.raises(UpstreamProtocolError):
        await stage.ask(request())


async def test_a_failing_answer_is_replaced_where_the_origin_allows_it_and_only_there() -> None:
    for allowed, status in (("stale-if-error=60", 200), ("public", 503)):
        stage = Stage()
        await aged(stage, cc(f"max-age=60, {allowed}"))
        failing = response(status=503, body=fresh(body=b"failed").body)
        stage.script.append(failing)
        answer, body = await stage.get(request())
        assert (answer.status, body) == (status, b"body" if status == 200 else b"failed")


async def test_those_who_wait_get_what_is_stored_and_the_origin_is_not_stormed() -> None:
    stage = Stage()
    await aged(stage, cc("max-age=60"))
    before = len(asyncio.all_tasks())
    stage.script.extend([ConnectError()] * 50)
    tasks = await callers(stage, 50)
    go(stage)
    answers: list[tuple[Response, bytes]] = await asyncio.gather(*tasks)
    assert {body for _, body in answers} == {b"body"}
    assert len(stage.asked) <= 3
    await quiet(stage, before)
