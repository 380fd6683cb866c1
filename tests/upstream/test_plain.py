"""Is nothing taken for a plain answer that a parser would read in another way?"""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.core.caching.admission import READ
from proxy.core.forwarding import HOP_BY_HOP
from proxy.core.message import Headers
from proxy.core.resilience.quota import TELLING
from proxy.upstream import head, plain
from proxy.upstream.plain import Plain
from proxy.upstream.wire import Wire, unread
from tests.upstream.test_wire import Nowhere

SEPARATE = b"\r\n"


def said(*fields: bytes, start: bytes = b"HTTP/1.1 200 OK", length: bytes | None = b"2") -> bytes:
    """A head; with a length, unless there is to be none."""
    framing = [] if length is None else [b"Content-Length: " + length]
    return SEPARATE.join((start, *fields, *framing, b"", b""))


def found(raw: bytes) -> Plain:
    answer = plain.plain(raw)
    assert answer is not None
    return answer[0]


PLAIN: dict[str, bytes] = {
    "the least": said() + b"ok",
    "another success": said(start=b"HTTP/1.1 299 Very Well!") + b"ok",
    "nothing in it": said(length=b"0"),
    "only the head yet": said(length=b"12345"),
    "some of the body": said(length=b"12345") + b"1234",
    "a body like a head": said(length=b"19") + b"HTTP/1.1 200 OK\r\n\r\n",
    "latin values": said(b"X-A: caf\xe9 \xff") + b"ok",
    "blanks within": said(b"X-A: a  b   c") + b"ok",
    "colons": said(b"X-A: a: b:: c") + b"ok",
    "any token": said(b"!#$%&'*+.^_`|~-09az: v") + b"ok",
    "cookies": said(b"Set-Cookie: a=1", b"set-cookie: b=2") + b"ok",
    "kept alive": said(b"Connection: keep-alive", b"Keep-Alive: timeout=5, max=9") + b"ok",
    "Kept Alive": said(b"CONNECTION: Keep-Alive") + b"ok",
    "length first": SEPARATE.join((b"HTTP/1.1 200 OK", b"cOnTeNt-LeNgTh: 2", b"X: y", b"", b"ok")),
    "63 fields": said(*(b"X-%d: v" % n for n in range(63))) + b"ok",
    "nearly 8 KiB": said(b"X: " + b"v" * 8000) + b"ok",
    "not quite events": said(b"Content-Type: text/plain; x=text/event-stream") + b"ok",
    "the most digits": said(length=b"123456789012345"),
}


@pytest.mark.parametrize("name", PLAIN)
def test_what_is_plain(name: str) -> None:
    raw = PLAIN[name]
    answer = found(raw)
    start, _, body = raw.partition(b"\r\n\r\n")
    assert plain.plain(raw) == (answer, body), "and the same head is not read twice"
    assert answer.start == start.partition(b"\r\n")[0]
    assert answer.length >= len(body)
    assert (answer.status, answer.reason) == (int(raw[9:12]), answer.start[13:].decode())


OTHERS: dict[str, bytes] = {
    "nothing": b"",
    "no head yet": said()[:-2],
    "a head without fields": b"HTTP/1.1 200 OK\r\n\r\n",
    "a line end before": b"\r\n" + said() + b"ok",
    "HTTP/1.0": said(start=b"HTTP/1.0 200 OK") + b"ok",
    "HTTP/1.2": said(start=b"HTTP/1.2 200 OK") + b"ok",
    "http/1.1": said(start=b"http/1.1 200 OK") + b"ok",
    "an interim one": said(start=b"HTTP/1.1 103 Early Hints", length=None) + said() + b"ok",
    "100": said(start=b"HTTP/1.1 100 Continue") + b"ok",
    "204": said(start=b"HTTP/1.1 204 No Content", length=None),
    "204 with a length": said(start=b"HTTP/1.1 204 No Content", length=b"0"),
    "205": said(start=b"HTTP/1.1 205 Reset Content", length=b"0"),
    "206": said(b"Content-Range: bytes 0-1/2", start=b"HTTP/1.1 206 Partial Content") + b"ok",
    "302": said(start=b"HTTP/1.1 302 Found") + b"ok",
    "304": said(start=b"HTTP/1.1 304 Not Modified", length=b"0"),
    "404": said(start=b"HTTP/1.1 404 Not Found") + b"ok",
    "429": said(start=b"HTTP/1.1 429 Too Many Requests") + b"ok",
    "500": said(start=b"HTTP/1.1 500 Oh") + b"ok",
    "a status of four digits": said(start=b"HTTP/1.1 2000 OK") + b"ok",
    "no reason": said(start=b"HTTP/1.1 200") + b"ok",
    "an empty reason": said(start=b"HTTP/1.1 200 ") + b"ok",
    "two blanks": said(start=b"HTTP/1.1  200 OK") + b"ok",
    "two blanks in the reason": said(start=b"HTTP/1.1 200 All  well") + b"ok",
    "a blank behind the reason": said(start=b"HTTP/1.1 200 OK ") + b"ok",
    "a tab in the reason": said(start=b"HTTP/1.1 200 All\twell") + b"ok",
    "latin in the reason": said(start=b"HTTP/1.1 200 \xe9") + b"ok",
    "a folded line": said(b"X-A: a\r\n b") + b"ok",
    "a line folded with a tab": said(b"X-A: a\r\n\tb") + b"ok",
    "a folded length": said(b"Content-Length: 1\r\n 2", length=None) + b"ok",
    "a tab in a value": said(b"X-A: a\tb") + b"ok",
    "a tab before a value": said(b"X-A:\ta") + b"ok",
    "a trailing blank": said(b"X-A: a ") + b"ok",
    "a trailing tab": said(b"X-A: a\t") + b"ok",
    "two blanks before a value": said(b"X-A:  a") + b"ok",
    "no blank before a value": said(b"X-A:a") + b"ok",
    "an empty value": said(b"X-A:") + b"ok",
    "an empty value behind a blank": said(b"X-A: ") + b"ok",
    "a blank before the colon": said(b"X-A : a") + b"ok",
    "a blank in a name": said(b"X A: a") + b"ok",
    "no name": said(b": a") + b"ok",
    "no colon": said(b"X-A") + b"ok",
    "latin in a name": said(b"X-\xe9: a") + b"ok",
    "a control": said(b"X-A: a\x01") + b"ok",
    "NUL": said(b"X-A: a\x00b") + b"ok",
    "DEL": said(b"X-A: a\x7fb") + b"ok",
    "a bare CR": said(b"X-A: a\rX-B: b") + b"ok",
    "a bare LF": said(b"X-A: a\nX-B: b") + b"ok",
    "bare line ends": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "no length": said(b"X-A: a", length=None),
    "chunked": said(b"Transfer-Encoding: chunked", length=None) + b"2\r\nok\r\n0\r\n\r\n",
    "chunked with a length": said(b"Transfer-Encoding: chunked") + b"2\r\nok\r\n0\r\n\r\n",
    "identity": said(b"Transfer-Encoding: identity") + b"ok",
    "two lengths": said(b"Content-Length: 3") + b"ok!",
    "twice the same length": said(b"content-length: 2") + b"ok",
    "a list of lengths": said(length=b"2, 2") + b"ok",
    "a signed length": said(length=b"+5"),
    "a length below nothing": said(length=b"-2"),
    "zeros before a length": said(length=b"007"),
    "many zeros": said(length=b"00"),
    "a hexadecimal length": said(length=b"0x2") + b"ok",
    "an underscore": said(length=b"1_0"),
    "digits of another script": said(length="٢".encode()) + b"ok",
    "superscript two": said(length=b"\xb2") + b"ok",
    "sixteen digits": said(length=b"1234567890123456"),
    "more than its length": said() + b"ok!",
    "an answer behind it": said() + b"ok" + said() + b"ok",
    "more than nothing": said(length=b"0") + b"x",
    "last": said(b"Connection: close") + b"ok",
    "a field of the hop": said(b"Connection: X-Hop", b"X-Hop: 1") + b"ok",
    "kept alive and more": said(b"Connection: keep-alive, X-Hop", b"X-Hop: 1") + b"ok",
    "closed after all": said(b"Connection: keep-alive", b"Connection: close") + b"ok",
    "an upgrade": said(b"Upgrade: h2c") + b"ok",
    "a trailer": said(b"Trailer: X-T") + b"ok",
    "two ids": said(b"X-Request-Id: a", b"X-Request-Id: b") + b"ok",
    "our own error": said(b"Leeward-Error: x") + b"ok",
    "our own attempts": said(b"LEEWARD-attempts: 9") + b"ok",
    "anything else of ours": said(b"Leeward-Whatever: 1") + b"ok",
    "events": said(b"Content-Type: text/event-stream") + b"ok",
    "Events": said(b"content-type: Text/Event-Stream; charset=utf-8") + b"ok",
    "65 fields": said(*(b"X-%d: v" % n for n in range(64))) + b"ok",
    "more than 8 KiB": said(b"X: " + b"v" * 8200) + b"ok",
    "a request": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_not(name: str) -> None:
    assert plain.plain(OTHERS[name]) is None


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP - {"connection", "keep-alive"}))
def test_fields_of_one_hop_are_not_passed_on(name: str) -> None:
    assert plain.plain(said(name.title().encode() + b": x") + b"ok") is None


def test_what_is_said_of_it() -> None:
    fields = [
        b"Date: Sun, 22 Nov 2026 12:00:00 GMT",
        b"X-One: 1",
        b"x-request-id: theirs",
        b"Keep-Alive: timeout=5",
        b"Cache-Control: no-store",
        b"VARY: Accept",
        b"Content-Type: text/plain",
    ]
    answer = found(said(*fields) + b"ok")
    one, two, three, _, five, six, seven = fields
    assert answer.lines == (one, two, five, six, seven)
    assert (answer.theirs, answer.keep_alive) == (three, b"timeout=5")
    assert (answer.deciding, answer.dated, answer.telling) == ((five, six), True, False)
    assert [name for name, _ in answer.headers().fields] == [
        *(b"Date", b"X-One", b"Cache-Control", b"VARY", b"Content-Type"),
        *(b"x-request-id", b"Content-Length"),
    ]
    assert found(said(length=b"7")).headers().get("content-length") == "7"


def test_a_trace_of_it_shows_no_values() -> None:
    shown = repr(found(said(b"Set-Cookie: planted", b"x-request-id: planted", b"Vary: planted") + b"ok"))
    assert "status=200" in shown
    assert "planted" not in shown


@pytest.mark.parametrize("name", sorted(READ))
def test_each_field_that_the_cache_reads_decides(name: str) -> None:
    for spelled in (name, name.title(), name.upper()):
        line = spelled.encode() + b": x"
        answer = found(said(line) + b"ok")
        assert (answer.deciding, answer.lines) == ((line,), (line,))


@pytest.mark.parametrize("name", sorted(TELLING))
def test_each_field_of_a_quota_is_told(name: str) -> None:
    for spelled in (name, name.title()):
        answer = found(said(spelled.encode() + b": 1") + b"ok")
        assert answer.telling
        assert answer.headers().get(name) == "1"


def test_the_table_of_names_does_not_grow_with_strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    known = dict.fromkeys((b"n%d" % n for n in range(1023)), 0)
    monkeypatch.setattr(plain, "_BY_NAME", known)
    assert plain.plain(said(b"Leeward-A: 1")) is None
    assert plain.plain(said(b"Leeward-B: 1")) is None
    assert len(known) == 1024
    assert found(said(b"ETag: 1")).deciding == (b"ETag: 1",)
    assert len(known) == 1024


# Whatever is taken for plain, a real parser reads in the same way

_NAME = st.one_of(
    st.sampled_from(
        [
            *(b"Content-Length", b"content-length", b"Transfer-Encoding", b"Connection", b"Keep-Alive"),
            *(
                b"Content-Type",
                b"Date",
                b"Set-Cookie",
                b"Vary",
                b"X-Request-Id",
                b"Upgrade",
                b"X A",
                b"X\xe9",
            ),
        ]
    ),
    st.from_regex(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}", fullmatch=True),
    st.binary(max_size=4),
)
_VALUE = st.one_of(
    st.sampled_from(
        [
            *(b"2", b"0", b"3", b"02", b"+2", b"chunked", b"close", b"keep-alive", b"keep-alive, X", b""),
            *(b"a b", b" a", b"a ", b"a\tb", b"a\r\n b", b"caf\xe9", b"gzip", b"text/event-stream"),
        ]
    ),
    st.binary(max_size=8),
)
_LINE = st.tuples(_NAME, st.sampled_from([b": ", b": ", b": ", b":", b" : "]), _VALUE).map(b"".join)
_START = st.one_of(
    st.just(b"HTTP/1.1 200 OK"),
    st.sampled_from([b"HTTP/1.0 200 OK", b"HTTP/1.1 204 No", b"HTTP/1.1 201", b"HTTP/1.1 200 \xe9"]),
    st.tuples(st.integers(90, 999), st.binary(max_size=5)).map(lambda it: b"HTTP/1.1 %d %b" % it),
)


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    lines = draw(st.lists(_LINE, max_size=5))
    if draw(st.booleans()):
        lines.insert(draw(st.integers(0, len(lines))), b"Content-Length: 2")
    return SEPARATE.join((draw(_START), *lines, b"", draw(st.sampled_from([b"", b"o", b"ok", b"ok!"]))))


@settings(deadline=None, max_examples=300)
@given(raw=answers())
@example(raw=PLAIN["any token"])
@example(raw=PLAIN["latin values"])
@example(raw=PLAIN["a body like a head"])
@example(raw=PLAIN["63 fields"])
@example(raw=PLAIN["nearly 8 KiB"])
@example(raw=PLAIN["the most digits"])
async def test_what_is_plain_is_the_same_to_the_parser(raw: bytes) -> None:
    read = plain.plain(raw)
    if read is None:
        return
    answer, begun = read
    wire = Wire(asyncio.get_running_loop())
    wire.connection_made(Nowhere())
    wire.expect(bodiless=False)
    wire.data_received(raw)
    message, payload = await wire.head()
    headers, reason = head.received(message)
    assert (answer.status, answer.reason) == (message.code, reason)
    assert _written(answer.headers()) == _written(headers)
    assert unread(payload) == begun
    assert wire.complete() == (len(begun) == answer.length)
    assert headers.get("content-length") == str(answer.length)
    assert not wire.should_close or len(begun) < answer.length


def _written(headers: Headers) -> list[tuple[bytes, bytes]]:
    """The fields as they go out: the length is written anew, behind the upstream's id, behind all others."""
    places = {b"x-request-id": 1, b"content-length": 2}
    fields = [(places.get(name.lower(), 0), name, value) for name, value in headers.fields]
    fields.sort(key=lambda field: field[0])
    return [(name.lower() if place == 2 else name, value) for place, name, value in fields]
