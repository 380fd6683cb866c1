"""Is a place never taken twice, never lost, and is nobody left standing?"""

from __future__ import annotations

import asyncio
import random

import pytest

from proxy.core.failure import DeadlineExceededError, OverloadedError
from proxy.core.resilience.queue import Line, Priority, QueuePolicy
from proxy.gateway.places import Places
from tests.gateway.hours import LoopClock, lived

INTER, BATCH = Priority.INTERACTIVE, Priority.BATCH
LATE = 1e9


def test_first_come_first_served_and_batch_yields() -> None:
    async def life() -> None:
        places = Places(QueuePolicy(most=1, most_waiting=3), LoopClock())
        assert await places.take(INTER, LATE) is False
        order: list[str] = []

        async def caller(name: str, as_: Priority) -> None:
            try:
                assert await places.take(as_, LATE)
            except OverloadedError:
                order.append(f"{name} refused")
                return
            order.append(name)
            await asyncio.sleep(1)
            places.free()

        calls = [("b1", BATCH), ("b2", BATCH), ("i1", INTER), ("i2", INTER), ("b3", BATCH), ("i3", INTER)]
        tasks = []
        for name, as_ in calls:
            tasks.append(asyncio.create_task(caller(name, as_)))
            await asyncio.sleep(0.01)
        places.free()
        await asyncio.gather(*tasks)
        assert order == ["b2 refused", "b3 refused", "b1 refused", "i1", "i2", "i3"]
        assert places.line == Line()

    lived(life())


def test_a_deadline_in_the_queue() -> None:
    async def life() -> None:
        clock = LoopClock()
        places = Places(QueuePolicy(most=1, most_waiting=3), clock)
        await places.take(INTER, LATE)
        with pytest.raises(DeadlineExceededError):
            await places.take(INTER, clock.now() + 2)
        assert clock.now() == pytest.approx(1002)
        with pytest.raises(DeadlineExceededError):
            await places.take(INTER, clock.now() - 1)
        assert places.line == Line(under_way=1)

    lived(life())


def test_who_leaves_when_called_hands_its_place_on() -> None:
    async def life() -> None:
        places = Places(QueuePolicy(most=1), LoopClock())
        await places.take(INTER, LATE)
        first = asyncio.create_task(places.take(INTER, LATE))
        second = asyncio.create_task(places.take(INTER, LATE))
        await asyncio.sleep(1)
        places.free()
        first.cancel()
        await asyncio.wait([first, second])
        assert (first.cancelled(), second.result()) == (True, True)
        # And the other way about: it left, and is called before it has gone.
        third = asyncio.create_task(places.take(INTER, LATE))
        await asyncio.sleep(1)
        third.cancel()
        places.free()
        await asyncio.wait([third])
        assert places.line == Line()

    lived(life())


@pytest.mark.parametrize("seed", range(5))
def test_any_order_of_events_ends_with_nobody(seed: int) -> None:
    async def life() -> None:
        chance = random.Random(seed)
        clock = LoopClock()
        places = Places(QueuePolicy(most=3, most_waiting=6), clock)
        under_way = 0

        async def caller() -> None:
            nonlocal under_way
            await asyncio.sleep(chance.random() * 10)
            try:
                await places.take(chance.choice([INTER, BATCH]), clock.now() + chance.random())
            except (OverloadedError, DeadlineExceededError):
                return
            under_way += 1
            assert under_way <= 3
            try:
                await asyncio.sleep(chance.random())
            finally:
                under_way -= 1
                places.free()

        tasks = [asyncio.create_task(caller()) for _ in range(200)]
        for task in chance.sample(tasks, 60):
            await asyncio.sleep(chance.random() / 6)
            task.cancel()
        await asyncio.wait(tasks)
        assert all(task.cancelled() or task.exception() is None for task in tasks)
        assert places.line == Line()
        assert places._waiting == {}

    lived(life())


def test_an_adaptive_limit_follows_the_answers() -> None:
    async def life() -> None:
        places = Places(QueuePolicy(most=100, adaptive=True), LoopClock())
        assert places.most == 20
        for _ in range(20):
            await places.take(INTER, LATE)
        for _ in range(50):
            places.observed(0.1, overloaded=False)
        grown = places.most
        assert grown > 20
        for _ in range(50):
            places.observed(5.0, overloaded=True)
        assert places.most < 10
        fixed = Places(QueuePolicy(most=5), LoopClock())
        fixed.observed(5.0, overloaded=True)
        assert fixed.most == 5

    lived(life())


def test_a_place_at_once_is_one_that_nobody_waits_for() -> None:
    async def life() -> None:
        places = Places(QueuePolicy(most=2), LoopClock())
        assert places.take_at_once()
        assert await places.take(INTER, LATE) is False
        assert not places.take_at_once()
        assert places.line == Line(under_way=2)
        waiting = asyncio.create_task(places.take(BATCH, LATE))
        await asyncio.sleep(1)
        places.free()
        assert not places.take_at_once(), "the next in the line has it"
        assert await waiting
        places.free()
        assert places.take_at_once()
        places.free()
        places.free()
        places.free()
        assert places.line == Line()

    lived(life())


def test_where_fewer_places_are_left_than_taken_nobody_goes_at_once() -> None:
    async def life() -> None:
        places = Places(QueuePolicy(most=3), LoopClock())
        assert [places.take_at_once() for _ in range(4)] == [True, True, True, False]
        places.policy = QueuePolicy(most=1)
        places.free()
        assert not places.take_at_once()
        places.free()
        places.free()
        assert places.take_at_once()

    lived(life())
