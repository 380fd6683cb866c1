"""Asking whether what is stored is still right: for a caller, for many, and behind their backs."""

import asyncio
from email.utils import formatdate

import pytest

from proxy.core.caching.policy import CachePolicy
from proxy.core.exchange import Verdict
from proxy.core.failure import APIError, UnavailableError, UpstreamProtocolError
from proxy.core.message import Whole
from proxy.core.reason import Reason
from tests.core.caching.samples import WALL, Pair, request, response, route
from tests.gateway.stage import FRESH, Pipe, Stage, callers, fresh, go, quiet, settle, told, whole

TAGGED = ("ETag", '"a"')


def cc(value: str) -> Pair:
    return ("Cache-Control", value)


# Is it still right?


async def stored(stage: Stage, *fields: Pair) -> None:
    stage.script.append(fresh(*(fields or (TAGGED, ("X-Version", "1"))), body=b"stored"))
    await stage.get(request())
    stage.clock.time += 100


async def test_one_question_for_all_and_the_answer_is_fresh_again() -> None:
    stage = Stage()
    before = len(asyncio.all_tasks())
    await stored(stage)
    stage.script.append(response(TAGGED, ("X-Version", "2"), status=304))
    tasks = await callers(stage, 100)
    go(stage)
    got = await asyncio.gather(*tasks)
    assert {body for _, body in got} == {b"stored"}
    assert {answer.status for answer, _ in got} == {200}
    assert {answer.headers.get("x-version") for answer, _ in got} == {"2"}
    assert [asked.headers.get("if-none-match") for asked in stage.asked] == [None, '"a"']
    assert told(got[0][0]) == "leeward; fwd=stale; fwd-status=304; ttl=60; detail=expired"
    assert told(got[1][0]) == "leeward; fwd=stale; fwd-status=304; collapsed; ttl=60; detail=expired"
    assert [e.verdict for e in stage.exchanges[1:3]] == [Verdict.REVALIDATED, Verdict.COALESCED]
    assert [e.reason for e in stage.exchanges[1:3]] == [Reason.EXPIRED, Reason.EXPIRED]
    assert told((await stage.get(request()))[0]) == "leeward; hit; ttl=60"
    await quiet(stage, before)


async def test_a_new_answer_replaces_the_old_one() -> None:
    stage = Stage()
    await stored(stage)
    stage.script.append(fresh(("ETag", '"b"'), body=b"new"))
    assert (await stage.get(request()))[1] == b"new"
    assert (await stage.get(request()))[1] == b"new"
    assert stage.store.usage()[0] == 1


async def test_the_callers_condition_gives_way_and_is_answered_after() -> None:
    stage = Stage()
    await stored(stage)
    stage.script.append(response(TAGGED, status=304))
    answer, exchange = await stage.ask(request(("If-None-Match", '"a"')))
    assert (answer.status, exchange.verdict) == (304, Verdict.REVALIDATED)
    stage.clock.time += 100
    stage.script.append(response(TAGGED, status=304))
    answer, body = await stage.get(request(("If-None-Match", '"older"')))
    assert (answer.status, body) == (200, b"stored")
    assert stage.asked[-1].headers.all("if-none-match") == ['"a"']


@pytest.mark.parametrize("dated", [[], [("Date", formatdate(WALL + 100, usegmt=True))]])
async def test_a_304_does_not_lengthen_an_expires_that_it_does_not_name(dated: list[Pair]) -> None:
    stage = Stage()
    expires = ("Expires", formatdate(WALL + 60, usegmt=True))
    stage.script += [response(expires, TAGGED, body=Whole(b"x")), response(TAGGED, *dated, status=304)]
    first, _ = await stage.get(request())
    assert told(first) == "leeward; fwd=uri-miss; fwd-status=200; stored; ttl=60"
    stage.clock.time += 100
    answer, _ = await stage.get(request())
    assert told(answer) == "leeward; fwd=stale; fwd-status=304; ttl=0; detail=expired"
    assert answer.headers.all("date") == [formatdate(WALL + 100, usegmt=True)]


async def test_a_304_for_something_else_is_not_believed() -> None:
    stage = Stage()
    await stored(stage)
    stage.script += [response(("ETag", '"b"'), status=304), fresh(("ETag", '"b"'), body=b"new")]
    answer, body = await stage.get(request(("If-None-Match", '"z"')))
    assert (answer.status, body) == (200, b"new")
    assert "if-none-match" not in stage.asked[-1].headers


async def test_a_304_that_forbids_storing_is_the_last_of_it() -> None:
    stage = Stage()
    await stored(stage)
    stage.script.append(response(cc("no-store"), ("Set-Cookie", "a=b"), status=304))
    answer, body = await stage.get(request())
    assert (answer.status, body) == (200, b"stored")
    assert answer.headers.get("set-cookie") == "a=b"
    assert told(answer) == "leeward; fwd=stale; fwd-status=304; detail=no-store"
    assert stage.store.usage() == (0, 0)


async def test_a_failure_of_the_origin_is_passed_on_and_the_entry_stays() -> None:
    stage = Stage()
    await stored(stage)
    stage.script += [response(status=503), response(TAGGED, status=304)]
    assert (await stage.get(request()))[0].status == 503
    assert (await stage.get(request()))[1] == b"stored"


async def test_a_caller_that_wants_it_validated_asks_for_itself() -> None:
    stage = Stage()
    stage.script.append(fresh(TAGGED, body=b"stored"))
    await stage.get(request())
    stage.script += [response(TAGGED, status=304), fresh(TAGGED, body=b"new")]
    answer, body = await stage.get(request(cc("no-cache")))
    assert body == b"stored"
    assert told(answer) == "leeward; fwd=request; fwd-status=304; ttl=60; detail=request-no-cache"
    assert (await stage.get(request(("Pragma", "no-cache"))))[1] == b"new"
    assert (await stage.get(request()))[1] == b"new"


async def test_a_304_does_not_bring_back_what_was_replaced_meanwhile() -> None:
    stage = Stage()
    stage.script += [fresh(TAGGED, body=b"old"), response(TAGGED, FRESH, status=304), fresh(body=b"new")]
    await stage.get(request())
    stage.clock.time += 61
    (slow,) = await callers(stage, 1, request())
    gate, stage.gate = stage.gate, None
    stage.clock.time += 1
    assert (await stage.get(request(cc("no-cache"))))[1] == b"new"
    stage.gate = gate
    go(stage)
    assert (await slow)[1] == b"old"
    assert (await stage.get(request()))[1] == b"new"


async def test_a_condition_that_joins_is_answered_from_what_comes() -> None:
    stage = Stage()
    source = Pipe()
    stage.script.append(fresh(TAGGED, body=source))
    leader, _ = await stage.ask(request())
    joined, _ = await stage.ask(request(("If-None-Match", '"a"')))
    assert (joined.status, joined.body.length) == (304, 0)
    source.put(b"body", None)
    assert await whole(leader.body) == b"body"


async def test_a_condition_that_comes_to_lead_asks_for_all() -> None:
    stage = Stage()
    stage.script += [UnavailableError(), fresh(TAGGED)]
    tasks = await callers(stage, 3, request(), request(("If-None-Match", '"a"')), request())
    go(stage)
    _, led, followed = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(led, tuple)
    assert isinstance(followed, tuple)
    assert (led[0].status, followed[0].status, followed[1]) == (304, 200, b"body")
    assert "if-none-match" not in stage.asked[1].headers


# Behind the caller's back


SWR = cc("max-age=60, stale-while-revalidate=1000")


async def test_stale_while_revalidate_serves_at_once_and_asks_once() -> None:
    stage = Stage()
    before = len(asyncio.all_tasks())
    stage.script.append(response(SWR, TAGGED, body=Whole(b"old")))
    await stage.get(request())
    stage.clock.time += 100
    stage.script.append(response(SWR, ("ETag", '"b"'), body=Whole(b"new")))
    hasty = request(("If-None-Match", '"x"'), ("X-Request-Timeout", "0.1"), ("grpc-timeout", "1m"))
    got = [await stage.get(hasty) for _ in range(20)]
    assert {body for _, body in got} == {b"old"}
    assert told(got[0][0]) == "leeward; hit; ttl=-40; detail=stale-while-revalidate"
    assert stage.exchanges[1].verdict is Verdict.STALE
    await settle()
    assert len(stage.asked) == 2
    assert stage.asked[1].headers.get("if-none-match") == '"a"'
    # Its caller has its answer: nobody's haste is the refresh's.
    assert {"x-request-timeout", "grpc-timeout"}.isdisjoint(stage.asked[1].headers.names())
    assert (await stage.get(request()))[1] == b"new"
    # The caller's record is not written to by what came after it.
    assert stage.exchanges[1].reason is Reason.WHILE_REVALIDATE
    await quiet(stage, before)


@pytest.mark.parametrize("reply", [UnavailableError(), "cut"])
async def test_a_refresh_that_fails_leaves_the_stale_answer(reply: object) -> None:
    stage = Stage()
    before = len(asyncio.all_tasks())
    stage.script.append(response(SWR, body=Whole(b"old")))
    await stage.get(request())
    stage.clock.time += 100
    cut = fresh(body=Pipe(b"x", UpstreamProtocolError()))
    stage.script += [reply if isinstance(reply, APIError) else cut, fresh()]
    for _ in range(2):
        assert (await stage.get(request()))[1] == b"old"
        await settle()
    assert (await stage.get(request()))[1] == b"body"
    await quiet(stage, before)


@pytest.mark.parametrize("tagged", [[], [TAGGED]])
async def test_a_failure_that_would_be_kept_does_not_replace_it_where_stale_may_stand_in(
    tagged: list[Pair],
) -> None:
    stage = Stage(route(CachePolicy(stale_if_error=1000.0, negative_ttl={500: 60.0})))
    stage.script.append(response(SWR, *tagged, body=Whole(b"old")))
    await stage.get(request())
    stage.clock.time += 100
    stage.script += [response(status=500), fresh(body=b"new")]
    for _ in range(2):
        assert (await stage.get(request()))[1] == b"old"
        await settle()
    assert (await stage.get(request()))[1] == b"new"


async def test_nothing_is_refreshed_while_the_proxy_leaves() -> None:
    stage = Stage()
    stage.script.append(response(SWR, body=Whole(b"old")))
    await stage.get(request())
    stage.clock.time += 100
    await stage.refresh.drain(0)
    assert (await stage.get(request()))[1] == b"old"
    assert len(stage.refresh) == 0


async def test_a_refresh_that_never_began_leaves_no_flight() -> None:
    stage = Stage()
    stage.script.append(response(SWR, body=Whole(b"old")))
    await stage.get(request())
    stage.clock.time += 100
    await settle()
    assert (await stage.ask(request()))[0].status == 200
    assert await stage.refresh.drain(0) == 1
    await settle()
    assert len(stage.caching._flights) == 0
