"""Passed on with a task and without one: the same bytes to the caller and to the upstream, the same counts.

Two programs' insides stand in front of one scripted origin, put together as `leeward run` does it; only one
of them has a fast path. Both are asked the same, over one connection each, again and again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from proxy.core.caching.purge import Purge
from tests.origin import Gate, Origin
from tests.server.passing import ANSWERS, ASKED, NEVER, Caller, Side, alike, asking, of_upstream, said, side


async def compare(origin: Origin, steps: list[tuple[str, str, int]], **changes: Any) -> int:
    """Asks both the same; how often one of them needed no task."""
    async with side(origin, fast=True, **changes) as fast, side(origin, fast=False, **changes) as long:
        seen: list[list[bytes]] = []
        asked: list[list[bytes]] = []
        for one in (fast, long):
            origin.reset()
            caller = Caller(one.port)
            answers = []
            for what, how, times in steps:
                path = f"/{what.replace(' ', '-')}"
                origin.on(path).raw(ANSWERS[what], then=_END.get(what, "keep"))
                request = asking(path, *ASKED[how])
                answers += [alike(await caller.ask(request)) for _ in range(times)]
            await caller.close()
            seen.append(answers)
            asked.append(of_upstream(origin))
        assert seen[0] == seen[1]
        assert asked[0] == asked[1]
        assert sorted(fast.rows(), key=str) == sorted(long.rows(), key=str)
        assert fast.figures() == long.figures()
        assert fast.app.answered == long.app.answered
        assert (fast.app.running, fast.runtime.session.counts()[0]) == (0, 0)
        return fast.rides


_END: dict[str, Any] = {"last": "close", "old": "close", "nonsense": "close", "control": "close"}


@pytest.mark.parametrize("what", ANSWERS)
async def test_every_answer_is_what_the_long_way_gives(origin: Origin, what: str) -> None:
    before = "plain" if what != "plain" else "silent"
    await compare(origin, [(what, "plain", 4), (before, "plain", 4), (what, "plain", 2)])


@pytest.mark.parametrize("how", ASKED)
async def test_however_it_is_asked(origin: Origin, how: str) -> None:
    await compare(origin, [("plain", how, 4), ("named", how, 4), ("failed", how, 2), ("chunked", how, 4)])


async def test_it_is_passed_on_without_a_task(origin: Origin) -> None:
    assert await compare(origin, [("plain", "plain", 5)]) == 3
    assert await compare(origin, [("plain", "traced", 5), ("plain", "named", 5)]) == 6
    assert await compare(origin, [("silent", "plain", 4)], cache={"enabled": False}) == 2


steps = st.lists(
    st.tuples(st.sampled_from(sorted(ANSWERS)), st.sampled_from(sorted(ASKED)), st.integers(1, 4)),
    min_size=1,
    max_size=6,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
@example(steps=[("quota", "plain", 3), ("limited", "plain", 2), ("quota", "plain", 2)])
def test_in_any_order(origin: Origin, steps: list[tuple[str, str, int]]) -> None:
    asyncio.run(compare(origin, steps))


@pytest.mark.parametrize(
    "changes",
    [
        {"auth": {"type": "none"}},
        {"auth": {"type": "header", "name": "X-Key", "value": "sesame-sesame"}},
        {"auth": {"type": "basic", "username": "a", "password": "sesame-sesame"}},
        {"auth": {"type": "query", "name": "key", "value": "sesame-sesame"}},
        {"auth": {"type": "bearer", "token": ["sesame-sesame", "open-sesame"]}},
        {"forwarded": True},
        {
            "dialect": {
                "failures": [{"status": 200, "path": "/plain", "code": "oops", "means": "unavailable"}]
            }
        },
        {"headers": {"set": {"X-Set": "1"}, "default": {"Accept": "a/b"}, "remove": ["User-Agent"]}},
        {"retry": {"hedge": {"quantile": 0.5, "min_delay": "1s"}}},
        {"rate_limit": {"requests": 1000, "per": "1s"}},
        {"concurrency": None, "pacing": None},
        {"circuit_breaker": {"min_requests": 2, "failure_ratio": 0.5, "open_for": "1m", "window": "10s"}},
    ],
    ids="-".join,
)
async def test_whatever_is_configured(origin: Origin, changes: dict[str, Any]) -> None:
    await compare(
        origin,
        [("plain", "agent", 4), ("quota", "agent", 3), ("failed", "agent", 2), ("plain", "traced", 3)],
        **changes,
    )


async def test_of_two_traces_each_keeps_its_place(origin: Origin) -> None:
    one, other = (f"00-{n:032x}-{n:016x}-01" for n in (1, 2))
    async with side(origin, fast=True) as made:
        origin.on("/x").raw(ANSWERS["plain"])
        caller = Caller(made.port)
        for second in (one, one, one, other):
            await caller.ask(asking("/x", f"traceparent:{one}", f"traceparent: {second}"))
        await caller.close()
    assert origin.hits("/x")[-1].headers("traceparent") == [one, other]


async def test_who_speaks_an_older_version_is_answered_in_it(origin: Origin) -> None:
    async with side(origin, fast=True) as made:
        origin.on("/x").raw(ANSWERS["plain"])
        caller = Caller(made.port)
        for _ in range(4):
            answer = await caller.ask(asking("/x", "Connection: keep-alive", version="1.0"))
            assert b"\r\nConnection: keep-alive\r\n" in answer
        await caller.close()
        assert made.rides == 0


@asynccontextmanager
async def riding(origin: Origin, **changes: Any) -> AsyncIterator[tuple[Side, Caller]]:
    """A side that has passed on `/x` once, over a connection that is idle now."""
    async with side(origin, fast=True, **changes) as made:
        caller = Caller(made.port)
        origin.on("/x").raw(ANSWERS["plain"]).raw(ANSWERS["plain"]).raw(ANSWERS["plain"])
        for _ in range(3):
            await caller.ask(asking("/x"))
        assert made.rides == 1
        yield made, caller
        await caller.close()


async def test_a_connection_that_dies_before_a_byte_costs_one_more_sending(origin: Origin) -> None:
    async with riding(origin) as (made, caller):
        origin.on("/x").drop().raw(ANSWERS["plain"])
        assert (await caller.ask(asking("/x"))).startswith(b"HTTP/1.1 200")
        assert (made.rides, origin.count("/x")) == (2, 5)
        assert made.figure("upstream_attempts_total", "api", "2xx") == 4


async def test_what_takes_too_long_is_an_attempt_that_timed_out(origin: Origin) -> None:
    async with riding(origin) as (made, caller):
        origin.on("/x").never().raw(ANSWERS["plain"])
        answer = await caller.ask(asking("/x"))
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"Leeward-Attempts: 2" in answer
        assert made.figure("upstream_attempts_total", "api", "timeout") == 1


async def test_a_body_that_breaks_off_breaks_the_caller_off(origin: Origin) -> None:
    async with riding(origin) as (made, caller):
        whole = said(NEVER, body=b"b" * 100)
        origin.on("/x").raw(whole[:-50], then="close")
        answer = await caller.ask(asking("/x"))
        assert answer.endswith(b"!")
        assert made.rows()[-1][-2:] == ("bad_upstream_response", True)
        assert made.runtime.session.counts()[0] == 0


async def test_a_body_in_pieces_is_passed_on_as_it_comes(origin: Origin) -> None:
    async with riding(origin) as (made, caller):
        gate = Gate()
        whole = said(NEVER, body=b"0123456789")
        origin.on("/x").raw(whole[:-6], gate, whole[-6:])
        asked = asyncio.create_task(caller.ask(asking("/x")))
        await asyncio.to_thread(gate.reached.wait, 10)
        assert made.figure("inflight_requests", "api") == 1
        gate.open()
        assert (await asked).endswith(b"0123456789")
        assert made.rows()[-1][7] == 10


async def test_a_caller_that_leaves_is_told_upstream_and_counted(origin: Origin) -> None:
    async with riding(origin) as (made, caller):
        gate = Gate()
        origin.on("/x").raw(gate, ANSWERS["plain"])
        asked = asyncio.create_task(caller.ask(asking("/x")))
        await asyncio.to_thread(gate.reached.wait, 10)
        assert made.figure("inflight_requests", "api") == 1
        asked.cancel()
        with suppress(asyncio.CancelledError):
            await asked
        await caller.close()
        hit = origin.hits("/x")[-1]
        assert await asyncio.to_thread(hit.gone.wait, 10)
        assert made.rows()[-1][3:] == (499, "bypass", None, 0, 0, None, True)
        assert (made.app.running, made.runtime.session.counts()[0]) == (0, 0)


async def test_what_a_caller_sends_behind_its_request_waits_for_the_answer(origin: Origin) -> None:
    async with riding(origin) as (made, caller):
        gate = Gate()
        origin.on("/x").raw(gate, ANSWERS["plain"])
        origin.on("/y").raw(said(NEVER, body=b"second"))
        asked = asyncio.create_task(caller.ask(asking("/x")))
        await asyncio.to_thread(gate.reached.wait, 10)
        assert caller._writer is not None
        assert caller._reader is not None
        caller._writer.write(asking("/y")[:10])
        await made.behind(10)
        caller._writer.write(asking("/y")[10:])
        gate.open()
        assert (await asked).endswith(b"body")
        assert (await caller._answer(caller._reader)).endswith(b"second")
        assert made.rides == 2


async def test_what_comes_behind_one_that_goes_the_long_way_after_all(origin: Origin) -> None:
    async with riding(origin) as (made, caller):
        gate = Gate()
        origin.on("/x").raw(gate, ANSWERS["chunked"])
        origin.on("/y").raw(said(NEVER, body=b"second"))
        asked = asyncio.create_task(caller.ask(asking("/x")))
        await asyncio.to_thread(gate.reached.wait, 10)
        assert caller._writer is not None
        assert caller._reader is not None
        caller._writer.write(asking("/y"))
        await made.behind(len(asking("/y")))
        gate.open()
        assert b"body" in await asked
        assert (await caller._answer(caller._reader)).endswith(b"second")


async def test_one_whose_caller_leaves_while_it_goes_over_to_the_long_way(origin: Origin) -> None:
    async with riding(origin) as (made, caller):
        gate = Gate()
        begun = said(NEVER, "Transfer-Encoding: chunked", body=b"4\r\nbody\r\n")
        origin.on("/x").raw(begun, gate, b"0\r\n\r\n")
        asked = asyncio.create_task(caller.ask(asking("/x")))
        await asyncio.to_thread(gate.reached.wait, 10)
        asked.cancel()
        with suppress(asyncio.CancelledError):
            await asked
        await caller.close()
        assert await asyncio.to_thread(origin.hits("/x")[-1].gone.wait, 10)
        await made.app.over()
        assert (made.app.running, made.runtime.session.counts()[0]) == (0, 0)


async def test_what_was_asked_for_before_a_purge_is_not_kept(origin: Origin) -> None:
    async with riding(origin) as (made, caller):
        gate = Gate()
        origin.on("/x").raw(gate, ANSWERS["storable"])
        asked = asyncio.create_task(caller.ask(asking("/x")))
        await asyncio.to_thread(gate.reached.wait, 10)
        await made.runtime.caching.purge(Purge())
        gate.open()
        assert b"detail=changed-meanwhile" in await asked
        assert made.runtime.opened.store.usage()[0] == 0


async def test_an_answer_that_may_be_kept_now_is_kept(origin: Origin) -> None:
    async with riding(origin) as (made, caller):
        origin.on("/x").raw(ANSWERS["storable"])
        assert b"; stored;" in await caller.ask(asking("/x"))
        count = origin.count("/x")
        assert b"; hit;" in await caller.ask(asking("/x"))
        assert (origin.count("/x"), made.rides) == (count, 2)


async def test_a_verdict_that_is_over_is_asked_for_anew(origin: Origin, monkeypatch: Any) -> None:
    async with riding(origin) as (made, caller):
        later = time.monotonic() + 11
        monkeypatch.setattr("proxy.wiring.MonotonicClock.now", staticmethod(lambda: later))
        await caller.ask(asking("/x"))
        assert made.rides == 1


async def test_a_draining_process_tells_each_caller_to_leave(origin: Origin) -> None:
    async with riding(origin) as (made, caller):
        gate = Gate()
        origin.on("/x").raw(gate, ANSWERS["plain"])
        asked = asyncio.create_task(caller.ask(asking("/x")))
        await asyncio.to_thread(gate.reached.wait, 10)
        made.app.draining = True
        gate.open()
        assert b"\r\nConnection: close\r\n" in await asked
        assert origin.count("/x") == 4
        await made.app.over()


async def test_a_callers_token_is_asked_for_each_time(origin: Origin) -> None:
    async with side(origin, fast=True) as made:
        assert made.app.shortcuts is not None

        class Token:
            value = "open"

            def reveal(self) -> str:
                return self.value

            def describe(self) -> str:
                return "a test"

        token = Token()
        made.app._client_token = made.app.shortcuts._token = token
        origin.on("/x").raw(ANSWERS["plain"])
        caller = Caller(made.port)
        asked = asking("/x", "Leeward-Token: open")
        statuses = [(await caller.ask(asked))[9:12] for _ in range(4)]
        token.value = "shut"
        statuses.append((await caller.ask(asked))[9:12])
        await caller.close()
        assert (statuses, made.rides) == ([b"200"] * 4 + [b"407"], 2)


async def test_what_is_remembered_is_bounded(origin: Origin, monkeypatch: Any) -> None:
    monkeypatch.setattr("proxy.server.shortcut._MOST_WAYS", 3)
    async with side(origin, fast=True) as made:
        origin.on("/x").raw(ANSWERS["plain"])
        caller = Caller(made.port)
        for n in range(6):
            for _ in range(3):
                await caller.ask(asking("/x", f"User-Agent: {n}"))
        for _ in range(3):
            await caller.ask(asking("/x", "User-Agent: " + "x" * 5000))
        await caller.close()
        assert made.app.shortcuts is not None
        assert len(made.app.shortcuts._ways) == 3


async def test_many_callers_at_once_get_each_their_own(origin: Origin) -> None:
    async with side(origin, fast=True) as made:
        for n in range(20):
            origin.on(f"/{n}").raw(said(NEVER, body=b"%d" % n))

        async def one(n: int) -> list[bytes]:
            caller = Caller(made.port)
            answers = [await caller.ask(asking(f"/{n}")) for _ in range(8)]
            await caller.close()
            return [answer.rpartition(b"\r\n")[2] for answer in answers]

        answers = await asyncio.gather(*(one(n) for n in range(20)))
        assert answers == [[b"%d" % n] * 8 for n in range(20)]
        assert made.rides > 20
        assert made.figure("requests_total", "api", "GET", "200", "miss") == 160
