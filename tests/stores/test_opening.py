import subprocess
import sys
from pathlib import Path

from proxy.stores import opening
from proxy.stores.memory import MemoryStore
from proxy.stores.opening import Bounds, Telling
from proxy.stores.tier import Tiered
from tests.house import ROOT
from tests.stores.contract import KEPT, Hands, key

BOUNDS = Bounds(max_bytes=1 << 20, max_entry_bytes=1 << 16)


def telling(evicted: list[str], failed: list[tuple[str, str]]) -> Telling:
    return Telling(evicted=evicted.append, failed=lambda store, reason: failed.append((store, reason)))


async def test_memory_belongs_to_one_process() -> None:
    opened = opening.memory(BOUNDS, telling([], []))
    assert isinstance(opened.store, MemoryStore)
    assert (opened.name, opened.salt, opened.trouble, opened.lasting) == ("memory", None, None, False)
    await opened.close()


async def test_a_folder_is_shared_and_has_a_salt(tmp_path: Path) -> None:
    evicted: list[str] = []
    opened = await opening.disk(tmp_path / "cache", BOUNDS, telling(evicted, []), Hands(), name="memory")
    assert isinstance(opened.store, Tiered)
    assert (opened.name, opened.trouble, opened.lasting) == ("memory", None, True)
    assert opened.salt is not None
    await opened.store.keep(key(), KEPT)
    await opened.store.drop(key())
    assert evicted == ["purged"]
    await opened.close()


async def test_what_fails_is_told_by_the_stores_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    failed: list[tuple[str, str]] = []
    opened = await opening.disk(tmp_path / "file" / "cache", BOUNDS, telling([], failed), Hands())
    assert failed == [("disk", "unreachable")]
    assert (opened.salt, opened.lasting) == (None, True)
    assert opened.trouble is not None
    assert not await opened.store.keep(key(), KEPT)
    await opened.close()


def test_what_is_not_wanted_is_not_imported() -> None:
    asking = "import sys, proxy.wiring; print('lmdb' in sys.modules)"
    told = subprocess.run(
        [sys.executable, "-c", asking], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "False"
