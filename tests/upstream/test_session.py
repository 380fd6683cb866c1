"""Does one request bring one answer, and leave no connection behind?"""

from __future__ import annotations

import asyncio
import socket

import pytest

from proxy.core.failure import (
    BadRequestError,
    ConnectError,
    DeadlineExceededError,
    UpstreamProtocolError,
)
from proxy.core.message import Interim, Whole
from proxy.core.routing import Origin as Base
from proxy.upstream.session import Session
from tests.origin import Flood, closed_port
from tests.upstream.conftest import HEAD, OK, ONCE, Pieces, Way


async def test_the_request_goes_out_byte_for_byte_and_nothing_is_added(way: Way) -> None:
    way.origin.on("*").raw(OK)
    base = Base(scheme="http", host="127.0.0.1", port=way.origin.port, path="/v1")
    target = "/a%2Fb//c;d/%zz?q=%20+\xe9&q=2&"
    got = await way.ask("GET", target, ("x-ODD", "\xe9 ~"), ("X-Odd", ""), origins=(base,))
    assert (got.status, got.body) == (200, b"ok")
    assert way.origin.hit().raw_head == (
        f"GET /v1{target} HTTP/1.1\r\nHost: {way.origin.authority}\r\n"
        "x-ODD: \xe9 ~\r\nX-Odd: \r\nX-Stamp: 1\r\n\r\n"
    ).encode("latin-1")


@pytest.mark.parametrize(
    ("method", "body", "framing"),
    [
        ("GET", b"", None),
        ("DELETE", b"", None),
        ("POST", b"", "0"),
        ("PUT", b"", "0"),
        ("PATCH", b"", "0"),
        ("POST", b"abc", "3"),
        ("GET", b"abc", "3"),
        ("POST", b"x" * 300_000, "300000"),
    ],
)
async def test_a_body_has_exactly_one_framing(
    way: Way, method: str, body: bytes, framing: str | None
) -> None:
    way.origin.on("/x").raw(OK)
    assert (await way.ask(method, body=body)).status == 200
    hit = way.origin.hit()
    assert (hit.header("content-length"), hit.header("transfer-encoding")) == (framing, None)
    assert (hit.complete, hit.body) == (True, body)


async def test_the_host_is_the_origins_unless_the_route_sets_one(way: Way) -> None:
    way.origin.on("/x").raw(OK)
    await way.ask("GET", "/x", ("host", "other.example"))
    assert way.origin.hit().headers("host") == ["other.example"]


async def test_the_head_comes_back_as_it_was_less_what_belongs_to_the_hop(way: Way) -> None:
    way.origin.on("/x").raw(
        b"HTTP/1.1 299 Fine \xe9\r\nConnection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\nX-eND: a \r\n"
        b"X-End:\tb\r\nSet-Cookie: \xe9\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\nok\r\n0\r\nX-Trailer: 1\r\n\r\n"
    )
    got = await way.ask()
    assert (got.status, got.response and got.response.reason) == (299, "Fine \xe9")
    assert got.headers.fields == ((b"X-eND", b"a"), (b"X-End", b"b"), (b"Set-Cookie", b"\xe9"))
    assert got.body == b"ok"
    assert way.counts == (0, 1)


@pytest.mark.parametrize("status", [302, 401, 404, 418, 599])
async def test_any_status_passes_and_redirects_are_not_followed(way: Way, status: int) -> None:
    way.origin.on("/x").reply(status, b"no", [("Location", "/elsewhere")])
    got = await way.ask()
    assert (got.status, got.body, way.origin.count()) == (status, b"no", 1)


async def test_an_encoded_body_passes_encoded(way: Way) -> None:
    way.origin.on("/x").reply(200, b"\x1f\x8bnot even gzip", [("Content-Encoding", "gzip")])
    got = await way.ask()
    assert got.body == b"\x1f\x8bnot even gzip"
    assert got.headers.get("content-encoding") == "gzip"


async def test_cookies_are_not_kept(way: Way) -> None:
    way.origin.on("/x").reply(200, b"", [("Set-Cookie", "a=1")])
    await way.ask()
    await way.ask()
    assert way.origin.hits()[1].header("cookie") is None


async def test_a_small_body_cut_short_sends_nothing(way: Way) -> None:
    got = await way.ask("POST", body=Pieces(b"x", BadRequestError("the caller left"), length=10))
    assert isinstance(got.failure, BadRequestError)
    assert way.origin.count() == 0


async def test_nobody_listens(way: Way) -> None:
    base = Base(scheme="http", host="127.0.0.1", port=closed_port())
    got = await way.ask(origins=(base,), retry=ONCE)
    assert isinstance(got.failure, ConnectError)
    assert not got.failure.sent
    assert got.failure.detail == f"No connection to 127.0.0.1:{base.port}: connection refused."


async def test_a_connection_that_takes_too_long(way: Way) -> None:
    # A queue of one that is full: loopback's nearest thing to a host that does not answer.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
        base = Base(scheme="http", host="127.0.0.1", port=port)
        late = await way.ask(origins=(base,), retry=ONCE, timeouts={"connect": 0.05})
        over = await way.ask(origins=(base,), timeouts={"total": 0.05})
        for filler in fillers:
            filler.close()
    assert isinstance(late.failure, ConnectError)
    assert (late.failure.sent, late.told) == (False, [("connect", "attempts-used")])
    assert isinstance(over.failure, DeadlineExceededError)
    assert way.counts == (0, 0)


async def test_a_get_on_a_dead_idle_connection_goes_out_once_more_for_free(way: Way) -> None:
    way.origin.on("/x").raw(OK).raw(b"", then="close").raw(OK)
    await way.ask()
    got = await way.ask()
    assert (got.body, len(got.exchange.attempts), way.origin.count()) == (b"ok", 1, 3)


async def test_on_a_new_connection_hits_are_attempts(way: Way) -> None:
    way.origin.on("/x").raw(b"", then="close")
    got = await way.ask()
    assert isinstance(got.failure, UpstreamProtocolError)
    assert (len(got.exchange.attempts), way.origin.count()) == (3, 3)


async def test_it_is_free_once_only(way: Way) -> None:
    way.origin.on("/first").raw(OK)
    way.origin.on("/x").raw(b"", then="close")
    await way.ask("GET", "/first")
    got = await way.ask(retry=ONCE)
    assert isinstance(got.failure, UpstreamProtocolError)
    assert way.origin.count("/x") == 2


async def test_a_post_is_not_repeated_after_a_byte_was_written(way: Way) -> None:
    way.origin.on("/x").raw(OK).raw(b"", then="close")
    await way.ask("POST", body=b"pay")
    got = await way.ask("POST", body=b"pay")
    assert isinstance(got.failure, UpstreamProtocolError)
    assert got.failure.sent
    assert (got.told, way.origin.count()) == ([("protocol", "may-have-happened")], 2)


@pytest.mark.parametrize("steps", range(14))
@pytest.mark.parametrize("kind", ["get", "upload", "body"])
async def test_nothing_leaks_wherever_a_task_is_cancelled(way: Way, kind: str, steps: int) -> None:
    way.origin.on("/x").raw(OK).raw(HEAD + b"Content-Length: 200000\r\n\r\n", Flood(200_000))
    before = asyncio.all_tasks()
    body = Pieces(*[b"x" * 70_000] * 4) if kind == "upload" else Whole()
    target = "/x" if kind != "body" else "/big"
    way.origin.on("/big").flood(2_000_000)
    task = asyncio.ensure_future(way.ask("PUT" if kind == "upload" else "GET", target, body=body))
    for _ in range(steps):
        await asyncio.sleep(0.0005 if steps % 2 else 0)
    task.cancel()
    await asyncio.wait({task})
    for _ in range(5):
        await asyncio.sleep(0)
    assert way.counts[0] == 0
    assert asyncio.all_tasks() - before <= {task}
    way.origin.on("/next").reply(200, b"mine")
    assert (await way.ask("GET", "/next")).body == b"mine"


async def test_a_closed_session_sends_nothing(way: Way) -> None:
    session = Session()
    await session.close()
    way.attempts.session = session
    got = await way.ask(retry=ONCE)
    assert isinstance(got.failure, ConnectError)


async def test_what_comes_before_the_answer_is_told_but_for_what_is_ours_or_unsafe(way: Way) -> None:
    link = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\nX: 1\r\nConnection: x\r\n"
    before = [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        link + b"Content-Length: 9\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\n",
    ]
    way.origin.on("/x").raw(b"".join(before) + OK)
    heard: list[Interim] = []
    got = await way.ask("GET", "/x", interim=heard.append)
    assert (got.status, got.body) == (200, b"ok")
    assert [(told.status, told.reason) for told in heard] == [(103, "Early Hints"), (102, "Processing")]
    assert list(heard[0].headers) == [("link", "</a>"), ("link", "</b>")]
