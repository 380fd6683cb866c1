import asyncio

import pytest
from aiohttp import HttpVersion, HttpVersion10, HttpVersion11
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.http_parser import HttpRequestParser
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from proxy.core.failure import APIError, BadRequestError, PayloadTooLargeError
from proxy.server.head import MOST_FIELDS, read, unparsed
from tests.websocket import KEY

HOST = (b"Host", b"localhost:8080")


def message(*fields, method="GET", path="/x", version=HttpVersion11, close=False, upgrade=False):
    return RawRequestMessage(
        method,
        path,
        version,
        CIMultiDictProxy(CIMultiDict()),
        tuple(fields),
        close,
        None,
        upgrade,
        False,
        URL("/"),
    )


def heard(*fields, most_body=1000, **rest):
    return read(message(*fields, **rest), most_body=most_body)


def status_of(*fields, **rest):
    with pytest.raises(APIError) as caught:
        heard(*fields, **rest)
    assert isinstance(caught.value, BadRequestError | PayloadTooLargeError)
    return caught.value.status


def test_a_plain_head():
    head = heard(HOST, (b"X-A", b"\xff"), path="/a%2F?b")
    assert (head.method, head.target, head.host, head.length) == ("GET", "/a%2F?b", "localhost:8080", 0)
    assert (head.old, head.expects_continue, head.final) == (False, False, False)
    assert head.headers.fields == (HOST, (b"X-A", b"\xff"))


def test_the_target_s_bytes_are_kept_one_character_each():
    assert (
        heard(HOST, path=b"/caf\xc3\xa9\xff".decode("utf-8", "surrogateescape")).target == "/caf\xc3\xa9\xff"
    )


@pytest.mark.parametrize("host", ["a", "a.b:80", "[::1]:80", "[::1]", "1.2.3.4", "a_b", "a:", "xn--a"])
def test_hosts(host):
    assert heard((b"host", host.encode())).host == host


@pytest.mark.parametrize(
    "host",
    [
        "",
        " ",
        "a b",
        "a/b",
        "a@b",
        "a:b",
        "a:1:2",
        "[::1",
        "[zz]",
        "[1.2.3.4]",
        "a:999999",
        "a,b",
        "a\\b",
        "a?b",
        "\xe9",
    ],
)
def test_junk_hosts(host):
    assert status_of((b"Host", host.encode("latin-1"))) == 400


def test_exactly_one_host():
    assert status_of() == 400
    assert status_of(HOST, (b"host", b"other")) == 400
    assert status_of(HOST, HOST) == 400
    assert heard(version=HttpVersion10).host == ""


CL, TE = b"Content-Length", b"Transfer-Encoding"


@pytest.mark.parametrize(
    ("fields", "length"),
    [([], 0), ([(CL, b"0")], 0), ([(CL, b"17")], 17), ([(TE, b"chunked")], None), ([(TE, b"CHUNKED")], None)],
)
def test_framing(fields, length):
    assert heard(HOST, *fields).length == length


@pytest.mark.parametrize(
    "fields",
    [
        [(CL, b"+1")],
        [(CL, b"-1")],
        [(CL, b"0x1")],
        [(CL, b"1_0")],
        [(CL, b"1, 1")],
        [(CL, b"1 1")],
        [(CL, b"")],
        [(CL, b"1"), (CL, b"1")],
        [(CL, b"99999999999999999999")],
        [(CL, b"\xd9\xa1")],
        [(TE, b"chunked"), (CL, b"1")],
        [(TE, b"chunked"), (TE, b"chunked")],
        [(TE, b"gzip, chunked")],
        [(TE, b"chunked, identity")],
        [(TE, b"xchunked")],
        [(TE, b"identity")],
        [(TE, b"")],
    ],
)
def test_framing_in_doubt(fields):
    assert status_of(HOST, *fields) == 400


def test_transfer_encoding_on_1_0_is_an_attack():
    assert status_of(HOST, (TE, b"chunked"), version=HttpVersion10) == 400


def test_a_body_over_the_limit():
    assert status_of(HOST, (CL, b"1001")) == 413
    assert heard(HOST, (CL, b"1000")).length == 1000


@pytest.mark.parametrize(
    "field",
    [
        (b"X", b"a\x00b"),
        (b"X", b"a\rb"),
        (b"X", b"a\nb"),
        (b"X", b"\x7f"),
        (b"X Y", b"a"),
        (b"", b"a"),
        (b"X\xff", b"a"),
    ],
)
def test_fields_that_are_none(field):
    assert status_of(HOST, field) == 400


def test_a_head_has_bounds():
    assert status_of(HOST, *[(b"X", b"y")] * MOST_FIELDS) == 400
    assert status_of(HOST, (b"X", b"y" * 17_000)) == 400
    assert heard(HOST, *[(b"X", b"y")] * (MOST_FIELDS - 1)).length == 0


@pytest.mark.parametrize("method", ["TRACE", "CONNECT"])
def test_methods_that_are_not_forwarded(method):
    assert status_of(HOST, method=method) == 405


@pytest.mark.parametrize("version", [HttpVersion(0, 9), HttpVersion(1, 2), HttpVersion(2, 0)])
def test_versions(version):
    assert status_of(HOST, version=version) == 505


def test_expectations():
    assert heard(HOST, (b"Expect", b"100-Continue")).expects_continue
    assert status_of(HOST, (b"Expect", b"200-ok")) == 417
    assert not heard(HOST, (b"Expect", b"100-continue"), version=HttpVersion10).expects_continue


def test_the_last_message_of_a_connection():
    assert heard(HOST, close=True).final
    assert heard(HOST, (b"Upgrade", b"h2c")).final
    assert heard(HOST, upgrade=True).final


WEBSOCKET = (
    (b"Connection", b"Upgrade"),
    (b"Upgrade", b"WebSocket"),
    (b"Sec-WebSocket-Version", b"13"),
    (b"Sec-WebSocket-Key", KEY.encode()),
)


def test_a_websocket_handshake_gives_its_key():
    assert heard(HOST, *WEBSOCKET, upgrade=True).key == KEY


def test_what_is_no_handshake_has_no_key():
    assert heard(HOST, *WEBSOCKET).key is None  # the parser saw no Connection that lists it
    assert heard(HOST, *WEBSOCKET, upgrade=True, method="POST").key is None
    assert heard(HOST, *WEBSOCKET, upgrade=True, version=HttpVersion10).key is None
    assert heard(HOST, *WEBSOCKET, (b"Content-Length", b"3"), upgrade=True).key is None
    assert heard(HOST, *WEBSOCKET, (b"Upgrade", b"h2c"), upgrade=True).key is None
    assert heard(HOST, WEBSOCKET[0], (b"Upgrade", b"h2c"), upgrade=True).key is None


def test_a_handshake_that_is_broken():
    assert status_of(HOST, *WEBSOCKET[:3], upgrade=True) == 400
    assert status_of(HOST, *WEBSOCKET[:2], (b"Sec-WebSocket-Version", b"8"), upgrade=True) == 426


def test_what_did_not_parse():
    assert unparsed("Invalid HTTP version").status == 505
    assert unparsed("anything else").detail == "The request is not valid HTTP/1.1."


@pytest.mark.parametrize("method", ["get", "FOO", "LIST", "BREW", "GETX", "POS", "ANNOUNCE", "FLUSH"])
async def test_a_method_that_the_parser_does_not_know(method):
    loop = asyncio.get_running_loop()
    parser = HttpRequestParser(BaseProtocol(loop), loop, 2**16)
    with pytest.raises(BadHttpMessage) as caught:
        parser.feed_data(f"{method} /x HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    failure = unparsed(caught.value.message)
    assert (failure.status, failure.code) == (400, "bad_request")
    assert failure.detail.startswith("The method is not one that is known here")
