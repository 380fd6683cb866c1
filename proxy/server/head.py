"""Is this request head safe to act on, and what does it say?

The law: what two readers could take for two different messages is refused with 400 and the connection
closed; nothing is repaired (RFC 9112 §2.2, 3.2, 6.3, 11.2). The library's parser has already refused
what does not parse; here stands what it lets through.
"""

from __future__ import annotations

import ipaddress

from aiohttp import HttpVersion, HttpVersion10, HttpVersion11
from aiohttp.http import RawRequestMessage

from proxy.core import websocket
from proxy.core.expression import expression
from proxy.core.failure import APIError, BadRequestError, PayloadTooLargeError
from proxy.core.message import Headers
from proxy.core.value import dataclass

MOST_BYTES = 16 * 1024  # of a whole head
MOST_FIELDS = 100

_FORBIDDEN_IN_VALUE = expression(rb"[\x00-\x08\x0a-\x1f\x7f]")
_TOKEN = expression(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_DIGITS = expression(r"[0-9]{1,18}")
# Narrower than RFC 3986 §3.2.2: what no DNS name holds (commas above all) is a trick or a mistake.
_REG_NAME = expression(r"[A-Za-z0-9._~-]+(?::[0-9]{0,5})?")
_BRACKETED = expression(r"\[([0-9A-Fa-f:.]+)\](?::[0-9]{0,5})?")
_HIGHEST_PORT = 65535
# How the parser, whose list of methods is closed, says that one is not in it, or is another protocol's.
_NO_METHOD = ("invalid method", "after method")
_REFUSED_METHODS = frozenset({"TRACE", "CONNECT"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What the head says. `length` is the body's: 0 for none, None for chunked, else bytes."""

    method: str
    target: str
    headers: Headers
    host: str
    length: int | None
    old: bool  # HTTP/1.0
    expects_continue: bool
    final: bool  # nothing further may be read on this connection
    key: str | None = None  # of a WebSocket handshake


class MethodRefused(BadRequestError):
    """405: the method would reflect what we inject, or open a tunnel."""

    default_status = 405


class VersionRefused(BadRequestError):
    default_status = 505


class ExpectationFailed(BadRequestError):
    default_status = 417


def read(message: RawRequestMessage, *, most_body: int) -> Head:
    """The head of a parsed message. Raises BadRequestError and its kin, PayloadTooLargeError."""
    version: HttpVersion = message.version
    if version not in (HttpVersion10, HttpVersion11):
        raise VersionRefused("Only HTTP/1.1 and HTTP/1.0 are spoken here.")
    old = version == HttpVersion10
    if message.method in _REFUSED_METHODS:
        raise MethodRefused(f"{message.method} is not forwarded.")
    path: str = message.path
    target = path if path.isascii() else path.encode("utf-8", "surrogateescape").decode("latin-1")
    headers = Headers(message.raw_headers)
    key: str | None = None
    if len(headers) > MOST_FIELDS or len(target) + headers.size() > MOST_BYTES:
        raise BadRequestError(f"The head is over {MOST_BYTES} bytes or {MOST_FIELDS} fields.")
    for name, value in headers.fields:
        if _FORBIDDEN_IN_VALUE.search(value) is not None or _TOKEN.fullmatch(name) is None:
            raise BadRequestError("A header field holds a control character or an invalid name.")
    length = _length(headers, old=old, most_body=most_body)
    if message.upgrade and message.method == "GET" and length == 0 and not old and _to_websocket(headers):
        key = websocket.asked(headers)
    return Head(
        method=message.method,
        target=target,
        headers=headers,
        host=_host(headers, old=old),
        length=length,
        old=old,
        expects_continue=_expects_continue(headers, old=old),
        # Whatever follows a request to switch protocols is not ours to parse.
        final=bool(message.should_close) or "upgrade" in headers or bool(message.upgrade),
        key=key,
    )


def _to_websocket(headers: Headers) -> bool:
    """Whether the caller wants this protocol and no other; other wishes are left unheard (RFC 9110 §7.8)."""
    return [wanted.strip().lower() for wanted in headers.all("upgrade")] == ["websocket"]


def _host(headers: Headers, *, old: bool) -> str:
    hosts = headers.all("host")
    if not hosts and old:
        return ""
    if len(hosts) != 1:
        raise BadRequestError("Exactly one Host field is needed.")
    if not _is_host(hosts[0]):
        raise BadRequestError("The Host field is not a host with an optional port.")
    return hosts[0]


def _is_host(host: str) -> bool:
    port = host.rpartition(":")[2] if not host.endswith("]") and ":" in host else ""
    if port and int(port if port.isdigit() else "0") > _HIGHEST_PORT:
        return False
    bracketed = _BRACKETED.fullmatch(host)
    if bracketed is None:
        return _REG_NAME.fullmatch(host) is not None
    try:
        ipaddress.IPv6Address(bracketed[1])
    except ValueError:
        return False
    return True


def _length(headers: Headers, *, old: bool, most_body: int) -> int | None:
    """Framing, read more strictly than it may be: any doubt is an attack or a bug (§6.3, 11.2)."""
    codings = headers.all("transfer-encoding")
    lengths = headers.all("content-length")
    if codings:
        if old or lengths or len(codings) != 1 or codings[0].lower() != "chunked":
            raise BadRequestError("The body's framing is ambiguous or its coding unknown.")
        return None
    if not lengths:
        return 0
    if len(lengths) != 1 or _DIGITS.fullmatch(lengths[0]) is None:
        raise BadRequestError("Content-Length is not one plain number.")
    length = int(lengths[0])
    if length > most_body:
        raise PayloadTooLargeError(f"The request body is over {most_body} bytes.")
    return length


def _expects_continue(headers: Headers, *, old: bool) -> bool:
    expected = headers.joined("expect")
    if expected is None or old:
        return False
    if expected.strip().lower() != "100-continue":
        raise ExpectationFailed("Only the expectation 100-continue is met.")
    return True


def unparsed(message: str) -> APIError:
    """The failure for bytes that the parser refused; `message` is the parser's, for the log only."""
    said = message.lower()
    if "http version" in said:
        return VersionRefused("Only HTTP/1.1 and HTTP/1.0 are spoken here.")
    if any(wording in said for wording in _NO_METHOD):
        return BadRequestError("The method is not one that is known here; methods are written in capitals.")
    return BadRequestError("The request is not valid HTTP/1.1.")
