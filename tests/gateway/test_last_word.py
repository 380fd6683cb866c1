from __future__ import annotations

import pytest

from proxy.core.dialect import Form
from proxy.core.failure import APIError, UpstreamProtocolError
from proxy.core.message import Headers, Response, Whole
from proxy.gateway.last_word import LastWord, is_stream
from tests.gateway.stage import Pipe

FORM = Form(body={"error": "{message}"}, event="error")
CUT = UpstreamProtocolError("The stream broke.", sent=True)
WORD = b'event: error\ndata: {"error":"The stream broke."}\n\n'


async def told(*pieces: bytes | APIError | None, form: Form = FORM) -> tuple[list[bytes], APIError | None]:
    body = LastWord(Pipe(*pieces), form, request_id="r")
    assert body.length is None
    got: list[bytes] = []
    try:
        while piece := await body.read():
            got.append(piece)
    except APIError as failure:
        return got, failure
    return got, None


async def test_a_whole_stream_passes_as_it_is() -> None:
    got, failure = await told(b"data: 1\n\n", b"data: 2\n\n", None)
    assert (got, failure) == ([b"data: 1\n\n", b"data: 2\n\n"], None)


async def test_each_event_passes_as_soon_as_it_is_whole() -> None:
    got, _ = await told(b"data: 1\n\ndata", b": 2\n", b"\ndata: 3\r\n\r\n", b"data: 4\r\r", None)
    assert got == [b"data: 1\n\n", b"data: 2\n\ndata: 3\r\n\r\n", b"data: 4\r\r"]


async def test_what_stands_at_the_end_without_an_empty_line_passes_too() -> None:
    got, _ = await told(b"data: 1\n\ndata: 2\n", None)
    assert b"".join(got) == b"data: 1\n\ndata: 2\n"


async def test_a_stream_that_breaks_says_so_and_is_not_complete() -> None:
    got, failure = await told(b"data: 1\n\n", CUT)
    assert got == [b"data: 1\n\n", WORD]
    assert failure is CUT
    assert failure.told


async def test_half_an_event_does_not_pass() -> None:
    got, _ = await told(b'data: 1\n\ndata: {"half', UpstreamProtocolError("The stream broke."))
    assert got == [b"data: 1\n\n", WORD]


async def test_an_event_that_is_too_long_to_be_held_passes_as_it_comes_and_nothing_is_said_within() -> None:
    large = b"data: " + b"x" * 70_000
    failure = UpstreamProtocolError("The stream broke.")
    got, raised = await told(large, b"more", failure)
    assert got == [large, b"more"]
    assert raised is failure
    assert not failure.told


async def test_after_such_an_event_all_is_as_before() -> None:
    large = b"data: " + b"x" * 70_000
    got, failure = await told(large, b"\n\n", b"data: 2\n\n", UpstreamProtocolError("The stream broke."))
    assert got == [large, b"\n\n", b"data: 2\n\n", WORD]
    assert failure is not None
    assert failure.told


async def test_an_api_without_such_an_event_is_broken_off_as_ever() -> None:
    got, failure = await told(b"data: 1\n\n", CUT, form=Form(body={}))
    assert (got, failure) == ([b"data: 1\n\n"], CUT)


async def test_closing_stops_the_source() -> None:
    source = Pipe()
    LastWord(source, FORM, request_id="r").close()
    assert source.closed


@pytest.mark.parametrize(
    ("fields", "body", "found"),
    [
        ((("Content-Type", "text/event-stream; charset=utf-8"),), Pipe(), True),
        ((("Content-Type", "application/json"),), Pipe(), False),
        ((("Content-Type", "text/event-stream"), ("Content-Encoding", "gzip")), Pipe(), False),
        ((("Content-Type", "text/event-stream"), ("Content-Length", "3")), Pipe(length=3), False),
        ((("Content-Type", "text/event-stream"),), Whole(b"data: 1\n\n"), False),
    ],
)
async def test_only_a_stream_as_it_comes_gets_a_last_word(
    fields: tuple[tuple[str, str], ...], body: Pipe | Whole, found: bool
) -> None:
    assert is_stream(Response(status=200, headers=Headers.of(*fields), body=body)) is found
