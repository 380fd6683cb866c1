"""What is kept of an answer?

The law: all that reuse depends on was settled when the answer came, so that a hit reads numbers and
parses nothing. Ages count on the monotonic clock; wall-clock time serves HTTP dates alone. No field that
belongs to one hop or to one caller is ever part of an entry.
"""

from __future__ import annotations

from dataclasses import field, replace

from proxy.core.forwarding import HOP_BY_HOP, listed
from proxy.core.message import Headers, lower_name
from proxy.core.value import dataclass

# `Age` is worked out anew for each use. A cookie is for one caller.
_NEVER_STORED = HOP_BY_HOP | {"age", "set-cookie", "set-cookie2"}

# CPython's own bytes for what an entry consists of: measured, and checked by a test of the memory store.
_ENTRY_OVERHEAD = 500
_FIELD_OVERHEAD = 140
_WORD_OVERHEAD = 60  # of a tag, or of a name that it is varied by


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One complete stored answer. Durations in seconds.

    `received` is monotonic; `initial_age` is the answer's age at that moment (RFC 9111 §4.2.3);
    `date` is the origin's Date, or the wall clock's where it sent none. `validate`: never used
    without asking (no-cache). `strict`: never used stale (must-revalidate and its kin).
    `vary` names the request fields that selected it, `selection` is the keyed digest of their values;
    `spoken` is the same with the language that the answer is in, where that is known and varied by.
    `span` is the place of a stored part in its whole: first byte, last byte, bytes in all.
    `stale_if_error` is None where nobody said anything. `head_only`: it answered HEAD, so it has no
    content, and answers HEAD alone.
    """

    status: int
    reason: str = ""
    headers: Headers = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    received: float
    initial_age: float
    date: float
    lifetime: float
    validate: bool = False
    strict: bool = False
    etag: str | None = None
    last_modified: str | None = None
    modified: float | None = None  # last_modified, where it is a date
    vary: tuple[str, ...] = ()
    selection: bytes = field(default=b"", repr=False)
    stale_while_revalidate: float = 0.0
    stale_if_error: float | None = None
    spoken: bytes = field(default=b"", repr=False)
    span: tuple[int, int, int] | None = None
    tags: tuple[str, ...] = ()  # by which it can be purged
    head_only: bool = False

    def age(self, now: float) -> float:
        """Seconds since the origin made or confirmed it; never negative."""
        return self.initial_age + max(0.0, now - self.received)

    def ttl(self, now: float) -> float:
        """Seconds for which it stays fresh; negative where it is stale."""
        return self.lifetime - self.age(now)

    def fresh(self, now: float) -> bool:
        return self.ttl(now) > 0

    @property
    def validators(self) -> bool:
        """Whether the origin can be asked if it is still right."""
        return self.etag is not None or self.last_modified is not None

    @property
    def size(self) -> int:
        """Bytes of memory, the interpreter's own included; it costs a walk over the fields."""
        fields = sum(len(name) + len(value) + _FIELD_OVERHEAD for name, value in self.headers.fields)
        words = sum(len(word) + _WORD_OVERHEAD for word in (*self.tags, *self.vary))
        return _ENTRY_OVERHEAD + len(self.body) + fields + words

    def replaces(self, older: Entry) -> bool:
        """Whether nobody needs `older` beside this; an answer to HEAD leaves the content that is kept."""
        same = self.vary == older.vary and self.selection == older.selection
        return same and (older.head_only or not self.head_only)

    def holding(self, body: bytes) -> Entry:
        """The same with its body."""
        return replace(self, body=body)


def storable_fields(headers: Headers) -> Headers:
    """The fields that may be kept (RFC 9111 §3.1); always a new object, as entries share none."""
    never = _NEVER_STORED | (listed(headers) - {"content-length"})
    return Headers(line for line in headers.fields if lower_name(line[0]) not in never)
