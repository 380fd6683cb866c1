from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from proxy.config import following
from proxy.config.following import follow, missing
from proxy.config.secrets import EnvSecret, FileSecret, LiteralSecret


def test_what_is_missing_is_told_once(tmp_path: Path) -> None:
    gone = FileSecret(tmp_path / "gone")
    told = missing([LiteralSecret("x"), EnvSecret("NOT_SET_X"), EnvSecret("NOT_SET_X"), gone])
    assert told[0] == "The environment variable NOT_SET_X is not set."
    assert [line.startswith(f"The secret file {tmp_path / 'gone'} cannot be read") for line in told] == [
        False,
        True,
    ]


def swap(volume: Path, name: str, value: str) -> None:
    """As Kubernetes does it: a new folder, and a symlink renamed over the old one."""
    (volume / name).mkdir()
    (volume / name / "token").write_text(value)
    (volume / "next").symlink_to(name)
    (volume / "next").rename(volume / "..data")


async def test_a_swap_by_kubernetes_is_in_force_within_a_second(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    swap(tmp_path, "..one", "value-1\n")
    (tmp_path / "token").symlink_to("..data/token")
    secret = FileSecret(tmp_path / "token")
    assert await asyncio.to_thread(secret.reveal) == "value-1"
    assert following._EVERY <= 0.5, "so that looking and reading fit into a second"
    watching = asyncio.create_task(follow([secret]))
    try:
        with caplog.at_level(logging.INFO):
            for number, value in enumerate(["value-2\n", "", "value\r\nX: y", "value-3"], 2):
                before = secret.reveal()
                seen = secret._seen
                swap(tmp_path, f"..{number}", value)
                for _ in range(1500):
                    if secret._seen != seen:
                        break
                    await asyncio.sleep(0.02)
                good = value.startswith("value-")
                assert secret.reveal() == (value.strip() if good else before)
        assert secret.previous() == "value-2"
    finally:
        watching.cancel()
    assert caplog.text.count("A secret was renewed from its file") == 2
    assert caplog.text.count("The last good value of a secret is used further") == 2
    assert "value-" not in caplog.text
