"""What stands in a shelf, and which variants has it?"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from proxy.core.caching.entry import Entry
from proxy.core.caching.key import Key
from proxy.core.ports import Kept
from proxy.core.value import dataclass
from proxy.stores import codec
from proxy.stores.codec import Instant, UnreadableError
from proxy.stores.redis.names import digests

# Clocks that follow one server differ by a little; an entry may seem to come from the future by so much.
_SKEW = 0.05  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What is said of a variant: how late it came, its bytes, and digests of its tags."""

    order: int
    size: int
    tags: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """All variants of one key, newest first; `came` is when the newest did, in µs of the server's clock."""

    name: str = ""
    upstream: str = ""
    target: str = ""
    came: int = 0
    uses: int = 0
    variants: tuple[tuple[bytes, Row], ...] = ()

    @classmethod
    def of(cls, fields: Mapping[bytes, bytes | None], *, name: str = "") -> Shelf:
        """From the hash's fields; from nothing where they are not what was written."""
        try:
            about = json.loads(fields.get(b"@") or b"{}")
            rows = json.loads(fields.get(b"#") or b"{}")
            variants = [
                (variant.encode(), Row(order=order, size=size, tags=frozenset(tags.split())))
                for variant, (order, size, _, tags) in rows.items()
            ]
            return cls(
                name=name,
                upstream=about.get("upstream", ""),
                target=about.get("target", ""),
                came=int(float(fields.get(b"~") or 0)),
                uses=int(fields.get(b"%") or 0),
                variants=tuple(sorted(variants, key=lambda one: -one[1].order)),
            )
        except (ValueError, TypeError, AttributeError):
            return cls(name=name)

    def having(self, tag: str | None) -> tuple[tuple[bytes, Row], ...]:
        """The variants with a tag, or all."""
        return tuple(one for one in self.variants if tag is None or tag in one[1].tags)


def field_name(entry: Entry) -> tuple[str, str]:
    """The name of a variant, and that of the other kind which it replaces; content replaces what has none."""
    bare = codec.variant(entry).hex()
    return (f"1{bare}", "") if entry.head_only else (f"0{bare}", f"1{bare}")


def read(head: bytes, body: bytes | None, *, name: bytes, at: Instant) -> Entry:
    """As the codec does, with clocks that may differ by a little. Raises UnreadableError."""
    try:
        return codec.read(head, body, name=name, at=at)
    except UnreadableError as unreadable:
        if unreadable.reason != "clock":
            raise
        # Seen from a little later it is as old or older than it is.
        return codec.read(head, body, name=name, at=replace(at, wall=at.wall + _SKEW))


def listed(
    shelf: Shelf,
    heads: Iterable[tuple[bytes, bytes | None]],
    read_: Callable[[bytes, bytes | None, bytes], Entry | None],
) -> list[Kept]:
    """Rows of a listing, without content."""
    place, primary = digests(shelf.name)
    key = Key(primary=primary, place=place, upstream=shelf.upstream, target=shelf.target)
    sizes = {variant: row.size for variant, row in shelf.variants}
    found: list[Kept] = []
    for variant, head in heads:
        entry = None if head is None else read_(head, None, primary)
        if entry is not None:
            found.append(Kept(key=key, entry=entry, uses=shelf.uses, size=sizes[variant]))
    return found
