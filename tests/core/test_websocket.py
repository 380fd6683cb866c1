"""Which bytes pass, to the byte, however they are cut into pieces."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.failure import BadRequestError
from proxy.core.message import Headers
from proxy.core.websocket import Broken, Frames, VersionNeeded, accept, agreed, asked, goodbye
from tests.websocket import (
    ACCEPT,
    BINARY,
    CLOSE,
    CONTINUATION,
    KEY,
    PING,
    PONG,
    TEXT,
    Frame,
    close,
)

MASK = b"\x01\x02\x03\x04"


def frames(*, masked: bool = False, extended: bool = False) -> Frames:
    return Frames(masked=masked, extended=extended)


def raw(opcode: int, payload: bytes = b"", **how: object) -> bytes:
    return Frame(opcode, payload, **how).raw()  # type: ignore[arg-type]  # a test's short hand


def test_the_answer_to_a_key_is_the_example_of_the_rfc() -> None:
    assert accept(KEY) == ACCEPT


def handshake(*fields: tuple[str, str]) -> Headers:
    return Headers.of(*fields)


def test_a_handshake_gives_its_key() -> None:
    assert asked(handshake(("Sec-WebSocket-Key", KEY), ("Sec-WebSocket-Version", "13"))) == KEY


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [("Sec-WebSocket-Key", KEY)],
        [("Sec-WebSocket-Version", "13")],
        [("Sec-WebSocket-Key", KEY), ("Sec-WebSocket-Key", KEY), ("Sec-WebSocket-Version", "13")],
        [("Sec-WebSocket-Key", "c2hvcnQ="), ("Sec-WebSocket-Version", "13")],
        [("Sec-WebSocket-Key", KEY[:-2]), ("Sec-WebSocket-Version", "13")],
        [("Sec-WebSocket-Key", KEY + "AAAA"), ("Sec-WebSocket-Version", "13")],
    ],
)
def test_what_is_no_handshake_is_refused(fields: list[tuple[str, str]]) -> None:
    with pytest.raises(BadRequestError) as refused:
        asked(Headers.of(*fields))
    assert refused.value.status == 400


@pytest.mark.parametrize("versions", [["8"], ["7", "13"], ["13", "13"], ["13, 8"]])
def test_another_version_is_told_which_one_is_spoken(versions: list[str]) -> None:
    fields = [("Sec-WebSocket-Version", version) for version in versions]
    with pytest.raises(VersionNeeded) as refused:
        asked(Headers.of(("Sec-WebSocket-Key", KEY), *fields))
    assert refused.value.status == 426


SENT = [("Sec-WebSocket-Protocol", "chat, k.secret"), ("Sec-WebSocket-Extensions", "permessage-deflate; x")]
AGREED = {"Upgrade": "WebSocket", "Connection": "keep-alive, Upgrade", "Sec-WebSocket-Accept": ACCEPT}


@pytest.mark.parametrize(
    ("more", "right"),
    [
        ({}, True),
        ({"Sec-WebSocket-Protocol": "chat"}, True),
        ({"Sec-WebSocket-Protocol": "k.secret"}, True),
        ({"Sec-WebSocket-Extensions": "permessage-deflate; server_no_context_takeover"}, True),
        ({"Sec-WebSocket-Protocol": "other"}, False),
        ({"Sec-WebSocket-Protocol": "chat, k.secret"}, False),
        ({"Sec-WebSocket-Protocol": ""}, False),
        ({"Sec-WebSocket-Extensions": "x-other"}, False),
        ({"Sec-WebSocket-Accept": KEY}, False),
        ({"Sec-WebSocket-Accept": ACCEPT.lower()}, False),
        ({"Upgrade": "h2c"}, False),
        ({"Upgrade": "websocket, h2c"}, False),
        ({"Connection": "close"}, False),
    ],
)
def test_an_answer_is_believed_only_where_it_answers(more: dict[str, str], right: bool) -> None:
    answer = Headers.of(*{**AGREED, **more}.items())
    assert (agreed(Headers.of(*SENT), answer, KEY) is None) is right


def test_an_answer_that_leaves_out_the_accept_is_none() -> None:
    missing = Headers.of(("Upgrade", "websocket"), ("Connection", "Upgrade"))
    assert agreed(Headers.of(), missing, KEY) is not None


EXCHANGE = [
    raw(TEXT, "Grüße".encode()),
    raw(BINARY, bytes(range(256)) * 300),
    raw(TEXT, b"one", fin=False),
    raw(PING, b"between"),
    raw(CONTINUATION, b"", fin=False),
    raw(PONG),
    raw(CONTINUATION, b"two" * 50),
    raw(BINARY),
    raw(CLOSE, close(4321, "tschüß".encode())),
]


@given(cuts=st.lists(st.integers(0, sum(map(len, EXCHANGE))), max_size=30), masked=st.booleans())
def test_what_is_right_passes_byte_for_byte(cuts: list[int], masked: bool) -> None:
    sent = b"".join(_masked(frame) if masked else frame for frame in EXCHANGE)
    looked = frames(masked=masked)
    edges = [0, *sorted(cut for cut in cuts if cut <= len(sent)), len(sent)]
    passed = b"".join(looked.passing(sent[a:b]) for a, b in pairwise(edges))
    assert passed == sent
    assert (looked.closed, looked.code, looked.left, looked.broken) == (True, 4321, 0, None)


def _masked(frame: bytes) -> bytes:
    """The same frame as a client sends it."""
    size = {126: 4, 127: 10}.get(frame[1], 2)
    payload = bytes(byte ^ MASK[at % 4] for at, byte in enumerate(frame[size:]))
    return bytes((frame[0], frame[1] | 0x80)) + frame[2:size] + MASK + payload


def test_a_control_frame_and_a_head_pass_only_whole() -> None:
    looked = frames()
    ping = raw(PING, b"12345")
    assert [looked.passing(ping[at : at + 1]) for at in range(7)] == [*[b""] * 6, ping]
    long = raw(BINARY, b"x" * 70000)
    assert [looked.passing(long[at : at + 1]) for at in range(11)] == [*[b""] * 9, long[:10], b"x"]
    assert looked.left == 69999


def test_nothing_passes_behind_a_close() -> None:
    looked = frames()
    assert looked.passing(raw(CLOSE) + raw(TEXT, b"late")) == raw(CLOSE)
    assert looked.passing(raw(TEXT, b"later")) == b""
    assert looked.closed
    assert looked.code is None


BROKEN = {
    "a reserved bit": raw(TEXT, rsv=4),
    "another reserved bit": raw(BINARY, rsv=1),
    "a reserved opcode": raw(0x3),
    "a reserved control opcode": raw(0xB),
    "a control frame in fragments": raw(PING, fin=False),
    "a control frame too large": raw(PING, b"x" * 126),
    "a masked frame of a server": raw(TEXT, b"x", mask=MASK),
    "a continuation of nothing": raw(CONTINUATION, b"x"),
    "a message within another": raw(TEXT, b"x", fin=False) + raw(TEXT, b"y"),
    "a length that is none": b"\x82\x7f" + b"\xff" * 8,
    "a code of one byte": raw(CLOSE, b"\x03"),
    **{f"the code {code}": raw(CLOSE, close(code)) for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000)},
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_breaks_the_protocol_does_not_pass(name: str) -> None:
    looked, good = frames(), raw(TEXT, b"good")
    passed = looked.passing(good + BROKEN[name] + raw(TEXT, b"behind"))
    first = raw(TEXT, b"x", fin=False) if name == "a message within another" else b""
    assert passed == good + first
    assert looked.broken is not None
    assert looked.broken.code == 1002
    assert looked.passing(raw(TEXT, b"later")) == b""
    assert not looked.closed


def test_a_client_has_to_mask() -> None:
    looked = frames(masked=True)
    assert looked.passing(raw(TEXT, b"x")) == b""
    assert looked.broken == Broken(code=1002, text="A client's frame is not masked.")


@pytest.mark.parametrize("masked", [False, True])
def test_a_reason_that_is_no_text(masked: bool) -> None:
    looked = frames(masked=masked)
    assert looked.passing(raw(CLOSE, close(1000, b"\xff"), mask=MASK if masked else None)) == b""
    assert looked.broken is not None
    assert looked.broken.code == 1007


@pytest.mark.parametrize("code", [1000, 1003, 1007, 1014, 3000, 4999])
def test_a_code_that_may_be_sent_passes(code: int) -> None:
    looked = frames()
    sent = raw(CLOSE, close(code, b"why"))
    assert (looked.passing(sent), looked.code) == (sent, code)


def test_an_extension_may_use_the_reserved_bits() -> None:
    sent = raw(TEXT, b"\xca\x48", rsv=4)
    assert frames(extended=True).passing(sent) == sent


@pytest.mark.parametrize("mask", [b"", MASK])
def test_our_own_close_is_one_that_passes(mask: bytes) -> None:
    looked = frames(masked=bool(mask))
    ours = goodbye(1001, "going away", mask)
    assert ours == raw(CLOSE, close(1001, b"going away"), mask=mask or None)
    assert (looked.passing(ours), looked.code) == (ours, 1001)
