"""The same key: who goes, who waits, and what each of them is told. The cache behind it is a few lines."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace

import pytest

from proxy.core.exchange import Exchange, Verdict
from proxy.core.failure import (
    APIError,
    ConnectError,
    DeadlineExceededError,
    InvalidRequestError,
    UpstreamProtocolError,
)
from proxy.core.message import Body, Request, Response, Whole
from proxy.core.reason import Reason
from proxy.core.routing import Timeouts
from proxy.gateway.refresh import Refresh
from proxy.gateway.repeats import Repeats
from proxy.stores.receipts import MemoryReceipts
from tests.core.caching.samples import SECRET, Pair, request, response, route
from tests.gateway.stage import Hands, Pipe, settle, whole

KEY = ("Idempotency-Key", "k-1")
Reply = Response | BaseException


class Scene:
    """The step, and an upstream that answers by script; `asked` is what reached it, to the byte."""

    def __init__(self, *script: Reply, max_answer: int = 10_000) -> None:
        self.clock = Hands()
        self.errors: list[BaseException] = []
        self.refresh = Refresh(on_error=self.errors.append)
        self.receipts = MemoryReceipts(max_bytes=100_000, clock=self.clock)
        self.repeats = Repeats(
            receipts=self.receipts,
            clock=self.clock,
            refresh=self.refresh,
            secret=SECRET,
            max_answer=max_answer,
        )
        self.script = deque(script)
        self.asked: list[tuple[str, bytes]] = []
        self.gate: asyncio.Event | None = None
        self.deadline: float | None = None
        self.route = route(idempotency=60.0)
        self.read = True

    async def ask(
        self, *fields: Pair, method: str = "POST", target: str = "/pay", body: Body | bytes = b"10"
    ) -> tuple[Response, Exchange]:
        source = Whole(body) if isinstance(body, bytes) else body
        asked = request(*(fields or (KEY,)), method=method, target=target, body=source)
        exchange = Exchange(id="x", method=method, target=target, started=0.0, at=0.0)
        exchange.deadline = self.deadline

        async def through(wanted: Request) -> Response:
            content = await whole(wanted.body) if self.read else b""
            self.asked.append((wanted.target, content))
            reply = self.script.popleft()
            if self.gate is not None:
                await self.gate.wait()
            if isinstance(reply, BaseException):
                raise reply
            return reply

        return await self.repeats.answer(asked, asked, self.route, exchange, through), exchange

    async def get(self, *fields: Pair, body: Body | bytes = b"10") -> bytes:
        answer, _ = await self.ask(*fields, body=body)
        return await whole(answer.body)

    async def over(self) -> None:
        """Nothing is left running, waiting or held."""
        await settle()
        assert len(self.refresh) == 0
        assert self.repeats.turns == {}
        assert self.repeats._allowance.held == 0
        assert self.errors == []


def made(body: Body | bytes = b"made", *fields: Pair, status: int = 201) -> Response:
    return response(*fields, status=status, body=Whole(body) if isinstance(body, bytes) else body)


async def test_the_second_one_has_the_first_ones_answer() -> None:
    scene = Scene(made(b"made", ("X-Id", "1")))
    assert await scene.get() == b"made"
    answer, exchange = await scene.ask()
    assert (answer.status, await whole(answer.body)) == (201, b"made")
    assert (answer.headers.get("x-id"), answer.headers.get("idempotent-replayed")) == ("1", "true")
    assert (exchange.verdict, exchange.reason) == (Verdict.HIT, Reason.REPLAYED)
    assert scene.asked == [("/pay", b"10")]
    await scene.over()


async def test_a_streamed_answer_is_kept_when_it_is_complete() -> None:
    source = Pipe(b"one ", b"two")
    scene = Scene(made(source))
    answer, _ = await scene.ask()
    assert await answer.body.read() == b"one "
    waiting = asyncio.create_task(scene.get())
    await settle()
    assert not waiting.done()
    source.put(None)
    assert await whole(answer.body) == b"two"
    assert await waiting == b"one two"
    assert len(scene.asked) == 1
    await scene.over()


async def test_after_its_time_it_goes_again() -> None:
    scene = Scene(made(), made(b"again"))
    await scene.get()
    scene.clock.time += 60.0
    assert await scene.get() == b"again"


async def test_without_a_key_nothing_is_changed() -> None:
    scene = Scene(made(), made())
    for _ in range(2):
        assert (await scene.ask(("Accept", "*/*")))[0].headers.names() == frozenset()
    assert len(scene.asked) == 2


async def test_a_concurrent_twin_waits() -> None:
    scene = Scene(made())
    scene.gate = asyncio.Event()
    twins = [asyncio.create_task(scene.get()) for _ in range(3)]
    await settle()
    assert len(scene.asked) == 1
    scene.gate.set()
    assert await asyncio.gather(*twins) == [b"made"] * 3
    assert len(scene.asked) == 1
    await scene.over()


async def test_different_keys_and_callers_do_not_wait_for_each_other() -> None:
    scene = Scene(made(b"1"), made(b"2"), made(b"3"))
    scene.gate = asyncio.Event()
    other = ("Authorization", "Bearer other")
    tasks = [
        asyncio.create_task(scene.get(*f)) for f in ((KEY,), (("Idempotency-Key", "k-2"),), (KEY, other))
    ]
    await settle()
    assert len(scene.asked) == 3
    scene.gate.set()
    assert await asyncio.gather(*tasks) == [b"1", b"2", b"3"]


@pytest.mark.parametrize(
    "failure",
    [made(status=503), made(status=429), ConnectError("no"), UpstreamProtocolError("cut", sent=True)],
)
async def test_a_failure_is_not_kept_and_the_next_one_goes(failure: Reply) -> None:
    scene = Scene(failure, made())
    scene.gate = asyncio.Event()
    twins = [asyncio.create_task(scene.ask()) for _ in range(3)]
    await settle()
    scene.gate.set()
    first, *rest = await asyncio.gather(*twins, return_exceptions=True)
    if isinstance(failure, APIError):
        assert first is failure
    else:
        assert not isinstance(first, BaseException)
        assert first[0].status == failure.status  # type: ignore[union-attr]
    for one in rest:
        assert not isinstance(one, BaseException)
        assert one[0].status == 201
    assert len(scene.asked) == 2
    await scene.over()


async def test_an_answer_that_breaks_off_is_not_kept() -> None:
    scene = Scene(made(Pipe(b"ma", UpstreamProtocolError("cut", sent=True))), made())
    with pytest.raises(UpstreamProtocolError):
        await scene.get()
    assert await scene.get() == b"made"
    await scene.over()


@pytest.mark.parametrize("length", [None, 20_000])
async def test_an_answer_that_is_too_large_is_not_kept(length: int | None) -> None:
    scene = Scene(made(Pipe(bytes(15_000), bytes(5_000), None, length=length)), made())
    assert len(await scene.get()) == 20_000
    assert await scene.get() == b"made"
    await scene.over()


async def test_another_body_with_the_same_key_is_refused() -> None:
    scene = Scene(made())
    await scene.get()
    with pytest.raises(InvalidRequestError) as caught:
        await scene.get(body=b"11")
    assert caught.value.status == 422
    for changed in ({"target": "/pay?x"}, {"method": "PUT"}):
        with pytest.raises(InvalidRequestError):
            await scene.ask(**changed)  # type: ignore[arg-type]  # one of its words
    assert await scene.get() == b"made"
    await scene.over()


async def test_the_reason_of_a_refusal_is_in_the_record() -> None:
    scene = Scene(made())
    await scene.get()
    exchange = Exchange(id="x", method="POST", target="/pay", started=0.0, at=0.0)
    asked = request(KEY, method="POST", target="/pay", body=Whole(b"11"))
    with pytest.raises(InvalidRequestError):
        await scene.repeats.answer(asked, asked, scene.route, exchange, None)  # type: ignore[arg-type]
    assert exchange.reason is Reason.KEY_REUSED


async def test_a_body_in_pieces_is_the_same_body() -> None:
    scene = Scene(made())
    await scene.get(body=Pipe(b"1", b"0", None, length=2))
    assert await scene.get(body=Pipe(b"10", None)) == b"made"
    assert scene.asked == [("/pay", b"10")]


async def test_a_first_one_whose_caller_leaves_is_finished_and_kept() -> None:
    """That is when it is asked for again."""
    scene = Scene(made(Pipe(b"made", None)))
    scene.gate = asyncio.Event()
    first = asyncio.create_task(scene.get())
    await settle()
    first.cancel()
    await settle()
    scene.gate.set()
    assert await scene.get() == b"made"
    assert len(scene.asked) == 1
    await scene.over()


async def test_one_that_leaves_while_it_reads_does_not_stop_it() -> None:
    source = Pipe(b"one")
    scene = Scene(made(source))
    answer, _ = await scene.ask()
    await answer.body.read()
    answer.body.close()
    await settle()
    source.put(b"two", None)
    assert await scene.get() == b"onetwo"
    await scene.over()


async def test_a_caller_that_leaves_as_its_answer_comes_holds_nothing() -> None:
    source = Pipe(b"made", None)
    scene = Scene(made(source, status=500), made())
    scene.gate = asyncio.Event()
    first = asyncio.create_task(scene.get())
    await settle()
    scene.gate.set()
    await asyncio.sleep(0)
    first.cancel()
    await settle()
    assert first.cancelled()
    assert source.closed
    await scene.over()


async def test_a_failure_that_nobody_hears_is_forgotten_but_a_bug_is_told() -> None:
    for error, told in ((ConnectError("no"), 0), (ZeroDivisionError(), 1)):
        scene = Scene(error)
        scene.gate = asyncio.Event()
        first = asyncio.create_task(scene.get())
        await settle()
        first.cancel()
        scene.gate.set()
        await settle()
        assert len(scene.errors) == told
        assert scene.repeats.turns == {}


async def test_a_bug_reaches_its_caller() -> None:
    scene = Scene(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        await scene.get()
    await scene.over()


async def test_a_twin_that_leaves_changes_nothing() -> None:
    scene = Scene(made())
    scene.gate = asyncio.Event()
    first, twin = (asyncio.create_task(scene.get()) for _ in range(2))
    await settle()
    twin.cancel()
    await settle()
    scene.gate.set()
    assert await first == b"made"
    await scene.over()


async def test_nobody_waits_longer_than_its_time() -> None:
    scene = Scene(made())
    scene.gate = asyncio.Event()
    first = asyncio.create_task(scene.get())
    await settle()
    scene.route = replace(scene.route, timeouts=Timeouts(total=0.0))
    with pytest.raises(DeadlineExceededError, match="still under way"):
        await scene.get()
    scene.gate.set()
    assert await first == b"made"


async def test_the_time_that_a_request_has_counts_from_its_coming() -> None:
    scene = Scene(made())
    scene.gate = asyncio.Event()
    first = asyncio.create_task(scene.get())
    await settle()
    scene.deadline = scene.clock.time
    with pytest.raises(DeadlineExceededError, match="still under way"):
        await scene.get()
    scene.gate.set()
    assert await first == b"made"


async def test_the_end_of_the_process_ends_it() -> None:
    scene = Scene(made())
    scene.gate = asyncio.Event()
    first = asyncio.create_task(scene.get())
    await settle()
    assert await scene.refresh.drain(0) == 1
    with pytest.raises(asyncio.CancelledError):
        await first
    await scene.over()


async def test_an_end_before_the_first_step_leaves_nobody_waiting() -> None:
    scene = Scene(made(), made())
    first = asyncio.create_task(scene.get())
    await asyncio.sleep(0)
    await scene.refresh.drain(0)
    with pytest.raises(asyncio.CancelledError):
        await first
    await scene.over()


async def test_an_answer_to_half_a_request_is_not_kept() -> None:
    scene = Scene(made(), made(b"again"))
    scene.read = False
    await scene.get(body=Pipe(b"1", b"0", None, length=2))
    assert await scene.get(body=Pipe(b"1", b"0", None, length=2)) == b"again"


async def test_where_what_is_kept_cannot_be_read_nobody_is_left_waiting() -> None:
    class Broken(MemoryReceipts):
        async def load(self, place: bytes) -> None:
            raise OSError("gone")

    scene = Scene(made())
    scene.repeats.receipts = Broken(max_bytes=1, clock=scene.clock)
    with pytest.raises(OSError, match="gone"):
        await scene.get()
    assert scene.repeats.turns == {}


async def test_what_replaces_it_knows_what_is_under_way_and_what_is_kept() -> None:
    """A configuration that is read anew must not make anything happen twice."""
    scene = Scene(made())
    scene.gate = asyncio.Event()
    first = asyncio.create_task(scene.get())
    await settle()
    scene.repeats = Repeats(
        receipts=scene.receipts,
        clock=scene.clock,
        refresh=scene.refresh,
        secret=SECRET,
        max_answer=10_000,
        turns=scene.repeats.turns,
    )
    twin = asyncio.create_task(scene.get())
    await settle()
    scene.gate.set()
    assert [await first, await twin, await scene.get()] == [b"made"] * 3
    assert len(scene.asked) == 1
    await scene.over()
