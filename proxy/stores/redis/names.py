"""Under which names does Redis hold what is kept?

The law: every name begins with the operator's prefix and the version of what stands there, so that two
versions of this program side by side never read each other's. All names of one resource share a hash tag,
which a cluster keeps on one server. No name holds a target, a query or anything of a caller's.

    PREFIX:1.1:{PLACE}:KEY      hash: what is kept under one key
    PREFIX:1.1:{PLACE}:at       sorted set: the keys of one resource, by when they expire
    PREFIX:1.1:in:UPSTREAM      sorted set: the keys of one upstream
    PREFIX:1.1:tag:TAG          sorted set: the keys with a tag
    PREFIX:1.1:upstreams        sorted set: the upstreams
    PREFIX:1.1:{log}:drops      stream: what was purged, and which resources were changed
    PREFIX:1.1:{log}:news       stream: which keys have something new
    PREFIX:1.1:salt             string: what the digests in all these names are keyed with
    PREFIX:1.1:turn:FLIGHT      string: who fetches
    PREFIX:1.1:evicted          string: present once Redis has evicted anything
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b

from proxy.core.caching.key import Key
from proxy.stores import codec

_DIGEST = 43  # characters of 32 bytes
LAYOUT = 1  # raised with every change of what stands under these names


class Names:
    """The names under one prefix."""

    __slots__ = ("_start", "drops", "evicted", "news", "salt", "upstreams")

    def __init__(self, prefix: str) -> None:
        self._start = f"{prefix}:{LAYOUT}.{codec.VERSION}:"
        self.drops = f"{self._start}{{log}}:drops"
        self.news = f"{self._start}{{log}}:news"
        self.salt = f"{self._start}salt"
        self.evicted = f"{self._start}evicted"
        self.upstreams = f"{self._start}upstreams"

    def shelf(self, key: Key) -> str:
        return self.named(member(key))

    def named(self, name: str) -> str:
        """The shelf that an index's member stands for."""
        place, _, primary = name.partition(".")
        return f"{self._start}{{{place}}}:{primary}"

    def place(self, place: bytes) -> str:
        return f"{self._start}{{{_text(place)}}}:at"

    def of_place(self, place: bytes, key: str) -> str:
        """The member of other indexes that a place's own member stands for."""
        return f"{_text(place)}.{key}"

    def beside(self, name: str) -> str:
        """The index of the place of an index's member."""
        return f"{self._start}{{{name.partition('.')[0]}}}:at"

    def upstream(self, upstream: str) -> str:
        return f"{self._start}in:{upstream}"

    def tag(self, tag: str) -> str:
        return self.tagged(tag_name(tag))

    def tagged(self, name: str) -> str:
        """The index of a tag of this `tag_name`."""
        return f"{self._start}tag:{name}"

    def turn(self, flight: bytes) -> str:
        return f"{self._start}turn:{_text(blake2b(flight, digest_size=16).digest())}"

    @property
    def shelves(self) -> str:
        """The pattern of all shelves, and of their places' indexes."""
        return f"{_literal(self._start)}{{*"

    def member_of(self, shelf: str) -> str | None:
        """The index's member that a shelf's name stands for; None where it is no shelf's."""
        place, closed, primary = shelf.removeprefix(f"{self._start}{{").partition("}:")
        return f"{place}.{primary}" if closed and len(place) == len(primary) == _DIGEST else None


def member(key: Key) -> str:
    """What stands for a key in an index."""
    return f"{_text(key.place)}.{_text(key.primary)}"


def short(name: str) -> str:
    """What stands for a key in the index of its place."""
    return name.partition(".")[2]


def digests(name: str) -> tuple[bytes, bytes]:
    """(place, primary) of an index's member. Raises ValueError."""
    place, _, primary = name.partition(".")
    return _bytes(place), _bytes(primary)


def tag_name(tag: str) -> str:
    """A tag is the origin's, and may be of any length."""
    return _text(blake2b(tag.encode("utf-8", "surrogatepass"), digest_size=16).digest())


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _literal(text: str) -> str:
    return "".join(f"\\{character}" if character in "*?[]\\^-" else character for character in text)
