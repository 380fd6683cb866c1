"""Several processes, each with its own gateway, on one store: who fetches, and what becomes of the others?"""

from __future__ import annotations

import asyncio
from collections import Counter, deque

import pytest

from proxy.core.exchange import Verdict
from proxy.core.failure import ConnectError
from proxy.core.message import Whole
from proxy.core.ports import Turn
from proxy.core.reason import Reason
from proxy.gateway.caching import Caching
from tests.core.caching.samples import SECRET, request, response
from tests.gateway.stage import Pipe, Stage, fresh, quiet, settle, told, whole


class Deal:
    """Turns and Changes among gateways of one test, by a dictionary."""

    def __init__(self) -> None:
        self.holder: dict[bytes, Seat] = {}
        self.waiting: dict[bytes, list[asyncio.Future[Turn]]] = {}
        self.changed: Counter[bytes] = Counter()
        self.patience: list[float] = []


class Seat:
    """One process's view of it."""

    def __init__(self, deal: Deal) -> None:
        self.deal = deal

    async def take(self, name: bytes, patience: float) -> Turn:
        self.deal.patience.append(patience)
        if self.deal.holder.setdefault(name, self) is self:
            return Turn.MINE
        waiting: asyncio.Future[Turn] = asyncio.get_running_loop().create_future()
        self.deal.waiting.setdefault(name, []).append(waiting)
        return await waiting

    def end(self, name: bytes, *, shared: bool) -> None:
        assert self.deal.holder.pop(name) is self, "only its own turn"
        for waiting in self.deal.waiting.pop(name, ()):
            if not waiting.done():
                waiting.set_result(Turn.OVER if shared else Turn.ALONE)

    def note(self, place: bytes) -> None:
        self.deal.changed[place] += 1

    def seen(self, place: bytes) -> int:
        return self.deal.changed[place]


@pytest.fixture
def deal() -> Deal:
    return Deal()


@pytest.fixture
def both(deal: Deal) -> tuple[Stage, Stage]:
    """Two processes on one store, in front of one origin."""
    one, other = Stage(), Stage()
    other.store, other.clock = one.store, one.clock
    other.asked, other.script = one.asked, one.script
    for stage in (one, other):
        seat = Seat(deal)
        stage.caching = Caching(
            store=stage.store,
            clock=stage.clock,
            refresh=stage.refresh,
            secret_key=SECRET,
            turns=seat,
            changes=seat,
        )
    return one, other


async def test_one_process_fetches_for_all_callers_of_both(both, deal):
    one, other = both
    pipe = Pipe()
    one.script = other.script = deque([fresh(body=pipe)])
    tasks = [asyncio.create_task(stage.get(request())) for stage in (one, other) for _ in range(5)]
    await settle()
    assert len(one.asked) == 1
    pipe.put(b"body", None)
    answers = await asyncio.gather(*tasks)
    assert {body for _, body in answers} == {b"body"}
    assert len(one.asked) == 1
    assert "collapsed" in told(answers[-1][0])
    assert not deal.holder
    for stage in both:
        assert stage.exchanges[-1].verdict is Verdict.COALESCED
        assert stage.exchanges[-1].reason is Reason.URI_MISS
        await quiet(stage, 1)


async def test_another_process_is_waited_for_no_longer_than_its_caller_waits(both, deal):
    one, _ = both
    one.script.extend([fresh(), fresh()])
    await one.ask(request(target="/a"), deadline=one.clock.time + 3)
    await one.ask(request(target="/b"))
    assert deal.patience == [3.0, 10.0]


async def test_what_landed_between_the_look_and_the_turn_is_not_fetched_again(both):
    one, other = both
    one.script.append(fresh())
    load = other.store.load

    async def late(key):
        entries = await load(key)
        other.store.load = load
        await one.get(request())
        return entries

    other.store.load = late
    answer, body = await other.get(request())
    assert (body, len(one.asked)) == (b"body", 1)
    assert "collapsed" in told(answer)
    await quiet(other, 1)


async def test_what_cannot_be_shared_is_waited_for_by_nobody(both, deal):
    one, other = both
    pipe = Pipe()
    one.script.extend([response(("Cache-Control", "no-store"), body=pipe), fresh(body=b"own")])
    first, _ = await one.ask(request())
    _, body = await asyncio.wait_for(other.get(request()), 1)
    assert body == b"own"
    assert len(one.asked) == 2
    pipe.put(None)
    await whole(first.body)
    assert not deal.holder


async def test_a_stream_of_events_is_not_waited_for(both):
    one, other = both
    pipe = Pipe()
    fields = (("Cache-Control", "max-age=60"), ("Content-Type", "text/event-stream"))
    one.script.extend([response(*fields, body=pipe), response(*fields, body=Whole(b"data: own\n\n"))])
    first, _ = await one.ask(request())
    _, body = await asyncio.wait_for(other.get(request()), 1)
    assert body == b"data: own\n\n"
    pipe.put(b"data: 1\n\n", None)
    assert await whole(first.body) == b"data: 1\n\n"
    await quiet(one, 1)


async def test_after_a_failure_the_next_process_tries(both):
    one, other = both
    one.gate = other.gate = asyncio.Event()
    one.script.extend([ConnectError("gone"), fresh()])
    failing = asyncio.create_task(one.get(request()))
    await settle()
    trying = asyncio.create_task(other.get(request()))
    await settle()
    assert len(one.asked) == 1
    one.gate.set()
    with pytest.raises(ConnectError):
        await failing
    assert (await trying)[1] == b"body"
    assert len(one.asked) == 2


async def test_a_caller_who_leaves_gives_its_turn_back(both, deal):
    one, other = both
    one.gate = asyncio.Event()
    one.script.extend([fresh(), fresh(body=b"second")])
    leaving = asyncio.create_task(one.get(request()))
    await settle()
    staying = asyncio.create_task(other.get(request()))
    await settle()
    leaving.cancel()
    await asyncio.wait([leaving])
    assert (await staying)[1] == b"second"
    assert not deal.holder


async def test_what_another_process_changed_is_neither_kept_nor_joined(both):
    one, other = both
    old, pipe = Pipe(), Pipe()
    one.script.extend([fresh(body=old), response(status=204, body=Whole()), fresh(body=pipe)])
    first, _ = await one.ask(request())
    await other.get(request(method="POST"))
    second = asyncio.create_task(one.get(request()))
    await settle()
    old.put(b"old", None)
    pipe.put(b"new", None)
    assert await whole(first.body) == b"old"
    assert (await second)[1] == b"new"
    answer, body = await other.get(request())
    assert body == b"new"
    assert told(answer).startswith("leeward; hit")
    assert len(one.asked) == 3


async def test_patience_is_for_all_waiting_together(both, deal):
    one, _ = both
    one.script.append(fresh())
    await one.get(request())
    assert deal.patience == [10.0]
