"""Against a real origin: the way of a token is that of everything else."""

from __future__ import annotations

import pytest

from proxy.core.failure import APIError, ConnectError, UpstreamProtocolError, UpstreamTimeoutError
from proxy.core.message import Headers, Request, Whole
from proxy.core.ports import Fetch
from proxy.core.routing import Origin as Base
from proxy.upstream.errand import Errand
from tests.origin import Flood, Gate, closed_port
from tests.upstream.conftest import Pieces, Way


def asked(body: bytes = b"a=b") -> Request:
    return Request(method="POST", target="/token", headers=Headers.of(("X", "y")), body=Whole(body))


def base(port: int) -> Base:
    return Base(scheme="http", host="127.0.0.1", port=port)


@pytest.mark.parametrize("status", [200, 302, 400, 500])
async def test_the_answer_whatever_its_status(way: Way, status: int) -> None:
    way.origin.on("/token").reply(status, b'{"a": 1}', [("Location", "/elsewhere")])
    errand: Fetch = Errand(way.session)
    reply = await errand(asked(), base(way.origin.port), within=5.0)
    assert (reply.status, reply.body, reply.headers.get("location")) == (status, b'{"a": 1}', "/elsewhere")
    assert way.origin.hit().raw_body == b"a=b"
    assert way.origin.count() == 1
    assert way.counts == (0, 1)


@pytest.mark.parametrize(
    ("script", "failure"),
    [
        ([b"NOT HTTP\r\n\r\n"], UpstreamProtocolError),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", Flood(100_000)], UpstreamProtocolError),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"5\r\nab"], UpstreamProtocolError),
        ([Gate()], UpstreamTimeoutError),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", b"ab", Gate()], UpstreamTimeoutError),
    ],
    ids=["garbage", "long", "cut", "silent", "slow"],
)
async def test_what_is_no_answer_is_a_failure(way: Way, script: list[bytes], failure: type[APIError]) -> None:
    way.origin.on("/token").raw(*script, then="close")
    with pytest.raises(failure):
        await Errand(way.session)(asked(), base(way.origin.port), within=0.3)
    assert way.origin.count() == 1


async def test_nobody_there(way: Way) -> None:
    with pytest.raises(ConnectError):
        await Errand(way.session)(asked(), base(closed_port()), within=5.0)


async def test_a_body_is_all_there(way: Way) -> None:
    stream = Request(method="POST", target="/", headers=Headers(), body=Pieces(b"a"))
    with pytest.raises(TypeError):
        await Errand(way.session)(stream, base(way.origin.port), within=5.0)
