"""What stands in the head that goes out, and is the head that came in one to be trusted?

The law: what is forwarded goes out byte for byte; Host and exactly one framing field are ours; a byte
that could end a line is refused. An answer whose length two readers could read differently is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from aiohttp import HttpVersion10, HttpVersion11
from aiohttp.http_parser import RawResponseMessage

from proxy.core.expression import expression
from proxy.core.failure import BadRequestError, UpstreamProtocolError
from proxy.core.forwarding import end_to_end
from proxy.core.message import Field, Headers, Interim, Request, lower_name
from proxy.core.websocket import OWN_FIELDS, agreed

_TOKEN = expression(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_NAMES = expression(rb"[!#$%&'*+.^_`|~0-9A-Za-z\n-]*")
_NAME_EACH = expression(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+\n)*")
# What RFC 9110 §5.5 forbids in a value; a tab is allowed.
_CONTROL = expression(rb"[\x00-\x08\x0a-\x1f\x7f]")
_UNSAFE_TARGET = expression(r"[^\x21-\x7e\x80-\xff]")
# A body is expected with these, so its absence is said (RFC 9110 §8.6).
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_CONTINUE = 100
_FRAMING = frozenset({"content-length", "transfer-encoding"})


def written(request: Request, length: int | None, *, path: str, authority: str) -> bytes:
    """The head's bytes.

    `length` is the body's, None = unknown; `path` goes before the target; `authority` is Host unless the
    request has one.
    Raises BadRequestError for anything that would not stay within its line.
    """
    target = path + request.target
    if _TOKEN.fullmatch(request.method) is None or not target or _UNSAFE_TARGET.search(target) is not None:
        raise BadRequestError("The method or the target cannot be written as a request line.")
    host = authority.encode("latin-1")
    lines: list[bytes] = []
    names: list[bytes] = []
    for name, value in request.headers.fields:
        lowered = lower_name(name)
        if lowered == "host":
            host = value
        elif lowered not in _FRAMING:
            names.append(name)
            lines.append(name + b": " + value)
    if length is None:
        lines.append(b"Transfer-Encoding: chunked")
    elif length or request.method in _WITH_BODY:
        lines.append(b"Content-Length: %d" % length)
    fields = b"\r\n".join([b"Host: " + host, *lines])
    breaks = len(lines)
    if (
        fields.count(b"\n") != breaks
        or fields.count(b"\r") != breaks
        or b"\0" in fields
        or b"" in names
        or _NAMES.fullmatch(b"\n".join(names)) is None
    ):
        raise BadRequestError("A header field holds a byte that cannot be forwarded.")
    return b"%b %b HTTP/1.1\r\n%b\r\n\r\n" % (
        request.method.encode("ascii"),
        target.encode("latin-1"),
        fields,
    )


def interim(message: RawResponseMessage) -> Interim | None:
    """An interim answer that may be passed on; None for 100, which we asked for, and what is unsafe."""
    if message.code == _CONTINUE or message.version != HttpVersion11:
        return None
    reason = (message.reason or "").encode("utf-8", "surrogateescape")
    if _unsafe(reason, message.raw_headers):
        return None
    headers = end_to_end(Headers(message.raw_headers)).without(_FRAMING)
    return Interim(status=message.code, reason=reason.decode("latin-1"), headers=headers)


def _unsafe(reason: bytes, fields: Sequence[Field]) -> bool:
    # One search over all of them: this is done for every answer.
    if _CONTROL.search(b"".join([reason, *[value for _, value in fields]])) is not None:
        return True
    return _NAME_EACH.fullmatch(b"".join([name + b"\n" for name, _ in fields])) is None


def switched(request: Request, key: str, message: RawResponseMessage) -> tuple[Headers, str]:
    """The end-to-end fields and the reason of a 101 to our handshake. Raises UpstreamProtocolError."""
    reason = (message.reason or "").encode("utf-8", "surrogateescape")
    if message.version != HttpVersion11 or _unsafe(reason, message.raw_headers):
        raise UpstreamProtocolError("The upstream's head holds a forbidden byte.", sent=True)
    headers = Headers(message.raw_headers)
    wrong = agreed(request.headers, headers, key)
    if wrong is not None:
        raise UpstreamProtocolError(wrong, sent=True)
    return end_to_end(headers).without(_FRAMING | OWN_FIELDS), reason.decode("latin-1")


def received(message: RawResponseMessage) -> tuple[Headers, str]:
    """The answer's end-to-end fields and its reason phrase. Raises UpstreamProtocolError."""
    raw = message.raw_headers
    version = message.version
    if version not in (HttpVersion11, HttpVersion10):
        raise UpstreamProtocolError("The upstream answers in an unknown version of HTTP.", sent=True)
    if not 200 <= message.code <= 999:  # noqa: PLR2004 - RFC 9110 §15, and what passes through it
        raise UpstreamProtocolError("The upstream's status is none.", sent=True)
    reason = (message.reason or "").encode("utf-8", "surrogateescape")
    if _unsafe(reason, raw):
        raise UpstreamProtocolError("The upstream's head holds a forbidden byte.", sent=True)
    headers = Headers(raw)
    names = headers.names()
    if "transfer-encoding" in names:
        if version != HttpVersion11 or "content-length" in names:
            raise UpstreamProtocolError("The upstream's answer has two lengths.", sent=True)
        if [coding.strip().lower() for coding in headers.all("transfer-encoding")] != ["chunked"]:
            raise UpstreamProtocolError("The upstream's answer has an unknown transfer coding.", sent=True)
    if "content-length" in names and len(headers.all("content-length")) > 1:
        raise UpstreamProtocolError("The upstream's answer has two lengths.", sent=True)
    return end_to_end(headers), reason.decode("latin-1")
