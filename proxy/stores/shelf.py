"""What stands in a disk store's file about one key?

A shelf is what is kept under a key: its place in the order of going, and a card for each variant, newest
first. A card has all that is needed to find, weigh and purge what it stands for without reading it.
"""

from __future__ import annotations

from hashlib import blake2b
from struct import Struct

from proxy.core.caching.key import Key
from proxy.core.value import dataclass

PAGE = 4096
PIECE = 16 * PAGE - 16  # of a record; with its page header it fills sixteen pages
SMALL, MAIN = b"s", b"t"  # the queues
_OF_A_LEAF = PAGE // 2 - 100  # bytes; a larger value gets pages of its own
_OVERHEAD = 400  # bytes: a shelf's own in all indexes, with the air in their pages
_TAG = 150
_MOST = 0xFFFFFFFF

_SHELF = Struct(">32s32scQIIHHI")
_VARIANT = Struct(">Q16s?QIII")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One entry's card. `floor` is that of its place when it was kept; sizes in bytes."""

    id: int
    name: bytes
    head_only: bool
    floor: int
    head: int
    body: int
    tags: tuple[bytes, ...] = ()

    @property
    def weight(self) -> int:
        """Bytes in the file."""
        whole, rest = divmod(self.head + self.body, PIECE)
        last = -(-(rest + 16) // PAGE) * PAGE if rest > _OF_A_LEAF else rest + rest // 2
        return whole * 16 * PAGE + last + _TAG * len(self.tags)

    def replaces(self, older: Variant) -> bool:
        return self.name == older.name and (older.head_only or not self.head_only)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """What is kept under one key."""

    key: Key
    queue: bytes = SMALL
    turn: int = 0
    uses: int = 0
    paid: int = 0
    variants: tuple[Variant, ...] = ()

    @property
    def weight(self) -> int:
        own = _OVERHEAD + len(self.key.target) + _VARIANT.size * len(self.variants)
        return own + sum(variant.weight for variant in self.variants)

    def pack(self) -> bytes:
        upstream = self.key.upstream.encode()
        target = self.key.target.encode("utf-8", "surrogatepass")
        opening = _SHELF.pack(
            *(self.key.primary, self.key.place, self.queue, self.turn),
            *(min(self.uses, _MOST), min(self.paid, _MOST)),
            *(len(self.variants), len(upstream), len(target)),
        )
        cards = b"".join(
            _VARIANT.pack(v.id, v.name, v.head_only, v.floor, v.head, v.body, len(v.tags)) + b"".join(v.tags)
            for v in self.variants
        )
        return opening + upstream + target + cards

    @classmethod
    def read(cls, raw: bytes) -> Shelf:
        primary, place, queue, turn, uses, paid, count, named, aimed = _SHELF.unpack_from(raw)
        begin = _SHELF.size + named
        upstream, target = raw[_SHELF.size : begin], raw[begin : begin + aimed]
        offset = begin + aimed
        variants = []
        for _ in range(count):
            id_, name, head_only, floor, head, body, tags = _VARIANT.unpack_from(raw, offset)
            offset += _VARIANT.size
            ends = range(offset, offset + 16 * tags, 16)
            offset += 16 * tags
            variants.append(
                Variant(
                    id=id_,
                    name=name,
                    head_only=head_only,
                    floor=floor,
                    head=head,
                    body=body,
                    tags=tuple(raw[at : at + 16] for at in ends),
                )
            )
        key = Key(
            primary=primary,
            place=place,
            upstream=upstream.decode(),
            target=target.decode("utf-8", "surrogatepass"),
        )
        return cls(key=key, queue=queue, turn=turn, uses=uses, paid=paid, variants=tuple(variants))


def tag_name(tag: str) -> bytes:
    """16 bytes by which a tag is indexed."""
    return blake2b(tag.encode("utf-8", "surrogatepass"), digest_size=16).digest()
