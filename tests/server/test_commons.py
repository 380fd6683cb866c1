import os
import stat
from pathlib import Path

from proxy.server.commons import commons


def test_it_is_private_and_goes_at_the_end(tmp_path: Path):
    with commons(1, memory=tmp_path) as folder:
        assert folder.parent == tmp_path
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "data").write_bytes(b"x")
    assert list(tmp_path.iterdir()) == []


def test_where_memory_has_no_room_or_is_not_there(tmp_path: Path):
    memory, disk = tmp_path / "memory", tmp_path / "disk"
    disk.mkdir()
    with commons(1, memory=memory, otherwise=disk) as folder:
        assert folder.parent == disk
    memory.mkdir()
    with commons(1 << 62, memory=memory, otherwise=disk) as folder:
        assert folder.parent in {memory, disk}


def test_what_was_left_behind_is_removed_and_nothing_else(tmp_path: Path):
    left, new, strange, file = (tmp_path / name for name in ("leeward-a", "leeward-b", "other", "leeward-c"))
    for folder in (left, new, strange):
        folder.mkdir()
    (left / "held").touch()
    file.touch()
    (tmp_path / "leeward-link").symlink_to(strange)
    old = tmp_path / "leeward-old"
    old.mkdir()
    os.utime(old, (0, 0))
    with commons(1, memory=tmp_path) as first, commons(1, memory=tmp_path) as second:
        assert first.exists()
        assert second.exists()
        assert not left.exists()
        assert not old.exists()
        assert all(path.exists() for path in (new, strange, file, tmp_path / "leeward-link"))
