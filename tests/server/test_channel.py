import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from proxy.server.channel import Channel, GoneError, RefusedError

LONG = 10.0


async def answer(what: str, told: Mapping[str, Any]) -> Any:
    match what:
        case "double":
            return told["number"] * 2
        case "never":
            return await asyncio.Event().wait()
        case "fail":
            raise ValueError("a bug")
        case _:
            raise RefusedError("unknown", what)


@pytest.fixture
async def sides() -> AsyncIterator[tuple[Channel, Channel, list[Any]]]:
    heard: list[Any] = []

    async def listen(what: str, told: Mapping[str, Any]) -> Any:
        heard.append((what, dict(told)))

    one, other = socket.socketpair()
    asking, answering = Channel(listen), Channel(answer)
    await asking.open(one)
    await answering.open(other)
    yield asking, answering, heard
    await asking.close()
    await answering.close()


Sides = tuple[Channel, Channel, list[Any]]


async def test_questions_find_their_answers(sides: Sides):
    asking, answering, heard = sides
    asked = [asking.ask("double", timeout=LONG, number=n) for n in range(50)]
    assert await asyncio.gather(*asked) == [n * 2 for n in range(50)]
    answering.tell("news", text="x" * 1_000_000)
    assert await asking.ask("double", timeout=LONG, number=1) == 2
    assert heard == [("news", {"text": "x" * 1_000_000})]


async def test_a_refusal_arrives_as_one(sides: Sides, caplog: pytest.LogCaptureFixture):
    asking, _, _ = sides
    with pytest.raises(RefusedError, match="what") as refused:
        await asking.ask("what", timeout=LONG)
    assert (refused.value.kind, refused.value.detail) == ("unknown", "what")
    with pytest.raises(RefusedError) as refused:
        await asking.ask("fail", timeout=LONG)
    assert refused.value.kind == "failed"
    assert "a bug" not in refused.value.detail
    assert "a bug" in caplog.text


async def test_an_answer_that_does_not_come_in_time(sides: Sides):
    asking, _, _ = sides
    with pytest.raises(TimeoutError):
        await asking.ask("never", timeout=0.01)
    assert await asking.ask("double", timeout=LONG, number=1) == 2


async def test_who_has_gone_answers_nothing(sides: Sides):
    asking, answering, _ = sides
    waiting = asyncio.create_task(asking.ask("never", timeout=LONG))
    await asyncio.sleep(0)
    await answering.close()
    with pytest.raises(GoneError):
        await waiting
    assert asking.closed.is_set()
    with pytest.raises(GoneError):
        await asking.ask("double", timeout=LONG, number=1)
    asking.tell("news")


async def test_what_was_told_before_the_end_arrives(sides: Sides):
    asking, answering, heard = sides
    answering.tell("goodbye", rows=["x" * 1000] * 1000)
    await answering.close()
    await asyncio.wait_for(asking.closed.wait(), LONG)
    await asyncio.sleep(0)
    assert [what for what, _ in heard] == ["goodbye"]
