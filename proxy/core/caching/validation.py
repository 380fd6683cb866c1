"""Is what somebody has stored still right? Asked of the origin, and asked by a caller. (RFC 9111 §4.3)"""

from __future__ import annotations

from dataclasses import replace

from proxy.core.caching import syntax
from proxy.core.caching.entry import Entry
from proxy.core.forwarding import HOP_BY_HOP, listed
from proxy.core.message import Headers, Request, lower_name

COOKIES = frozenset({"set-cookie", "set-cookie2"})
CONDITIONS = frozenset({"if-none-match", "if-modified-since"})

_OK, _PARTIAL = 200, 206
# They describe content, which a 304 does not have; Content-Location names a resource and stays.
_OF_CONTENT = frozenset({"content-length", "content-type", "content-encoding", "content-language"})
_OF_CONTENT |= {"content-range", "content-md5", "content-digest", "repr-digest"}
# What a 304 may not change: the stored content's own framing and coding (§3.2), and a cookie is for one
# caller.
_NOT_UPDATED = frozenset({"content-length", "content-encoding", "content-range", *COOKIES})


def conditional(request: Request, entry: Entry) -> Request:
    """The request that asks whether `entry` is still right; the caller's own conditions give way."""
    headers = request.headers.without(CONDITIONS)
    if entry.etag is not None:
        headers = headers.plus(("If-None-Match", entry.etag))
    if entry.last_modified is not None:
        headers = headers.plus(("If-Modified-Since", entry.last_modified))
    return replace(request, headers=headers)


def asks(request: Request) -> bool:
    """Whether the caller validates a stored answer of its own."""
    return not request.headers.names().isdisjoint(CONDITIONS)


def unchanged(request: Request, entry: Entry, wall: float) -> bool:
    """Whether the caller's conditions are met by a usable entry, so that 304 answers it (§4.3.2)."""
    if entry.status not in (_OK, _PARTIAL):
        return False
    wanted = request.headers.joined("if-none-match")
    if wanted is not None:
        tags = list(syntax.entity_tags(wanted))
        if "*" in tags:
            return True
        own = None if entry.etag is None else next(iter(syntax.entity_tags(entry.etag)), None)
        return own is not None and own in tags
    lines = request.headers.all("if-modified-since")
    since = syntax.instant(lines[0], wall) if len(lines) == 1 else None
    if since is None:
        return False
    return (entry.date if entry.modified is None else entry.modified) <= since


def confirms(entry: Entry, headers: Headers) -> bool:
    """Whether a 304 with these fields speaks of this entry (§4.3.4)."""
    tag = headers.get("etag")
    if tag is None or entry.etag is None:
        return True
    return list(syntax.entity_tags(tag)) == list(syntax.entity_tags(entry.etag))


def agrees(entry: Entry, headers: Headers) -> bool:
    """Whether an answer to HEAD with these fields speaks of what is stored (RFC 9111 §4.3.5)."""
    length, tag, changed = headers.get("content-length"), headers.get("etag"), headers.get("last-modified")
    return (
        (length is None or length == str(len(entry.body)))
        and (tag is None or tag == entry.etag)
        and (changed is None or changed == entry.last_modified)
    )


def merged(stored: Headers, news: Headers) -> Headers:
    """The stored fields as a 304 updates them (§3.2): each named one is replaced, line for line.

    The Date is that of the 304 alone: one without it is of now, whatever is stored.
    """
    updates = news.without(_NOT_UPDATED | HOP_BY_HOP | listed(news))
    return Headers((*stored.without(updates.names() | {"date"}).fields, *updates.fields))


def without_content(headers: Headers) -> Headers:
    """The fields of a 304 that speaks of an answer with these fields (RFC 9110 §15.4.5)."""
    return Headers(line for line in headers.fields if lower_name(line[0]) not in _OF_CONTENT)
