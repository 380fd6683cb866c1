"""What does an answer from the store look like?

A caller whose own copy is still right gets 304, whatever the stored answer was fetched for; everybody
else gets the stored fields with their age and one line on what the cache did.
"""

from __future__ import annotations

from proxy.core.caching import ranges, status, validation
from proxy.core.caching.entry import Entry
from proxy.core.message import Body, Headers, Request, Response, Whole

_NOT_MODIFIED = 304


def aged(seconds: float) -> bytes:
    """What Age says (RFC 9111 §5.1)."""
    return b"%d" % int(seconds)


def serve(
    request: Request,
    entry: Entry,
    line: str,
    *,
    now: float,
    wall: float,
    body: Body | None = None,
    age: bytes | None = None,
) -> Response:
    """The answer that an entry gives to a request; `line` is the Cache-Status, `age` instead of that of now.

    `body` is where the content comes from while it is still on its way; it is closed where the answer
    needs none.
    """
    headers = Headers(
        (
            *entry.headers.fields,
            (b"Age", aged(entry.age(now)) if age is None else age),
            (status.NAME.encode(), line.encode("latin-1")),
        )
    )
    unchanged = validation.asks(request) and validation.unchanged(request, entry, wall)
    if unchanged or request.method == "HEAD":
        if body is not None:
            body.close()
        body = Whole()
    elif body is None:
        body = Whole(entry.body)
    if unchanged:
        return Response(
            status=_NOT_MODIFIED,
            reason="Not Modified",
            headers=validation.without_content(headers),
            body=body,
        )
    part = ranges.reach(request, entry) if "range" in request.headers else None
    if isinstance(part, ranges.Part):
        place = f"bytes {part.first}-{part.last}/{part.total}"
        cut = headers.without({"content-length", "content-range"}).plus(("Content-Range", place))
        return Response(
            status=ranges.PARTIAL,
            reason="Partial Content",
            headers=cut,
            body=Whole(ranges.content(entry, part)),
        )
    return Response(status=entry.status, reason=entry.reason, headers=headers, body=body)


def annotate(response: Response, line: str) -> Response:
    """An upstream's answer with what the cache did appended."""
    headers = response.headers.plus((status.NAME, line))
    return response.with_headers(headers)
