import pytest

from proxy.core.failure import UpstreamProtocolError
from proxy.core.message import Whole
from proxy.gateway.content import MOST, gathered
from tests.core.caching.samples import request
from tests.gateway.stage import Pipe, whole


async def test_a_body_that_is_here() -> None:
    asked = request(body=Whole(b"body"))
    assert await gathered(asked) == (asked, b"body")
    assert await whole(asked.body) == b"body"


async def test_a_body_that_comes() -> None:
    asked, content = await gathered(request(body=Pipe(b"bo", b"dy", None)))
    assert content == b"body"
    assert asked.body.length == 4
    assert await whole(asked.body) == b"body"


async def test_one_that_is_announced_as_too_long_is_not_touched() -> None:
    body = Pipe(length=MOST + 1)
    asked, content = await gathered(request(body=body))
    assert content is None
    assert asked.body is body
    assert (await gathered(request(body=Whole(b"x" * (MOST + 1)))))[1] is None


async def test_one_that_proves_too_long_goes_on_as_it_came() -> None:
    body = Pipe(b"x" * MOST, b"y", b"z", None)
    asked, content = await gathered(request(body=body))
    assert content is None
    assert asked.body.length is None
    assert await whole(asked.body) == b"x" * MOST + b"yz"
    assert body.closed


async def test_a_cut_body_raises() -> None:
    with pytest.raises(UpstreamProtocolError):
        await gathered(request(body=Pipe(b"x", UpstreamProtocolError())))
