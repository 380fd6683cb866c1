"""How does an entry become bytes that outlive a process, and when is what comes back still it?

The law: a record is read only by the version that wrote it, under the name that it was written for, and
whole; anything else is `UnreadableError`, which is a miss. Its age is never less than it was: `received` is
monotonic in a process, so a record tells when that was by the wall clock and by the clock of the machine's
run (boot), and the larger of both counts. An entry of another run that seems to come from the future has no
age that could be known, and is unreadable.

A record is a head, which has all but the content, and the content as it is, which the head vouches for by
length and checksum. A head says how long it is, so both may stand in one value or apart.

Version 1: `L`, version (1 byte), length of the fields (4 bytes, big-endian), BLAKE2b-128 of name and fields
(16 bytes), the fields as a JSON array in ASCII; then the content, of which the fields hold length and CRC-32.
"""

from __future__ import annotations

import json
from hashlib import blake2b
from pathlib import Path
from struct import Struct
from typing import Any
from zlib import crc32

from proxy.core.caching.entry import Entry
from proxy.core.message import Headers
from proxy.core.value import dataclass

# Raised with every change of what is written or of what it means.
VERSION = 1

Bytes = bytes | memoryview

_MARK = 0x4C
_OPENING = Struct(">BBI16s")
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class UnreadableError(Exception):
    """A record is not used. `reason` is `version`, `checksum` or `clock`: a word to count it by."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"a record is unreadable: {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Instant:
    """One moment. `now` is monotonic and `wall` since 1970, in seconds.

    `boot` names the machine's run within which every process's `now` counts the same; "" = not known.
    """

    now: float
    wall: float
    boot: str = ""


def boot() -> str:
    """The name of this run of the machine, which Linux alone tells; it reads a small file."""
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def variant(entry: Entry) -> bytes:
    """16 bytes, equal for entries of one key that differ at most in `head_only` and in what was answered."""
    parts = [*(name.encode("latin-1", "replace") for name in entry.vary), entry.selection]
    return blake2b(b"".join(b"%d:%b" % (len(part), part) for part in parts), digest_size=16).digest()


def head(entry: Entry, *, name: bytes, at: Instant) -> bytes:
    """What has to be written before the body; `name` is the key's `primary`."""
    fields: list[Any] = [
        *(at.wall - (at.now - entry.received), entry.received, at.boot),
        *(len(entry.body), crc32(entry.body)),
        *(entry.status, entry.reason),
        [text.decode("latin-1") for line in entry.headers.fields for text in line],
        *(entry.initial_age, entry.date, entry.lifetime, entry.validate, entry.strict),
        *(entry.etag, entry.last_modified, entry.modified),
        *(entry.vary, entry.selection.hex(), entry.spoken.hex()),
        *(entry.stale_while_revalidate, entry.stale_if_error, entry.span, entry.tags, entry.head_only),
    ]
    text = json.dumps(fields, separators=(",", ":")).encode("ascii")
    return _OPENING.pack(_MARK, VERSION, len(text), _sum(name, text)) + text


def parted(record: bytes) -> tuple[memoryview, memoryview]:
    """(head, body) of one value that has both. Raises UnreadableError."""
    length = _OPENING.size + _opened(record)[0]
    view = memoryview(record)
    return view[:length], view[length:]


def read(head: Bytes, body: Bytes | None, *, name: bytes, at: Instant) -> Entry:
    """The entry as of now; without its content where the body is None. Raises UnreadableError."""
    length, checksum = _opened(head)
    text = memoryview(head)[_OPENING.size :]
    if len(text) != length or _sum(name, text) != checksum:
        raise UnreadableError("checksum")
    try:
        return _entry(json.loads(bytes(text)), body, at)
    except (ValueError, TypeError):
        # The bytes are as they were written, so another program counts its versions as we do.
        raise UnreadableError("version") from None


def _entry(fields: list[Any], body: Bytes | None, at: Instant) -> Entry:
    wall, now, run, length, crc, *fields = fields
    status, reason, lines, initial_age, date, lifetime, validate, strict, *fields = fields
    etag, last_modified, modified, vary, selection, spoken, *fields = fields
    while_revalidate, if_error, span, tags, head_only = fields
    content = b"" if body is None else bytes(body)
    if body is not None and (len(content) != length or crc32(content) != crc):
        raise UnreadableError("checksum")
    texts = iter([line.encode("latin-1") for line in lines])
    return Entry(
        status=status,
        reason=reason,
        headers=Headers(zip(texts, texts, strict=True)),
        body=content,
        received=at.now - _elapsed(wall, now, run, at),
        initial_age=initial_age,
        date=date,
        lifetime=lifetime,
        validate=validate,
        strict=strict,
        etag=etag,
        last_modified=last_modified,
        modified=modified,
        vary=tuple(vary),
        selection=bytes.fromhex(selection),
        stale_while_revalidate=while_revalidate,
        stale_if_error=if_error,
        spoken=bytes.fromhex(spoken),
        span=None if span is None else (span[0], span[1], span[2]),
        tags=tuple(tags),
        head_only=head_only,
    )


def _elapsed(wall: float, now: float, run: str, at: Instant) -> float:
    """Seconds since it was received, at least."""
    by_wall = at.wall - wall
    if run and run == at.boot:
        # A wall clock that was set back makes nothing younger; time asleep counts by the wall clock alone.
        return max(by_wall, at.now - now, 0.0)
    if by_wall < 0:
        raise UnreadableError("clock")
    return by_wall


def _opened(head: Bytes) -> tuple[int, bytes]:
    """(bytes of its fields, their checksum)."""
    view = memoryview(head)
    if len(view) < _OPENING.size:
        raise UnreadableError("checksum")
    mark, version, length, checksum = _OPENING.unpack_from(view)
    if mark != _MARK or version != VERSION:
        raise UnreadableError("version")
    return length, checksum


def _sum(name: bytes, text: Bytes) -> bytes:
    digest = blake2b(name, digest_size=16)
    digest.update(text)
    return digest.digest()
