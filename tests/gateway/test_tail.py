"""Is the end of a body told once, however it ends?"""

from __future__ import annotations

import pytest

from proxy.core.failure import UpstreamProtocolError
from proxy.core.message import Headers, Response
from proxy.gateway.tail import Tail
from tests.gateway.stage import Pipe


async def test_the_last_byte() -> None:
    ends: list[int] = []
    pipe = Pipe(b"a", None, length=1)
    response = Tail.after(Response(status=200, headers=Headers(), body=pipe), lambda: ends.append(1))
    assert response.body.length == 1
    assert await response.body.read() == b"a"
    assert ends == []
    assert await response.body.read() == b""
    response.body.close()
    assert ends == [1]
    assert pipe.closed


async def test_a_failure() -> None:
    ends: list[int] = []
    tail = Tail(Pipe(UpstreamProtocolError()), lambda: ends.append(1))
    with pytest.raises(UpstreamProtocolError):
        await tail.read()
    tail.close()
    assert ends == [1]


async def test_being_given_up() -> None:
    ends: list[int] = []
    tail = Tail(Pipe(), lambda: ends.append(1))
    tail.close()
    tail.close()
    assert ends == [1]
