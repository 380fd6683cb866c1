from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import stat
from pathlib import Path

import pytest

from proxy.auth import rotation
from proxy.auth.rotation import Kept, Shelf, mark
from proxy.core.failure import CredentialError

KEPT = Kept(origin="o", refresh="refresh-1", token="tok", obtained=1000.0, lifetime=100.0)


def files(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_what_is_written_is_read_by_its_origin_alone(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "state")
    assert await shelf.read("o") is None
    await shelf.write(KEPT)
    assert await shelf.read("o") == KEPT
    assert await shelf.read("other") is None
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o600
    await shelf.write(Kept(origin="o", refresh="refresh-2"))
    assert files(tmp_path) == ["state"]
    found = await shelf.read("o")
    assert found is not None
    assert (found.refresh, found.lifetime) == ("refresh-2", None)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        json.dumps({"origin": "o", "refresh": 7}),
        '{"origin": "o"}',
        "[" * 60000,
    ],
)
async def test_a_file_that_is_none_of_ours_is_none(
    content: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").write_text(content)
    with caplog.at_level(logging.WARNING):
        assert await Shelf(tmp_path / "state").read("o") is None
    assert "cannot be used" in caplog.text


async def test_a_place_that_cannot_be_written_is_told_and_no_failure(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shelf = Shelf(tmp_path / "gone" / "state")
    with caplog.at_level(logging.WARNING):
        await shelf.write(KEPT)
    assert "could not be written" in caplog.text
    assert "refresh-1" not in caplog.text
    with pytest.raises(CredentialError, match="cannot be opened"):
        async with shelf.locked():
            pass


async def test_a_write_that_breaks_off_leaves_the_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Shelf(tmp_path / "state")
    await shelf.write(KEPT)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    await shelf.write(Kept(origin="o", refresh="refresh-2"))
    assert await shelf.read("o") == KEPT
    assert files(tmp_path) == ["state"]


async def test_one_at_a_time(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "state")
    order: list[str] = []

    async def turn(name: str) -> None:
        async with shelf.locked():
            order.append(f"{name} in")
            await asyncio.sleep(0)
            order.append(f"{name} out")

    await asyncio.gather(turn("a"), turn("b"), turn("c"))
    assert [entry.split()[1] for entry in order] == ["in", "out"] * 3


async def test_a_lock_that_is_never_given_back_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "_PATIENCE", 0.0)
    held = os.open(tmp_path / "state.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(held, fcntl.LOCK_EX)
    try:
        with pytest.raises(CredentialError, match="Another process holds the lock"):
            async with Shelf(tmp_path / "state").locked():
                pass
    finally:
        os.close(held)


@pytest.mark.parametrize(
    ("lifetime", "wall", "left"),
    [
        (100.0, 1000.0, 100.0),
        (100.0, 1070.0, 30.0),
        (100.0, 1080.0, None),  # what is left is not worth it
        (100.0, 2000.0, None),
        (100.0, 999.0, None),  # the clock was set back
        (None, 1000.0, None),
    ],
)
def test_what_another_s_token_has_left(lifetime: float | None, wall: float, left: float | None) -> None:
    assert Kept(origin="o", refresh="r", token="t", obtained=1000.0, lifetime=lifetime).left(wall) == left


def test_a_mark_is_no_token() -> None:
    assert mark("https://a", "refresh-1") != mark("https://a", "refresh-2")
    assert mark("https://a", "refresh-1") != mark("https://b", "refresh-1")
    assert "refresh" not in mark("https://a", "refresh-1")
    assert "refresh-1" not in repr(KEPT)
