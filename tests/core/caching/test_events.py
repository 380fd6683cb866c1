import pytest

from proxy.core.caching.events import is_stream, replayable
from proxy.core.message import Headers

STREAM = ("Content-Type", "text/event-stream")


@pytest.mark.parametrize(
    ("content", "whole"),
    [
        (b"data: 1\n\n", True),
        (b"data: 1\r\n\r\n", True),
        (b"data: 1\r\r", True),
        (b"data: 1\n\r\n", True),
        (b"", True),
        (b"event: errors\ndata: 1\n\n", True),
        (b"data: event: error\n\n", True),
        (b"data: 1\n\ndata: 2", False),
        (b"data: 1\n\ndata: 2\n", False),
        (b"event: error\ndata: overloaded\n\n", False),
        (b"data: 1\r\n\r\nevent:error\r\ndata: 2\r\n\r\n", False),
    ],
)
def test_a_stream_is_replayed_whole_or_not_at_all(content: bytes, whole: bool) -> None:
    assert replayable(Headers.of(STREAM), content) is whole
    assert replayable(Headers.of(("Content-Type", "text/plain")), content)
    assert replayable(Headers.of(STREAM, ("Content-Encoding", "gzip")), content)


@pytest.mark.parametrize(
    ("kind", "stream"),
    [(" Text/Event-Stream; charset=utf-8", True), ("text/event", False), ("application/json", False)],
)
def test_is_stream(kind: str, stream: bool) -> None:
    assert is_stream(Headers.of(("Content-Type", kind))) is stream
    assert not is_stream(Headers())
