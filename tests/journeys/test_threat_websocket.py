"""What becomes of a WebSocket whose ends, or whose page, mean no good?"""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Start
from tests.journeys.conftest import answers
from tests.websocket import ASKED, CLOSE, PING, TEXT, Calling, Frame, Upstream, close, opened, until
from tests.wire import request

SECRET = "my-own-token-77"


# What is refused before anything goes out


def with_fields(**changes: str | None) -> list[tuple[str, str]]:
    named = {name.replace("-", "_"): (name, value) for name, value in ASKED}
    for name, value in changes.items():
        spelled = named[name][0]
        named[name] = (spelled, value or "")
        if value is None:
            del named[name]
    return list(named.values())


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (with_fields(Sec_WebSocket_Key=None), 400),
        (with_fields(Sec_WebSocket_Key="short"), 400),
        (with_fields(Sec_WebSocket_Version=None), 400),
        (with_fields(Sec_WebSocket_Version="8"), 426),
        (with_fields(Sec_WebSocket_Key=None, Sec_WebSocket_Version=None), 400),
    ],
)
def test_a_handshake_that_is_none_is_told_so(
    start: Start, upstream: Upstream, fields: list[tuple[str, str]], status: int
) -> None:
    (answer,) = answers(start(), request("GET", "/ws", fields) + Frame(TEXT, b"x", mask=b"1234").raw())
    assert (answer.status, answer.code) == (status, "bad_request")
    assert answer.header("Sec-WebSocket-Version") == ("13" if status == 426 else None)
    assert upstream.untouched(0.05)


PLAIN = {
    "POST": request("POST", "/ws", ASKED, b"body"),
    "a body": request("GET", "/ws", ASKED, b"body"),
    "HTTP/1.0": request("GET", "/ws", ASKED).replace(b"HTTP/1.1", b"HTTP/1.0"),
    "no Connection": request("GET", "/ws", with_fields(Connection=None)),
    "h2c": request("GET", "/ws", with_fields(Upgrade="h2c")),
    "several": request("GET", "/ws", with_fields(Upgrade="h2c, websocket")),
}


@pytest.mark.parametrize("name", PLAIN)
def test_what_does_not_ask_for_a_websocket_alone_is_a_plain_request(
    start: Start, upstream: Upstream, name: str
) -> None:
    with start().send(PLAIN[name]) as wire:
        asked = upstream.refuse(b"200 OK", body=b"plain")
        assert wire.read().body == b"plain"
    assert asked.all("Upgrade") == []


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "https://localhost.evil.example", "null", "file://"]
)
def test_a_page_of_another_site_gets_no_websocket_with_our_credential(
    start: Start, upstream: Upstream, origin: str
) -> None:
    answer = Calling(start().address, "/ws", [("Origin", origin)]).answer()
    assert (answer.status, answer.code) == (403, "permission_denied")
    assert upstream.untouched(0.05)


def test_the_fence_and_the_callers_token_hold_here_too(start: Start, upstream: Upstream) -> None:
    fenced = start(allow=[{"method": "GET", "path": "/v1/**"}])
    assert Calling(fenced.address, "/admin").answer().code == "permission_denied"
    opened(fenced, upstream, target="/v1/realtime").part()
    guarded = start(server={"client_token": SECRET})
    assert Calling(guarded.address, "/ws").answer().status == 407
    both = opened(guarded, upstream, ("Leeward-Token", SECRET))
    assert both.asked.all("Leeward-Token") == []
    both.part()


# What breaks the protocol


MASK = b"abcd"
HOSTILE = [
    *((opcode, payload, how, code, upwards) for upwards in (True, False) for opcode, payload, how, code in (
        (0x5, b"", {}, 1002),
        (TEXT, b"x", {"rsv": 4}, 1002),
        (PING, b"x" * 126, {}, 1002),
        (CLOSE, close(1000, b"\xff\xfe"), {}, 1007),
        (CLOSE, close(1005), {}, 1002),
    )),
    (TEXT, b"not masked", {"mask": None}, 1002, True),
    (TEXT, b"masked", {"mask": MASK}, 1002, False),
]  # fmt: skip


@pytest.mark.parametrize(("opcode", "payload", "how", "code", "upwards"), HOSTILE)
def test_who_breaks_the_protocol_hears_so_and_the_other_hears_1011(
    start: Start,
    upstream: Upstream,
    opcode: int,
    payload: bytes,
    how: dict[str, Any],
    code: int,
    upwards: bool,
) -> None:
    proxy = start()
    kind = "bad_request" if upwards else "bad_upstream_response"
    before = proxy.metric("leeward_errors_total", upstream="api", code=kind)
    both = opened(proxy, upstream)
    first, second = both.ends(upwards=upwards)
    first.send(TEXT, b"good")
    broken = Frame(opcode, payload, **{"mask": MASK if upwards else None, **how}).raw()
    first.sock.sendall(broken + b"\xff" * 1000)
    assert second.got() == (TEXT, b"good")
    assert second.read().code == 1011
    assert first.read().code == code
    second.send(CLOSE, close(1011))
    first.sock.close()
    assert second.end() == "closed"
    until(lambda: proxy.metric("leeward_errors_total", upstream="api", code=kind) == before + 1)
