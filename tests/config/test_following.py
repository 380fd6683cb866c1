from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path

import pytest
import trustme

from proxy.config import following
from proxy.config.certificates import certified_caller_side
from proxy.config.following import follow, missing
from proxy.config.secrets import EnvSecret, FileSecret, LiteralSecret
from proxy.config.settings import ServerTLS
from tests.origin import PATIENCE


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


async def test_a_certificate_is_followed_and_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_EVERY", 0.01)
    authority = trustme.CA()

    def issue(*parts: str) -> None:
        mine = authority.issue_cert("127.0.0.1")
        if "key" in parts:
            mine.private_key_pem.write_to_path(tmp_path / "key.pem")
        mine.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")

    async def told(words: str) -> None:
        limit = time.monotonic() + PATIENCE
        while words not in caplog.text:
            assert time.monotonic() < limit, words
            await asyncio.sleep(0.01)

    issue("key")
    certified = certified_caller_side(
        ServerTLS(cert=str(tmp_path / "cert.pem"), key=str(tmp_path / "key.pem"))
    )
    watching = asyncio.create_task(follow([], [certified]))
    try:
        with caplog.at_level(logging.INFO):
            for _ in range(2000):
                if certified._seen is not None:
                    break
                await asyncio.sleep(0.01)
            assert caplog.text == ""
            issue()
            await told("The certificate from before is used further")
            issue("key")
            await told("A certificate was renewed from its file")
    finally:
        watching.cancel()
