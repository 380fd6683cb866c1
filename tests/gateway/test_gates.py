"""Are those who wait at a shut gate woken in order, and is nobody and nothing forgotten there?"""

from __future__ import annotations

import asyncio

from proxy.core.resilience.passage import GO, Go, Wait
from proxy.gateway import gates as module
from proxy.gateway.gates import MOST_SECONDS, Gates, Scope
from tests.gateway.hours import LoopClock, lived

LATE = 1e9
HERE = Scope("api", "me", "default")
THERE = Scope("api", "you", "default")


def test_a_gate_is_anothers_business() -> None:
    async def life() -> None:
        gates = Gates(LoopClock())
        gates.limited(HERE, 5.0)
        assert gates.look(HERE) == Wait(seconds=5.0)
        assert gates.shut(HERE)
        assert gates.look(THERE) == gates.enter(THERE) == GO
        assert not gates.shut(THERE)
        gates.ended(THERE, 0, well=True)
        assert len(gates) == 1

    lived(life())


def test_a_time_that_is_too_long_is_asked_about() -> None:
    async def life() -> None:
        gates = Gates(LoopClock())
        gates.limited(HERE, 1e9)
        assert gates.look(HERE) == Wait(seconds=MOST_SECONDS)
        gates.limited(THERE, 0.0)
        assert len(gates) == 1

    lived(life())


def test_a_crowd_comes_back_as_a_trickle_in_its_order() -> None:
    async def life() -> None:
        gates, clock = Gates(LoopClock()), LoopClock()
        gates.limited(HERE, 5.0)
        began = clock.now()
        went: list[tuple[int, float]] = []
        most = under_way = 0

        async def caller(number: int) -> None:
            nonlocal most, under_way
            stood = False
            while isinstance(passage := gates.look(HERE), Wait):
                await gates.stand(HERE, LATE, again=stood)
                stood = True
            passage = gates.enter(HERE)
            assert isinstance(passage, Go)
            went.append((number, clock.now() - began))
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.01)
            under_way -= 1
            gates.ended(HERE, passage.era, well=True)

        await asyncio.gather(*(caller(number) for number in range(60)))
        assert min(when for _, when in went) >= 5.0
        assert [when for _, when in went if when < 5.005] == [5.0], "one probe first"
        assert max(when for _, when in went) < 5.2
        assert most <= 32
        assert len(gates) == 0
        assert gates._waiting == {}
        assert gates._timers == gates._called == {}
        numbers = [number for number, _ in went]
        assert numbers == sorted(numbers)

    lived(life())


def test_a_deadline_at_the_gate() -> None:
    async def life() -> None:
        gates, clock = Gates(LoopClock()), LoopClock()
        gates.limited(HERE, 5.0)
        await gates.stand(HERE, clock.now() + 2)
        assert clock.now() == 1002
        assert gates._waiting == gates._timers == {}

    lived(life())


def test_who_leaves_hands_its_turn_on() -> None:
    async def life() -> None:
        gates = Gates(LoopClock())
        gates.limited(HERE, 5.0)
        probe = asyncio.create_task(gates.stand(HERE, LATE))
        first = asyncio.create_task(gates.stand(HERE, LATE))
        second = asyncio.create_task(gates.stand(HERE, LATE))
        third = asyncio.create_task(gates.stand(HERE, LATE))
        await probe
        passage = gates.enter(HERE)
        assert isinstance(passage, Go)
        third.cancel()
        gates.ended(HERE, passage.era, well=False)  # wakes the first, who leaves at that very moment
        first.cancel()
        await asyncio.wait([first, second, third])
        assert (first.cancelled(), second.cancelled(), third.cancelled()) == (True, False, True)
        assert asyncio.get_running_loop().time() < 1010

    lived(life())


def test_memory_is_bounded(monkeypatch) -> None:
    monkeypatch.setattr(module, "_MOST_GATES", 3)

    async def life() -> None:
        gates = Gates(LoopClock())
        for number in range(3):
            gates.limited(Scope("api", number, "default"), 5.0)
        gates.limited(Scope("api", 3, "default"), 5.0)  # the eldest goes
        assert len(gates) == 3
        assert gates.look(Scope("api", 0, "default")) == GO
        await asyncio.sleep(6)
        gates.limited(Scope("api", 4, "default"), 5.0)  # those that hold nobody back go
        assert len(gates) == 1

    lived(life())
