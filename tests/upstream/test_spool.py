"""Is what is kept on disk nobody else's, whole, and gone when it is not needed?"""

from __future__ import annotations

import asyncio
import gc
import os
import stat
import threading
from pathlib import Path

import pytest

from proxy.upstream.spool import Spools


def files(folder: Path) -> list[int]:
    """The descriptors of this process that lead to files that were in a folder."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            if str(link.readlink()).startswith(str(folder)):
                found.append(int(link.name))
        except OSError:  # the one by which this looks
            continue
    return found


async def gone(folder: Path) -> None:
    """Closing is done by a thread, which is waited for."""
    for _ in range(1000):
        if not await asyncio.to_thread(files, folder):
            return
        await asyncio.sleep(0.001)
    raise AssertionError("a file was left open")


async def test_what_is_written_is_read(tmp_path: Path) -> None:
    spool = await Spools(str(tmp_path)).open()
    await spool.write(0, b"one ")
    await spool.write(4, b"two")
    assert await spool.read(0, 100) == b"one two"
    assert await spool.read(4, 2) == b"tw"
    assert await spool.read(7, 100) == b""
    await spool.write(0, b"one ")  # as after a write that was given up
    assert await spool.read(0, 100) == b"one two"
    spool.close()
    await gone(tmp_path)


async def test_nobody_else_can_open_it(tmp_path: Path) -> None:
    spool = await Spools(str(tmp_path)).open()
    assert await asyncio.to_thread(os.listdir, tmp_path) == []
    (descriptor,) = await asyncio.to_thread(files, tmp_path)
    status = os.fstat(descriptor)
    assert (stat.S_IMODE(status.st_mode), status.st_nlink) == (0o600, 0)
    assert not os.get_inheritable(descriptor)
    spool.close()
    spool.close()
    await gone(tmp_path)
    with pytest.raises(OSError, match="Bad file descriptor"):
        await spool.read(0, 1)


async def test_the_disk_is_waited_for_by_a_thread_of_its_own(tmp_path: Path) -> None:
    spools = Spools(str(tmp_path))
    names = {await spools.run(lambda: threading.current_thread().name) for _ in range(5)}
    assert all(name.startswith("spool") for name in names)


async def test_one_that_nobody_closes_is_closed(tmp_path: Path) -> None:
    spool = await Spools(str(tmp_path)).open()
    del spool
    gc.collect()
    await gone(tmp_path)


async def test_where_there_is_no_folder_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await Spools(str(tmp_path / "none")).open()


async def test_at_the_end_of_the_process_a_file_is_closed_at_once(tmp_path: Path) -> None:
    spools = Spools(str(tmp_path))
    spool = await spools.open()
    assert spools._threads is not None
    spools._threads.shutdown(wait=False)
    spool.close()
    assert await asyncio.to_thread(files, tmp_path) == []
