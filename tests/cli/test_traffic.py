"""Are the demo's calls made and measured as they are told?"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from proxy.cli.traffic import SPAN, Call, Outcome, Run, play, trace


@asynccontextmanager
async def answering(handler: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(handler, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def annotated(request: web.Request) -> web.Response:
    headers = {
        "/hit": {"Cache-Status": "leeward; hit; ttl=3"},
        "/joined": {"Cache-Status": "leeward; fwd=uri-miss; collapsed"},
        "/retried": {"Cache-Status": "leeward; fwd=uri-miss; stored", "Leeward-Attempts": "3"},
        "/failed": {"Cache-Status": "leeward; fwd=uri-miss", "Leeward-Error": "not_found"},
    }
    if request.path == "/dropped" and request.transport:
        request.transport.abort()
    status = 404 if request.path == "/failed" else 200
    return web.Response(status=status, text=request.method, headers=headers.get(request.path))


async def test_every_call_is_made_and_what_leeward_says_is_read() -> None:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", annotated)
    paths = ["/plain", "/hit", "/joined", "/retried", "/failed", "/dropped"]
    run = Run()
    async with answering(app) as base:
        await play([Call(at=0, path=path) for path in paths], base, run, {})
    got = {outcome.call.path: outcome for outcome in run.outcomes}
    assert {path: got[path].verdict for path in paths} == {
        "/plain": "",
        "/hit": "hit",
        "/joined": "collapsed",
        "/retried": "fetched",
        "/failed": "fetched",
        "/dropped": "",
    }
    assert got["/retried"].attempts == 3
    assert got["/failed"].code == "not_found"
    assert got["/plain"].body == "GET"
    assert got["/dropped"].status == 0
    assert run.failed == 2


def test_the_trace_is_the_same_every_time_and_holds_what_is_shown() -> None:
    calls = trace()
    assert calls == trace()
    assert calls == sorted(calls, key=lambda call: call.at)
    assert all(0 <= call.at <= SPAN for call in calls)
    assert {call.method for call in calls} == {"GET", "POST"}
    assert {call.path.split("/")[1] for call in calls} >= {"products", "rates", "orders", "reports", "users"}


@pytest.mark.parametrize(
    ("status", "doomed", "failed"),
    [(200, False, False), (503, False, True), (0, False, True), (404, True, False), (500, True, False)],
)
def test_a_call_failed_only_where_the_api_had_an_answer(status: int, doomed: bool, failed: bool) -> None:
    call = Call(at=0, path="/", doomed=doomed)
    assert Outcome(call=call, status=status, seconds=0.1).failed is failed


def test_waiting_is_told_of_good_answers() -> None:
    call = Call(at=0, path="/")
    run = Run()
    assert run.waited(0.5) == 0
    run.outcomes += [Outcome(call=call, status=200, seconds=n / 10) for n in range(1, 11)]
    run.outcomes += [Outcome(call=call, status=503, seconds=9)]
    assert run.waited(0.5) == 0.6
    assert run.waited(0.95) == 1.0
