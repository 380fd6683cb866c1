"""Which part of an answer does a request ask for, and is it in what is stored? (RFC 9110 §14)

The law: one range of bytes is understood; several, or another unit, are the origin's. Parts are put
together only where the same strong validator says that they are parts of the same. What does not fit
its own Content-Range to the byte is not a part of anything.
"""

from __future__ import annotations

import re
from dataclasses import replace

from proxy.core.caching import validation
from proxy.core.caching.entry import Entry
from proxy.core.expression import expression
from proxy.core.message import Headers, Request
from proxy.core.value import dataclass

OK, PARTIAL = 200, 206
_RANGE = expression(r"bytes=[ \t]*([0-9]{0,15})-([0-9]{0,15})[ \t]*", re.ASCII | re.IGNORECASE)
_TOLD = expression(r"bytes[ \t]+([0-9]{1,15})-([0-9]{1,15})/([0-9]{1,15})", re.ASCII | re.IGNORECASE)
_OF_A_PART = frozenset({"content-range", "content-length"})
_STRONG_AFTER = 1.0  # RFC 9110 §8.8.2.2: seconds between the last change and the answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """`bytes=first-last`; without `last` to the end, without `first` the last so many."""

    first: int | None
    last: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """The request wants all of it, and all is stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The request wants these bytes, and they are stored. Both ends count, `last` is in."""

    first: int
    last: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lacking:
    """Not all of what it wants is stored. `missing`: these bytes would make the stored part a whole."""

    missing: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Beyond:
    """It wants what the stored answer does not have at all."""


Reach = Whole | Part | Lacking | Beyond


def wished(headers: Headers) -> Wish | None:
    """The one range that `Range` asks for; None without one, or where only the origin can tell."""
    lines = headers.all("range")
    found = _RANGE.fullmatch(lines[0]) if len(lines) == 1 else None
    if found is None or found[1] == found[2] == "":
        return None
    first, last = (int(end) if end else None for end in found.groups())
    if first is not None and last is not None and last < first:
        return None
    return Wish(first=first, last=last)


def told(headers: Headers) -> tuple[int, int, int] | None:
    """(first, last, total) of a Content-Range; None where it names no place in a whole of known size."""
    lines = headers.all("content-range")
    found = _TOLD.fullmatch(lines[0].strip()) if len(lines) == 1 else None
    if found is None:
        return None
    first, last, total = (int(number) for number in found.groups())
    return (first, last, total) if first <= last < total else None


def reach(request: Request, entry: Entry) -> Reach:
    """Whether what the request wants of this entry is stored."""
    first, last, total = entry.span or (0, len(entry.body) - 1, len(entry.body))
    wish = wished(request.headers) if request.method == "GET" and entry.status in (OK, PARTIAL) else None
    if wish is None or not _still(request.headers, entry):
        if entry.span is None:
            return Whole()
        return Lacking(missing=_missing(entry) if request.method == "GET" and wish is None else None)
    place = _located(wish, total)
    if place is None:
        return Beyond()
    if place[0] < first or place[1] > last:
        return Lacking()
    return Part(first=place[0], last=place[1], total=total)


def content(entry: Entry, part: Part) -> bytes:
    """These bytes of what is stored."""
    offset = entry.span[0] if entry.span is not None else 0
    return entry.body[part.first - offset : part.last - offset + 1]


def completing(request: Request, entry: Entry, missing: tuple[int, int]) -> Request:
    """The request for the rest of a stored part, whole again should it have changed (RFC 9110 §13.1.5)."""
    first, last = missing
    headers = request.headers.without(validation.CONDITIONS)
    end = "" if entry.span is not None and last == entry.span[2] - 1 else str(last)
    condition = entry.etag or ""
    return replace(request, headers=headers.plus(("Range", f"bytes={first}-{end}"), ("If-Range", condition)))


def completes(entry: Entry, missing: tuple[int, int], headers: Headers) -> bool:
    """Whether a 206 with these fields is the missing rest."""
    return (
        entry.span is not None
        and told(headers) == (*missing, entry.span[2])
        and same(entry.etag, headers.get("etag"))
    )


def described(headers: Headers, total: int) -> Headers:
    """A part's fields as those of the whole."""
    return headers.without(_OF_A_PART).plus(("Content-Length", str(total)))


def joined(stored: Entry | None, part: Entry) -> Entry | None:
    """What to keep when an answer comes to what is stored.

    None = nothing: more of it is stored, or it does not have the length that it told.
    """
    if part.span is None:
        return part
    if len(part.body) != part.span[1] - part.span[0] + 1:
        return None
    if stored is None or not same(stored.etag, part.etag):
        return part
    return _put_together(stored, stored.span, part, part.span) if stored.span is not None else None


def same(one: str | None, other: str | None) -> bool:
    """The strong comparison of entity-tags (RFC 9110 §8.8.3.2)."""
    return one is not None and one == other and one.startswith('"')


def _still(headers: Headers, entry: Entry) -> bool:
    """Whether If-Range, where there is one, says that the caller's other parts are of this answer."""
    lines = headers.all("if-range")
    if not lines:
        return True
    if len(lines) > 1:
        return False
    condition = lines[0].strip()
    if condition.startswith(('"', "W/")):
        return same(condition, entry.etag)
    strong = entry.modified is not None and entry.date - entry.modified >= _STRONG_AFTER
    return strong and condition == entry.last_modified


def _located(wish: Wish, total: int) -> tuple[int, int] | None:
    """(first, last) in a whole of so many bytes; None where it has none of them."""
    if wish.first is None:
        wanted = min(wish.last or 0, total)
        return (total - wanted, total - 1) if wanted else None
    if wish.first >= total:
        return None
    return wish.first, total - 1 if wish.last is None else min(wish.last, total - 1)


def _missing(entry: Entry) -> tuple[int, int] | None:
    """The one gap, at the begin or at the end, that could be fetched and proved to fit."""
    if entry.span is None or not same(entry.etag, entry.etag):
        return None
    first, last, total = entry.span
    if first == 0:
        return (last + 1, total - 1)
    return (0, first - 1) if last == total - 1 else None


def _put_together(
    stored: Entry, there: tuple[int, int, int], part: Entry, here: tuple[int, int, int]
) -> Entry:
    """The newer part with what it can be lengthened by, RFC 9111 §3.4."""
    (first, last, total), (start, end, size) = there, here
    if total != size or start > last + 1 or end < first - 1:
        return part
    before = stored.body[: max(0, start - first)]
    after = stored.body[end - first + 1 :] if end < last else b""
    span = (min(first, start), max(last, end), total)
    headers = validation.merged(stored.headers, part.headers)
    body = before + part.body + after
    if span != (0, total - 1, total):
        return replace(part, headers=headers, body=body, span=span)
    return replace(part, status=OK, reason="OK", headers=described(headers, total), body=body, span=None)
