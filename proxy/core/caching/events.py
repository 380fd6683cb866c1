"""Is a stream of events whole, so that it may be replayed? (WHATWG HTML §9.2)

The law: what is replayed ends where an event ends. A stream that was cut and ended cleanly all the same,
as one without length is by a closed connection, ends elsewhere; and what tells of an error in its midst
is an answer to nobody else.
"""

from __future__ import annotations

from proxy.core.expression import expression
from proxy.core.message import Headers

_ENDED = (b"\n\n", b"\r\r", b"\r\n\r\n", b"\n\r\n")
_ERROR = expression(rb"(?:\A|[\r\n])event: ?error *[\r\n]")


def is_stream(headers: Headers) -> bool:
    """Whether an answer with these fields is a stream of events."""
    return (headers.get("content-type") or "").strip().lower().startswith("text/event-stream")


def replayable(headers: Headers, content: bytes) -> bool:
    """Whether content with these fields may be given to others. What is no such stream may."""
    if not is_stream(headers) or "content-encoding" in headers or not content:
        return True
    return content.endswith(_ENDED) and _ERROR.search(content) is None
