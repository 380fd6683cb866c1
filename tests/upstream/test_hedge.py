"""Does a second attempt begin beside a late one, and is the one that loses given up?"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from proxy.core.failure import UpstreamProtocolError
from proxy.core.message import Headers, Response, Whole
from proxy.core.reason import Reason
from proxy.core.resilience.budget import BudgetPolicy
from proxy.core.resilience.hedging import ENOUGH, HedgePolicy
from proxy.core.routing import Origin as Base
from proxy.gateway.resilience import Resilience
from proxy.upstream.hedge import race
from tests.core.caching.samples import SECRET
from tests.origin import Gate, Origin
from tests.upstream.conftest import OK, Pieces, Way
from tests.upstream.test_restrained import Doorkeeper

HEDGED = {"hedge": HedgePolicy(least=0.02)}
NO = b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno"


async def learned(way: Way) -> None:
    """Answers enough to know how long they take."""
    for _ in range(ENOUGH):
        await way.ask("GET", "/quick", retry=HEDGED)


async def test_a_late_attempt_gets_another_beside_it(way: Way) -> None:
    await learned(way)
    way.origin.on("/x").raw(Gate()).raw(OK)
    got = await way.ask(retry=HEDGED)
    assert (got.status, got.body) == (200, b"ok")
    assert got.told == [("cancelled", "hedged"), ("2xx", None)]
    assert got.exchange.attempts[0].reason is Reason.HEDGED
    first, _ = way.origin.hits("/x")
    assert await asyncio.to_thread(first.gone.wait, 5), "the one that lost was broken off"
    assert way.counts[0] == 0
    assert way.watcher.seen[-1] is got.exchange.attempts[0]


async def test_the_first_may_still_be_quicker(way: Way) -> None:
    await learned(way)
    early, late = Gate(), Gate()
    way.origin.on("/x").raw(early, OK).raw(late)
    asking = asyncio.ensure_future(way.ask(retry=HEDGED))
    await asyncio.to_thread(way.origin.wait_for, "/x", 2)
    early.open()
    got = await asking
    assert got.status == 200
    assert got.told == [("cancelled", "hedged"), ("2xx", "hedged")]
    assert await asyncio.to_thread(way.origin.hits("/x")[1].gone.wait, 5)


async def test_one_that_fails_leaves_it_to_the_other(way: Way) -> None:
    await learned(way)
    gate = Gate()
    way.origin.on("/x").raw(gate, OK).raw(NO)
    asking = asyncio.ensure_future(way.ask(retry=HEDGED))
    await asyncio.to_thread(way.origin.wait_for, "/x", 2)
    await asyncio.sleep(0.05)
    gate.open()
    assert (await asking).status == 200
    assert way.origin.count("/x") == 2


async def test_where_both_fail_it_is_as_if_the_first_had_been_alone(way: Way) -> None:
    await learned(way)
    gate = Gate()
    way.origin.on("/x").raw(gate, b"HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n").raw(NO)
    asking = asyncio.ensure_future(way.ask(retry={**HEDGED, "attempts": 2}))
    await asyncio.to_thread(way.origin.wait_for, "/x", 2)
    gate.open()
    got = await asking
    assert got.status == 502
    assert way.origin.count("/x") == 2, "a hedge is one of the attempts"
    assert got.told[-1] == ("5xx", "attempts-used")
    assert way.counts[0] == 0


@pytest.mark.parametrize(
    ("method", "changed"),
    [
        ("POST", {}),
        ("GET", {"attempts": 1}),
        ("GET", {"methods": frozenset({"HEAD"})}),
        ("GET", {"budget": BudgetPolicy(ratio=0.0, min_per_second=0)}),
        ("GET", {"hedge": None}),
    ],
)
async def test_where_there_is_no_hedge(way: Way, method: str, changed: dict[str, Any]) -> None:
    await learned(way)
    gate = Gate()
    way.origin.on("/x").raw(gate, OK)
    asking = asyncio.ensure_future(way.ask(method, "/x", retry={**HEDGED, **changed}))
    await asyncio.to_thread(way.origin.wait_for, "/x", 1)
    await asyncio.sleep(0.1)
    gate.open()
    assert (await asking).status == 200
    assert way.origin.count("/x") == 1


async def test_a_body_that_comes_in_pieces_is_not_sent_twice_at_once(way: Way) -> None:
    await learned(way)
    gate = Gate()
    way.origin.on("/x").raw(gate, OK)
    body = Pieces(b"a" * 70_000, b"b" * 70_000)
    asking = asyncio.ensure_future(way.ask("PUT", body=body, retry=HEDGED))
    await asyncio.to_thread(way.origin.wait_for, "/x", 1)
    await asyncio.sleep(0.1)
    gate.open()
    assert (await asking).status == 200
    assert way.origin.count("/x") == 1


async def test_nobody_is_hedged_before_enough_is_known(way: Way) -> None:
    gate = Gate()
    way.origin.on("/x").raw(gate, OK)
    asking = asyncio.ensure_future(way.ask(retry=HEDGED))
    await asyncio.to_thread(way.origin.wait_for, "/x", 1)
    await asyncio.sleep(0.1)
    gate.open()
    await asking
    assert way.origin.count("/x") == 1


async def test_a_hedge_is_paid_from_the_budget(way: Way) -> None:
    retry = {**HEDGED, "budget": BudgetPolicy(ratio=1.0, min_per_second=0)}
    for _ in range(ENOUGH):
        await way.ask("GET", "/quick", retry=retry)
    (before,) = way.attempts.budgets.remaining().values()
    way.origin.on("/x").raw(Gate()).raw(OK)
    await way.ask(retry=retry)
    (after,) = way.attempts.budgets.remaining().values()
    # One request more is one retry more, and one was paid; what fades meanwhile is little.
    assert before + 1 - after == pytest.approx(1.0, abs=0.5)


async def test_what_restrains_is_asked_and_told(way: Way) -> None:
    await learned(way)
    door = way.attempts.restraint = Doorkeeper()
    way.origin.on("/x").raw(Gate()).raw(OK)
    assert (await way.ask(retry=HEDGED)).status == 200
    assert door.seen == ["in", "spare", "200", "left"]


async def test_where_anything_holds_calls_back_there_is_no_hedge(way: Way) -> None:
    from proxy.core.reason import Reason

    await learned(way)
    door = way.attempts.restraint = Doorkeeper(refuses=Reason.HOLD_OFF)
    gate = Gate()
    way.origin.on("/x").raw(gate, OK)
    asking = asyncio.ensure_future(way.ask(retry=HEDGED))
    await asyncio.to_thread(way.origin.wait_for, "/x", 1)
    await asyncio.sleep(0.1)
    gate.open()
    await asking
    assert "spare" in door.seen
    assert way.origin.count("/x") == 1


async def test_a_caller_that_leaves_ends_both(way: Way) -> None:
    await learned(way)
    way.origin.on("/x").raw(Gate())
    asking = asyncio.ensure_future(way.ask(retry=HEDGED))
    hits = await asyncio.to_thread(way.origin.wait_for, "/x", 2)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert way.counts[0] == 0
    for hit in hits:
        assert await asyncio.to_thread(hit.gone.wait, 5)


async def test_the_race_closes_what_it_does_not_hand_on() -> None:
    class Body(Whole):
        closed = False

        def close(self) -> None:
            self.closed = True
            super().close()

    def answer(status: int) -> Response:
        return Response(status=status, headers=Headers(), body=Body(b"x"))

    bad, good = answer(500), answer(200)

    async def later(response: Response, seconds: float) -> Response:
        await asyncio.sleep(seconds)
        return response

    async def broken() -> Response:
        await asyncio.sleep(0.01)
        raise UpstreamProtocolError

    def beside(way: Coroutine[Any, Any, Response] | None) -> Any:
        return lambda: way

    assert await race(later(bad, 0.02), beside(later(good, 0.03)), after=0.001) == (good, True)
    assert isinstance(bad.body, Body)
    assert bad.body.closed
    assert await race(later(good, 0.02), beside(broken()), after=0.001) == (good, False)
    assert await race(later(good, 0.01), beside(None), after=0.001) == (good, False)
    other = answer(503)
    assert await race(later(bad, 0.02), beside(later(other, 0.01)), after=0.001) == (bad, False)
    assert isinstance(other.body, Body)
    assert other.body.closed
    with pytest.raises(UpstreamProtocolError):
        await race(broken(), beside(later(other, 0.02)), after=0.001)


async def test_a_hedge_goes_to_another_endpoint(way: Way) -> None:

    await learned(way)
    way.attempts.restraint = Resilience(clock=way.attempts.clock, secret=SECRET)
    way.origin.on("/x").raw(Gate())
    with Origin() as other:
        second = Base(scheme="http", host="127.0.0.1", port=other.port)
        got = await way.ask(retry=HEDGED, origins=(way.route.origins[0], second))
        assert (got.status, way.origin.count("/x"), other.count("/x")) == (200, 1, 1)
