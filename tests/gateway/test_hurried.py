"""Is a caller in a hurry let go in time, and nobody else?"""

from __future__ import annotations

import pytest

from proxy.core.failure import DeadlineExceededError
from proxy.core.message import Whole
from proxy.gateway.hurried import Hurried
from tests.core.caching.samples import Pair, request, response
from tests.gateway.stage import Hands, Pipe, Stage, fresh, whole


async def test_what_is_here_in_time_is_read() -> None:
    clock, pipe = Hands(), Pipe(b"a", b"b", None, length=2)
    hurried = Hurried.after(response(body=pipe), clock.time + 5, clock).body
    assert hurried.length == 2
    assert await whole(hurried) == b"ab"
    hurried.close()
    assert pipe.closed


async def test_what_is_not_is_a_failure() -> None:
    clock, pipe = Hands(), Pipe(b"a", length=2)
    hurried = Hurried.after(response(body=pipe), clock.time + 5, clock).body
    assert await hurried.read() == b"a"
    clock.time += 5
    with pytest.raises(DeadlineExceededError, match="not complete"):
        await hurried.read()


@pytest.mark.parametrize("fields", [(), (("Content-Type", "text/event-stream"),)])
async def test_what_is_here_or_has_no_end_is_not_hurried(fields: tuple[Pair, ...]) -> None:
    clock = Hands()
    for body in (Whole(b"here"), Pipe(length=4 if fields else None)):
        answer = response(*fields, body=body)
        assert Hurried.after(answer, 0.0, clock) is answer


async def test_what_others_may_share_is_not_asked_for_in_a_hurry() -> None:
    stage, hurry = Stage(), ("X-Request-Timeout", "1")
    stage.script.extend([fresh(), fresh()])
    await stage.get(request(hurry))
    await stage.get(request(hurry, ("Cache-Control", "no-cache")))
    assert ["x-request-timeout" in asked.headers for asked in stage.asked] == [False, True]
