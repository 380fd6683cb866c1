"""How are entries kept in a folder, for all processes of a machine and over restarts?

The law: the event loop waits for no disk and for no other process. What writes runs in a thread of its
own, as does what reads much; a small record is read where it is asked for, from memory that the system
keeps of the file, unless that was slow lately. Whatever fails is a miss, and is told by `Health`. A drop that
cannot be carried out still holds: see `marks`.
"""

from __future__ import annotations

import asyncio
import resource
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from math import inf
from pathlib import Path
from typing import TypeVar

import lmdb

from proxy.core.caching.entry import Entry
from proxy.core.caching.key import Key
from proxy.core.caching.purge import Purge
from proxy.core.ports import Clock, Kept
from proxy.stores import codec, listing
from proxy.stores.codec import Instant, UnreadableError
from proxy.stores.diagnosis import diagnose
from proxy.stores.folder import Folder, enter
from proxy.stores.health import Health
from proxy.stores.shelf import Shelf, Variant, tag_name
from proxy.stores.volume import Change, Volume

T = TypeVar("T")

_THREAD: int | None = getattr(resource, "RUSAGE_THREAD", None)
_DIRECT = 256 * 1024  # bytes that are read where they are asked for: a quarter of a millisecond
_SLOW = 0.002  # seconds that such a read may wait for the disk, or the next ones go to the thread
_COLD = 10.0  # seconds for which they do
_PATIENCE = 2.0  # seconds for a busy disk, or for another process to let us write
_QUIET = 10.0  # seconds without a failure after which it is said to work
_OPEN_WITHIN = 2.0
_TRY_AGAIN = 2.0  # seconds between two attempts to open
_NOTE_USES = 1.0  # seconds between two times that uses are written down
_MOST_USES = 10_000  # keys
_MOST_WAITING = 64 * 1024 * 1024  # bytes to be written


class DiskStore:
    """A Backing, and a Store by itself; `open` it before use. Times are the clock's.

    `on_evict` is told of each entry that goes as the memory store tells it, and of `version`, `checksum` and
    `clock` where one could not be read; `on_failure` of each call that failed: `full`, `read-only`,
    `unreachable`, `busy` or `damaged`.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int,
        max_entry_bytes: int,
        clock: Clock,
        on_evict: Callable[[str], None] = lambda _reason: None,
        on_failure: Callable[[str], None] = lambda _reason: None,
    ) -> None:
        self._path = path
        self._room = max_bytes
        self._max_entry_bytes = max_entry_bytes
        self._clock = clock
        self._on_evict = on_evict
        self._health = Health(str(path), on_failure, quiet=_QUIET)
        self._boot = ""
        self._folder: Folder | None = None
        self._opening: asyncio.Future[None] | None = None
        self._tried = asyncio.Event()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="cache-writer")
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="cache-reader")
        self._waiting = 0
        self._cold_until = 0.0
        self._uses: Counter[bytes] = Counter()
        self._uses_at = 0.0
        self._closed = False
        self._behind: set[asyncio.Future[int]] = set()

    @property
    def salt(self) -> bytes | None:
        return None if self._folder is None else self._folder.salt

    @property
    def trouble(self) -> str | None:
        return self._health.trouble

    async def open(self) -> None:
        self._opening = asyncio.ensure_future(self._open_at_last())
        first = asyncio.ensure_future(self._tried.wait())
        await asyncio.wait([first], timeout=_OPEN_WITHIN)
        if first.cancel():
            self._health.failed("unreachable", "it does not open in time")

    async def close(self) -> None:
        self._closed = True
        if self._opening is not None and not self._opening.done():
            self._opening.cancel()
            await asyncio.wait([self._opening])
        if self._folder is not None and self._uses:
            await self._write(lambda _change: 0, otherwise=0)
        folder, self._folder = self._folder, None
        if folder is not None:
            await self._leave(folder)
        self._writer.shutdown(wait=False)
        self._reader.shutdown(wait=False)

    def mark(self, key: Key) -> object | None:
        return None if self._folder is None else self._folder.volume.marks.mark(key.primary)

    def used(self, key: Key) -> None:
        self._uses[key.primary] += 1
        if time.monotonic() - self._uses_at > _NOTE_USES or len(self._uses) > _MOST_USES:
            self._uses_at = time.monotonic()
            self._later(lambda _change: 0)

    async def load(self, key: Key) -> Sequence[Entry]:
        volume = self._volume
        if volume is None:
            return ()
        try:
            begun, at = time.monotonic(), self._instant()
            read = None
            if begun >= self._cold_until:
                faults = _faults()
                read = _read(volume, key, at, most=_DIRECT)
                if time.monotonic() - begun > _SLOW and _faults() != faults:
                    self._cold_until = begun + _COLD
            if read is None:
                reading = asyncio.get_running_loop().run_in_executor(self._reader, _read, volume, key, at)
                async with asyncio.timeout(_PATIENCE):
                    read = await reading
            found, bad = read or ((), ())
        except (lmdb.Error, OSError, RuntimeError) as error:
            self._failed(error)
            return ()
        for card, reason in bad:
            self._later(partial(_remove, key.primary, card, reason))
        if found:
            self.used(key)
        return found

    async def keep(self, key: Key, entry: Entry, *, asked: float = inf) -> bool:
        size = entry.size
        if self._waiting + size > _MOST_WAITING:
            self._health.failed("busy", "more is to be written than it takes")
            return False
        self._waiting += size
        try:
            fits = size <= self._max_entry_bytes
            return await self._write(partial(self._keep, key, entry, asked, fits), otherwise=False)
        finally:
            self._waiting -= size

    async def drop(self, key: Key) -> int:
        return await self._drop(key.place, lambda change: change.remove(key.primary, None, "purged"))

    async def drop_place(self, place: bytes) -> int:
        def work(change: Change) -> int:
            return sum(change.remove(name, None, "invalidated") for name in change.at(place))

        return await self._drop(place, work)

    async def purge(self, what: Purge) -> int:
        volume = self._volume
        if volume is None:
            return 0
        volume.marks.drop(None, self._clock.now())
        if what == Purge():
            return await self._drop(None, lambda change: change.remove_all("purged"))
        gone = 0
        try:
            searching = partial(listing.meant, volume, what)
            found = await asyncio.get_running_loop().run_in_executor(self._reader, searching)
        except (lmdb.Error, OSError, RuntimeError) as error:
            self._failed(error)
            volume.marks.give_up(None)
            return 0
        for some in listing.slices(found):
            gone += await self._drop(None, partial(_purge, some, what))
        return gone

    async def kept(self, what: Purge, limit: int) -> Sequence[Kept]:
        volume = self._volume
        if volume is None or limit <= 0:
            return []
        if self._uses:
            await self._write(lambda _change: 0, otherwise=0)
        try:
            looking = partial(listing.listed, volume, what, limit, self._instant())
            return await asyncio.get_running_loop().run_in_executor(self._reader, looking)
        except (lmdb.Error, OSError, RuntimeError) as error:
            self._failed(error)
            return []

    def usage(self) -> tuple[int, int]:
        try:
            return (0, 0) if self._folder is None else self._folder.volume.counts()
        except lmdb.Error as error:
            self._failed(error)
            return 0, 0

    # Opening and leaving

    @property
    def _volume(self) -> Volume | None:
        return None if self._folder is None else self._folder.volume

    async def _open_at_last(self) -> None:
        while not await self._open():
            self._tried.set()
            await asyncio.sleep(_TRY_AGAIN)
        self._tried.set()

    async def _open(self) -> bool:
        try:
            loop = asyncio.get_running_loop()
            folder, boot = await loop.run_in_executor(self._writer, _enter, self._path, self._room)
        except (OSError, lmdb.Error, RuntimeError) as error:
            self._failed(error)
            return False
        self._folder, self._boot = folder, boot
        self._health.worked()
        return True

    async def _leave(self, folder: Folder) -> None:
        """Once nothing reads or writes any more."""
        loop = asyncio.get_running_loop()
        for thread, work in ((self._reader, lambda: None), (self._writer, folder.leave)):
            try:
                async with asyncio.timeout(_OPEN_WITHIN):
                    await loop.run_in_executor(thread, work)
            except (OSError, lmdb.Error, RuntimeError) as error:
                self._failed(error)
                return

    def _failed(self, error: Exception) -> None:
        reason = diagnose(error)
        self._health.failed(reason, str(error) or reason)
        folder = self._folder
        if reason == "damaged" and folder is not None:
            self._folder = None
            self._opening = asyncio.ensure_future(self._renew(folder))

    async def _renew(self, damaged: Folder) -> None:
        await asyncio.get_running_loop().run_in_executor(self._writer, damaged.distrust)
        await self._leave(damaged)
        await self._open_at_last()

    # Writing

    def _instant(self) -> Instant:
        return Instant(now=self._clock.now(), wall=self._clock.wall(), boot=self._boot)

    def _go(self, work: Coroutine[None, None, int]) -> None:
        """Behind everybody's back."""
        task = asyncio.ensure_future(work)
        self._behind.add(task)
        task.add_done_callback(self._behind.discard)

    def _later(self, work: Callable[[Change], int]) -> None:
        if not self._closed:
            self._go(self._write(work, otherwise=0))

    async def _drop(self, place: bytes | None, work: Callable[[Change], int]) -> int:
        volume = self._volume
        if volume is None:
            return 0
        volume.marks.drop(place, self._clock.now())
        gone = await self._write(work, otherwise=-1)
        if gone < 0:
            volume.marks.give_up(place)
        return max(0, gone)

    async def _write(self, work: Callable[[Change], T], *, otherwise: T) -> T:
        """What it returns, in a transaction and within a time; `otherwise` where that fails."""
        volume = self._volume
        if volume is None:
            return otherwise
        loop = asyncio.get_running_loop()
        uses, self._uses = self._uses, Counter()

        def change() -> T:
            result, gone = volume.change(uses, work)
            if gone:
                loop.call_soon_threadsafe(self._tell, gone)
            return result

        try:
            writing = loop.run_in_executor(self._writer, change)
            async with asyncio.timeout(_PATIENCE):
                result = await writing
        except (lmdb.Error, OSError, RuntimeError) as error:
            self._failed(error)
            return otherwise
        self._health.worked()
        return result

    def _keep(self, key: Key, entry: Entry, asked: float, fits: bool, change: Change) -> bool:  # noqa: FBT001 - partial
        marks = change.marks
        if asked < marks.dropped(key.place):
            return False
        head = codec.head(entry, name=key.primary, at=self._instant())
        card = Variant(
            id=0,
            name=codec.variant(entry),
            head_only=entry.head_only,
            floor=marks.floor(key.place),
            head=len(head),
            body=len(entry.body),
            tags=tuple(dict.fromkeys(tag_name(tag) for tag in entry.tags)),
        )
        if not fits or Shelf(key=key, variants=(card,)).weight > change.room:
            shelf = change.shelf(key.primary)
            if shelf is not None:
                older = (old for old in shelf.variants if card.replaces(old))
                change.remove(key.primary, older, "invalidated")
            return False
        return change.keep(key, card, head + entry.body)

    def _tell(self, gone: Sequence[str]) -> None:
        for reason in gone:
            self._on_evict(reason)


def _faults() -> int:
    """How often this thread has waited for a disk so far; where the system does not say, another number."""
    if _THREAD is None:
        return time.monotonic_ns()
    return resource.getrusage(_THREAD).ru_majflt


def _enter(path: Path, room: int) -> tuple[Folder, str]:
    return enter(path, room=room), codec.boot()


Found = tuple[tuple[Entry, ...], tuple[tuple[Variant, str], ...]]


def _read(volume: Volume, key: Key, at: Instant, most: float = inf) -> Found | None:
    """The variants of a key, and those that cannot be read with why; None for more than so many bytes."""
    floor = volume.marks.floor(key.place)
    with volume.reading() as reading:
        shelf = volume.shelf(reading, key.primary)
        cards = [card for card in (shelf.variants if shelf else ()) if card.floor == floor]
        if sum(card.head + card.body for card in cards) > most:
            return None
        records = [(card, volume.record(reading, card)) for card in cards]
    found, bad = [], []
    for card, record in records:
        try:
            found.append(codec.read(*codec.parted(record), name=key.primary, at=at))
        except UnreadableError as error:
            bad.append((card, error.reason))
    return tuple(found), tuple(bad)


def _remove(primary: bytes, card: Variant, reason: str, change: Change) -> int:
    return change.remove(primary, (card,), reason)


def _purge(primaries: Sequence[bytes], what: Purge, change: Change) -> int:
    """Again by what is there now: it was looked for in an earlier transaction."""
    gone = 0
    for primary in primaries:
        shelf = change.shelf(primary)
        if shelf is not None:
            gone += change.remove(primary, listing.meant_of(shelf, what), "purged")
    return gone
