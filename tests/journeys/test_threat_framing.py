"""May a request whose framing two parsers could read differently pass? Never.

Each case carries a second request in what one of the two readings calls the body: it must not come
out at the origin as a request.
"""

from __future__ import annotations

import pytest

from tests.journeys.conftest import answers, refused

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
LENGTH = str(len(SMUGGLED)).encode()


def post(*lines: bytes, body: bytes = SMUGGLED, version: bytes = b"1.1") -> bytes:
    return b"\r\n".join([b"POST /x HTTP/" + version, b"Host: a", *lines, b"", b""]) + body


LAST = b"0\r\n\r\n" + SMUGGLED
CL, TE = b"Content-Length: " + LENGTH, b"Transfer-Encoding: chunked"

BOTH = {
    "cl-te": post(CL, TE, body=LAST),
    "te-cl": post(TE, CL, body=LAST),
    "te-cl-0": post(TE, b"Content-Length: 0", body=LAST),
    "cl-te-lower-case": post(CL, b"transfer-encoding: chunked", body=LAST),
    "cl-te-far-apart": post(CL, *[b"X-%d: 1" % n for n in range(50)], TE, body=LAST),
    "cl-te-identity": post(CL, b"Transfer-Encoding: identity"),
    "cl-te-named-by-connection": post(CL, TE, b"Connection: transfer-encoding", body=LAST),
    "te-cl-named-by-connection": post(TE, CL, b"Connection: content-length", body=LAST),
}

OBSCURED = {
    "x": b"Transfer-Encoding: xchunked",
    "prefix": b"Transfer-Encoding: chunkedx",
    "space-before-colon": b"Transfer-Encoding : chunked",
    "tab-before-colon": b"Transfer-Encoding\t: chunked",
    "quoted": b'Transfer-Encoding: "chunked"',
    "single-quoted": b"Transfer-Encoding: 'chunked'",
    "vertical-tab": b"Transfer-Encoding: \x0bchunked",
    "form-feed": b"Transfer-Encoding: chunked\x0c",
    "nul": b"Transfer-Encoding: chu\x00nked",
    "parameter": b"Transfer-Encoding: chunked;q=1",
    "twice-in-one": b"Transfer-Encoding: chunked, chunked",
    "twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "then-identity": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "not-last": b"Transfer-Encoding: chunked, gzip",
    "gzip-first": b"Transfer-Encoding: gzip, chunked",
    "identity": b"Transfer-Encoding: identity",
    "empty": b"Transfer-Encoding:",
    "comma": b"Transfer-Encoding: ,chunked",
    "space-inside": b"Transfer-Encoding: chun ked",
    "eight-bit": b"Transfer-Encoding: chunked\xa0",
    "unicode": "Transfer-Encoding: \u0441hunked".encode(),
    "folded": b"Transfer-Encoding:\r\n chunked",
    "folded-after": b"Transfer-Encoding: chunked\r\n , identity",
    "leading-space": b" Transfer-Encoding: chunked",
    "bare-lf": b"X: x\nTransfer-Encoding: chunked",
    "bare-cr": b"X: x\rTransfer-Encoding: chunked",
    "name-eight-bit": b"Transfer-Encoding\xa0: chunked",
    "name-with-nul": b"Transfer-Encoding\x00: chunked",
}

LENGTHS = {
    "two-equal": b"%s\r\nContent-Length: %s" % (LENGTH, LENGTH),
    "two-unequal": b"0\r\nContent-Length: " + LENGTH,
    "two-unequal-spellings": b"0\r\ncontent-length: " + LENGTH,
    "list-equal": b"%s, %s" % (LENGTH, LENGTH),
    "list": b"0, " + LENGTH,
    "plus": b"+" + LENGTH,
    "minus": b"-1",
    "minus-zero": b"-0",
    "hex": b"0x10",
    "underscore": b"1_0",
    "float": b"5.0",
    "exponent": b"1e1",
    "inner-space": b"1 0",
    "letters": b"five",
    "empty": b"",
    "comma": b",",
    "quoted": b'"5"',
    "nul": b"5\x00",
    "vertical-tab": b"\x0b5",
    "eight-bit-space": b"5\xa0",
    "unicode-digits": "\u0665".encode(),
    "latin-1-digit": b"\xb2",
    "2-to-64": b"18446744073709551616",
    "2-to-64-plus": b"18446744073709551621",
    "2-to-63": b"9223372036854775808",
    "very-long": b"9" * 500,
}


@pytest.mark.parametrize("name", BOTH)
def test_length_and_coding_together(guarded, origin, name):
    refused(guarded, BOTH[name])
    assert origin.received() == b""


@pytest.mark.parametrize("with_length", [False, True], ids=["alone", "with-length"])
@pytest.mark.parametrize("name", OBSCURED)
def test_obscured_coding(guarded, origin, name, with_length):
    lines = [OBSCURED[name], *([CL] if with_length else [])]
    refused(guarded, post(*lines, body=LAST), (400, 501))
    assert origin.received() == b""


@pytest.mark.parametrize("line", [b"Transfer_Encoding: chunked", b"X-Transfer-Encoding: chunked"])
def test_what_is_no_coding_frames_nothing(guarded, origin, line):
    answers(guarded, post(line, CL))
    assert origin.count("/smuggled") == 0
    for hit in origin.hits():
        assert (hit.body, hit.headers("transfer-encoding")) == (SMUGGLED, [])


@pytest.mark.parametrize(
    "lines", [[TE], [TE, CL], [TE, b"Connection: keep-alive"]], ids=["te", "both", "kept"]
)
def test_coding_on_http_1_0(guarded, origin, lines):
    refused(guarded, post(*lines, body=LAST, version=b"1.0"))
    assert origin.received() == b""


@pytest.mark.parametrize("name", LENGTHS)
def test_lengths(guarded, origin, name):
    refused(guarded, post(b"Content-Length: " + LENGTHS[name]), (400, 413))
    assert origin.received() == b""


GOOD = b"3\r\nabc\r\n"
REFRAMED = b"abc"  # what a harmless reading yields
CHUNKS = {
    "size-hex-prefix": b"0x3\r\nabc\r\n0\r\n\r\n",
    "size-plus": b"+3\r\nabc\r\n0\r\n\r\n",
    "size-minus": b"-3\r\nabc\r\n0\r\n\r\n",
    "size-leading-space": b" 3\r\nabc\r\n0\r\n\r\n",
    "size-trailing-space": b"3 \r\nabc\r\n0\r\n\r\n",
    "size-trailing-tab": b"3\t\r\nabc\r\n0\r\n\r\n",
    "size-underscore": b"0_3\r\nabc\r\n0\r\n\r\n",
    "size-empty": b"\r\nabc\r\n0\r\n\r\n",
    "size-letter": b"g\r\nabc\r\n0\r\n\r\n",
    "size-unicode": "\u0663".encode() + b"\r\nabc\r\n0\r\n\r\n",
    "size-zeros": b"0" * 40 + b"3\r\nabc\r\n0\r\n\r\n",
    "size-2-to-64": b"10000000000000003\r\nabc\r\n0\r\n\r\n",
    "size-2-to-32": b"100000003\r\nabc\r\n0\r\n\r\n",
    "size-all-f": b"ffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "size-vertical-tab": b"3\x0b\r\nabc\r\n0\r\n\r\n",
    "size-nul": b"3\x00\r\nabc\r\n0\r\n\r\n",
    "size-comma": b"3,3\r\nabc\r\n0\r\n\r\n",
    "extension": b"3;a=b\r\nabc\r\n0\r\n\r\n",
    "extension-quoted": b'3;a="b;c"\r\nabc\r\n0\r\n\r\n',
    "extension-lf": b"3;a\nabc\r\n0\r\n\r\n",
    "extension-lf-inside": b"3;a=\nb\r\nabc\r\n0\r\n\r\n",
    "extension-cr-inside": b"3;a=\rb\r\nabc\r\n0\r\n\r\n",
    "extension-nul": b"3;a=\x00\r\nabc\r\n0\r\n\r\n",
    "extension-long": b"3;a=" + b"b" * 70_000 + b"\r\nabc\r\n0\r\n\r\n",
    "extension-on-the-last": b"3\r\nabc\r\n0;" + SMUGGLED[:20] + b"\r\n\r\n",
    "terminator-lf-after-size": b"3\nabc\r\n0\r\n\r\n",
    "terminator-cr-after-size": b"3\rabc\r\n0\r\n\r\n",
    "terminator-lf-after-data": b"3\r\nabc\n0\r\n\r\n",
    "terminator-none-after-data": b"3\r\nabc0\r\n\r\n",
    "terminator-other": b"3\r\nabcXX0\r\n\r\n",
    "terminator-doubled": b"3\r\nabc\r\n\r\n0\r\n\r\n",
    "data-too-long": b"3\r\nabcd\r\n0\r\n\r\n",
    "last-lf": b"3\r\nabc\r\n0\n\n",
    "last-lf-after": b"3\r\nabc\r\n0\r\n\n",
    "last-cr": b"3\r\nabc\r\n0\r\r\n\r\n",
    "last-double-zero": b"3\r\nabc\r\n00\r\n\r\n",
    "last-junk": b"3\r\nabc\r\n0\r\nXX\r\n\r\n",
}


@pytest.mark.parametrize("name", CHUNKS)
def test_chunks_are_refused_or_framed_anew_exactly_once(guarded, origin, name):
    found = answers(guarded, post(TE, b"X-Case: " + name.encode(), body=CHUNKS[name] + SMUGGLED))
    whole = [hit for hit in origin.hits("/x") if hit.complete]
    if whole:
        (hit,) = whole
        assert hit.body == REFRAMED
        assert len(hit.headers("content-length")) + len(hit.headers("transfer-encoding")) == 1
        assert b";" not in hit.raw_body
        assert found[0].status == 200
        assert origin.count("/smuggled") <= 1  # then it is an honest second request
    else:
        assert [a.status for a in found] in ([400], [408], [413])  # a size may be honest and too large
        assert origin.count("/smuggled") == 0


MUST_REFUSE = [name for name in CHUNKS if "-lf" in name or "minus" in name or "2-to-64" in name]


@pytest.mark.parametrize("name", MUST_REFUSE)
def test_chunks_that_peers_read_differently_are_refused(guarded, origin, name):
    refused(guarded, post(TE, body=CHUNKS[name] + SMUGGLED))
    assert not [hit for hit in origin.hits() if hit.complete]


TRAILERS = b"Authorization: Bearer evil\r\nX-Trailer: 1\r\nContent-Length: 99\r\nHost: evil\r\n"


@pytest.mark.parametrize(
    "announced", [[], [b"Trailer: X-Trailer, Authorization"]], ids=["silent", "announced"]
)
def test_trailers_of_a_request_are_dropped(guarded, origin, announced):
    (answer,) = answers(guarded, post(TE, *announced, body=GOOD + b"0\r\n" + TRAILERS + b"\r\n"), most=1)
    if answer.status != 200:
        assert answer.code == "bad_request"
        return
    hit = origin.hit()
    assert (hit.body, hit.trailers, hit.header("x-trailer")) == (b"abc", [], None)
    assert b"evil" not in origin.received()


def test_trailers_of_an_answer_are_dropped(guarded, origin):
    trailers = [("X-Trailer", "1"), ("Set-Cookie", "evil=1"), ("Cache-Control", "max-age=60")]
    origin.on("/x").chunked(b"abc", trailers=trailers)
    with guarded.send(b"GET /x HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n") as wire:
        answer = wire.read()
        assert (answer.body, answer.header("x-trailer"), answer.header("set-cookie")) == (b"abc", None, None)
        wire.send(b"GET /y HTTP/1.1\r\nHost: a\r\n\r\n")
        assert wire.read().body == b"ok"


@pytest.mark.parametrize("name", ["Content-Length", "Transfer-Encoding", "Host"])
def test_trailers_of_an_answer_that_would_frame_it(guarded, origin, name):
    origin.on("/x").chunked(b"abc", trailers=[(name, "99")])
    answer = guarded.get("/x")
    assert (answer.status, answer.complete) in [(200, True), (200, False), (502, True)]
    assert answer.header("content-length") in (None, "3", str(len(answer.body)))
    assert guarded.get("/y").body == b"ok"
