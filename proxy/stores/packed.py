"""What do the answers under one key look like while nobody asks for them?

One string of bytes: what finds and weighs them stands first, then their heads, then the content as it is. As
objects, an answer of a kilobyte takes more than three, and a million of them stop the process each time that
the garbage collection looks through them; bytes it has no need to look into.

The heads of one upstream's answers look much alike: of each stands here only in what it differs from the
first that had the same fields. A record never leaves the store that wrote it (`codec` is for what does).
"""

from __future__ import annotations

import marshal
from collections.abc import Sequence
from struct import Struct
from typing import Any

from proxy.core.caching.entry import Entry
from proxy.core.caching.key import Key
from proxy.core.message import Headers

# Of the key and its shelf: primary, seat, variants, tags, bytes of the upstream's name and of the target.
_OPENING = Struct("<32sIHIHI")
_DIGEST = 32
_LENGTH = Struct("<I")
# Names of fields come from strangers: what is remembered of them must not grow with them.
_MOST_PATTERNS = 1024
_LONGEST = 4096  # bytes of what is remembered as one pattern
_ALONE = -1
_SAME = ...

# What is known of an entry: the values of its fields, and then the rest.
Row = tuple[Any, ...]
# The number of a pattern, the names of the fields where it has none, the row, and bytes of content.
Head = tuple[int, tuple[bytes, ...], Row, int]


def primary(record: bytes) -> bytes:
    """Of its key."""
    return record[:_DIGEST]


def seat(record: bytes) -> int:
    """Its seat in the queues."""
    return int(_OPENING.unpack_from(record)[1])


def variants(record: bytes) -> int:
    """How many there are."""
    return int(_OPENING.unpack_from(record)[2])


def tagged(record: bytes) -> bool:
    """Whether any of them has a tag."""
    return bool(_OPENING.unpack_from(record)[3])


def aim(record: bytes) -> tuple[str, str]:
    """The upstream's name and the target."""
    _, _, _, _, named, aimed = _OPENING.unpack_from(record)
    begin = _OPENING.size + named
    upstream, target = record[_OPENING.size : begin], record[begin : begin + aimed]
    return upstream.decode("utf-8", "surrogatepass"), target.decode("utf-8", "surrogatepass")


def key(name: bytes, record: bytes) -> Key:
    """The key of what is found under this name."""
    opening, _, _, _, named, aimed = _OPENING.unpack_from(record)
    end = _OPENING.size + named + aimed
    upstream, target = aim(record)
    place = record[end : end + _DIGEST] if name == opening else name
    return Key(primary=opening, place=place, upstream=upstream, target=target)


class Packing:
    """Packs the entries of one store, and knows what the heads that it packed have in common."""

    __slots__ = ("_numbers", "_patterns")

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, tuple[bytes, ...]], int] = {}
        self._patterns: list[tuple[tuple[bytes, ...], Row]] = []

    def pack(self, key: Key, seat: int, entries: Sequence[Entry], *, placed: bool, content: bool) -> bytes:
        """What is kept under a key, newest first; without `content` only what can be said of it.

        `placed`: the name under which this is found is the key's place; else the record has to hold it.
        """
        upstream = key.upstream.encode("utf-8", "surrogatepass")
        target = key.target.encode("utf-8", "surrogatepass")
        tags = sum([len(entry.tags) for entry in entries])
        opening = _OPENING.pack(key.primary, seat, len(entries), tags, len(upstream), len(target))
        place = b"" if placed else key.place
        if not content:
            return b"".join((opening, upstream, target, place))
        heads = marshal.dumps([self._head(key.upstream, entry) for entry in entries])
        bodies = [entry.body for entry in entries]
        return b"".join((opening, upstream, target, place, _LENGTH.pack(len(heads)), heads, *bodies))

    def entries(self, name: bytes, record: bytes) -> tuple[Entry, ...]:
        """Newest first. Only of a record with content."""
        _, _, _, _, named, aimed = _OPENING.unpack_from(record)
        begin = _OPENING.size + named + aimed + (_DIGEST if record.startswith(name) else 0)
        end = begin + _LENGTH.size
        (length,) = _LENGTH.unpack_from(record, begin)
        at = end + length
        found: list[Entry] = []
        heads: list[Head] = marshal.loads(record[end:at])  # noqa: S302 - this process made it
        for number, fields, told, size in heads:
            names, pattern = (fields, told) if number == _ALONE else self._patterns[number]
            row = [usual if said is _SAME else said for said, usual in zip(told, pattern, strict=True)]
            found.append(_entry(names, row, record[at : at + size]))
            at += size
        return tuple(found)

    def _head(self, upstream: str, entry: Entry) -> Head:
        fields = entry.headers.fields
        names = tuple([name for name, _ in fields])
        row = _row(entry)
        number = self._numbers.get((upstream, names))
        if number is None:
            number = self._learned(upstream, names, row)
        if number == _ALONE:
            return number, names, row, len(entry.body)
        pattern = self._patterns[number][1]
        told = tuple([_SAME if said == usual else said for said, usual in zip(row, pattern, strict=True)])
        return number, (), told, len(entry.body)

    def _learned(self, upstream: str, names: tuple[bytes, ...], row: Row) -> int:
        if len(self._patterns) >= _MOST_PATTERNS or len(marshal.dumps((names, row))) > _LONGEST:
            return _ALONE
        number = self._numbers[upstream, names] = len(self._patterns)
        self._patterns.append((names, row))
        return number


def _row(entry: Entry) -> Row:
    values = [value for _, value in entry.headers.fields]
    return (
        *values,
        _found(entry.etag, values),
        _found(entry.last_modified, values),
        *(entry.status, entry.reason, entry.received, entry.initial_age, entry.date, entry.lifetime),
        *(entry.validate, entry.strict, entry.modified, entry.vary, entry.selection),
        *(entry.stale_while_revalidate, entry.stale_if_error, entry.spoken),
        *(entry.span, entry.tags, entry.head_only),
    )


def _entry(names: tuple[bytes, ...], row: Sequence[Any], body: bytes) -> Entry:
    count = len(names)
    etag, last_modified, status, reason, received, initial_age, date, lifetime, *rest = row[count:]
    validate, strict, modified, vary, selection, while_revalidate, if_error, spoken, *rest = rest
    span, tags, head_only = rest
    return Entry(
        status=status,
        reason=reason,
        headers=Headers(zip(names, row, strict=False)),
        body=body,
        received=received,
        initial_age=initial_age,
        date=date,
        lifetime=lifetime,
        validate=validate,
        strict=strict,
        etag=_text(etag, row),
        last_modified=_text(last_modified, row),
        modified=modified,
        vary=vary,
        selection=selection,
        stale_while_revalidate=while_revalidate,
        stale_if_error=if_error,
        spoken=spoken,
        span=span,
        tags=tags,
        head_only=head_only,
    )


def _found(text: str | None, values: list[bytes]) -> int | str | None:
    """Which of the values it is; itself where it is none."""
    if text is None:
        return None
    try:
        return values.index(text.encode("latin-1"))
    except ValueError:  # also where it cannot be encoded
        return text


def _text(found: int | str | None, row: Sequence[Any]) -> str | None:
    if not isinstance(found, int):
        return found
    text: bytes = row[found]
    return text.decode("latin-1")
