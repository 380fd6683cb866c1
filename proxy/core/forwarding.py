"""What changes in a message as it passes through?

The law: everything passes unchanged but what belongs to one hop (RFC 9110 §7.6.1), what the operator
sets or removes, and what names us. Fields that `Connection` lists go first, so that nothing added later,
a credential least of all, can be talked away by the caller. Framing is never copied: whoever writes the
message writes exactly one framing field.
"""

from __future__ import annotations

from functools import lru_cache

from proxy.core.dialect import LEGIBLE, PLAIN
from proxy.core.expression import expression
from proxy.core.failure import BadRequestError
from proxy.core.message import Field, Headers, Request, lower_name
from proxy.core.routing import Route
from proxy.core.websocket import OWN_FIELDS, VERSION

_PSEUDONYM = "leeward"
VIA = f"1.1 {_PSEUDONYM}"
MOST_HOPS = 8  # more than anybody chains on purpose
_VIA_FIELD: Field = (b"Via", VIA.encode())

# RFC 9110 §7.6.1 and what older software sends in the same sense. Proxy-Authorization is ours to read,
# never the upstream's.
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "http2-settings",
    }
)

# Of a request: written anew for the next hop, answered by us, or addressed to us.
_OURS = frozenset({"host", "content-length", "expect", "leeward-token", "leeward-priority"})
# Say who called whom; the upstream gets them from us or not at all.
FORWARDED = frozenset(
    {
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-prefix",
        "x-forwarded-proto",
        "x-forwarded-server",
        "x-real-ip",
    }
)
# What a WebSocket handshake says to the next hop; the key is made for each attempt (RFC 6455 §4.1).
_HANDSHAKE: tuple[Field, ...] = (
    (b"Connection", b"Upgrade"),
    (b"Upgrade", b"websocket"),
    (b"Sec-WebSocket-Version", VERSION.encode()),
)
_REQUEST_ID = expression(r"[\x21-\x7e]{1,128}")


def listed(headers: Headers) -> frozenset[str]:
    """The lower-case names that `Connection` lists, over all its lines."""
    line = headers.joined("connection")
    if line is None:
        return frozenset()
    return frozenset(name.strip().lower() for name in line.split(",") if name.strip())


def end_to_end(headers: Headers) -> Headers:
    """The fields that may pass a hop. Content-Length is kept: it also describes what is stored."""
    names = listed(headers)
    # Nobody may have Content-Length, or the stored validators' meaning, dropped by naming it.
    return headers.without(HOP_BY_HOP | (names - {"content-length"}) if names else HOP_BY_HOP)


def callers_id(headers: Headers) -> str | None:
    """The caller's X-Request-Id where it is one printable word of at most 128 characters."""
    given = headers.get("x-request-id")
    return given if given is not None and _REQUEST_ID.fullmatch(given) else None


def hops(headers: Headers) -> int:
    """How many proxies of this kind the request has passed, as its Via says."""
    if "via" not in headers:
        return 0
    members = (headers.joined("via") or "").split(",")
    return sum(1 for member in members if member.split()[1:2] == [_PSEUDONYM])


def refuse_circles(headers: Headers) -> None:
    """Raises BadRequestError for a request that keeps coming back."""
    if hops(headers) >= MOST_HOPS:
        raise BadRequestError(
            f"The request has passed {MOST_HOPS} proxies of this kind: it goes in a circle."
        )


def forward(
    request: Request, route: Route, target: str, *, request_id: str, traceparent: str, caller: str = ""
) -> Request:
    """The request as it goes upstream, but for the credential, which is injected at each attempt.

    `target` is the one with the prefix stripped; `caller` the caller's address, used only where the
    route says `forwarded: true`.
    """
    dropped = _dropped(request, route)
    replaced = route.injector.replaced
    seen_id = seen_trace = False
    fields: list[Field] = []
    for field in _offered(request.headers, route).fields:
        name = lower_name(field[0])
        if name in dropped or name.replace("_", "-") in replaced:
            continue
        if name == "x-request-id":
            if seen_id or field[1].decode("latin-1") != request_id:
                continue
            seen_id = True
        elif name == "traceparent":
            seen_trace = True
        fields.append(field)
    if not seen_id:
        fields.append((b"X-Request-Id", request_id.encode()))
    if not seen_trace:
        fields.append((b"traceparent", traceparent.encode()))
    fields.append(_VIA_FIELD)
    if route.forwarded:
        fields.extend(_forwarded(request, caller))
    if request.switch:
        fields.extend(_HANDSHAKE)
    fields.extend(_configured(route, fields))
    return Request(
        method=request.method,
        target=target,
        headers=Headers(fields),
        body=request.body,
        host=request.host,
        scheme=request.scheme,
        interim=request.interim,
    )


def _dropped(request: Request, route: Route) -> frozenset[str]:
    """The caller's fields that do not pass, but for those that a credential replaces."""
    dropped = HOP_BY_HOP | _OURS | FORWARDED | listed(request.headers) | route.remove_headers
    dropped |= frozenset(name.lower() for name, _ in route.set_headers)
    return dropped | OWN_FIELDS if request.switch else dropped


def _offered(headers: Headers, route: Route) -> Headers:
    """Where failures are read: without the codings in which they could not be (RFC 9110 §12.5.3)."""
    accepted = None if route.dialect is PLAIN else headers.joined("accept-encoding")
    if accepted is None or (kept := legible(accepted)) == accepted:
        return headers
    return headers.replacing("Accept-Encoding", kept)


@lru_cache(maxsize=256)
def legible(accepted: str) -> str:
    """What of an Accept-Encoding is left of it."""
    wanted = [part.strip() for part in accepted.split(",")]
    kept = [part for part in wanted if part.partition(";")[0].strip().lower() in LEGIBLE]
    return ", ".join(kept) or "identity"


def _configured(route: Route, fields: list[Field]) -> list[Field]:
    """What the route sets, and what it gives where the caller sent none."""
    pairs = list(route.set_headers)
    if route.default_headers:
        present = {lower_name(field[0]) for field in fields} | {name.lower() for name, _ in pairs}
        settled = present | route.remove_headers
        pairs += [pair for pair in route.default_headers if pair[0].lower() not in settled]
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs]


def _forwarded(request: Request, caller: str) -> list[Field]:
    # A chain that the caller claims is kept, with its own address after it, as RFC 7239 §4 has it.
    claimed = request.headers.joined("x-forwarded-for")
    chain = f"{claimed}, {caller}" if claimed else caller
    node = f'"[{caller}]"' if ":" in caller else caller or "unknown"
    standard = f"for={node};proto={request.scheme}"
    if request.host and '"' not in request.host:
        standard += f';host="{request.host}"'
    earlier = request.headers.joined("forwarded")
    if earlier:
        standard = f"{earlier}, {standard}"
    pairs = [
        ("X-Forwarded-For", chain),
        ("X-Forwarded-Proto", request.scheme),
        ("X-Forwarded-Host", request.host),
        ("Forwarded", standard),
    ]
    return [(n.encode("latin-1"), v.encode("latin-1")) for n, v in pairs if v]
