from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.cli import main
from proxy.core.caching.purge import Purge
from tests.admin.served import Behind, served


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LEEWARD_CONFIG", raising=False)
    monkeypatch.delenv("LEEWARD_SERVER__ADMIN", raising=False)


@pytest.fixture
def running() -> Iterator[tuple[Behind, str]]:
    """An admin port in a thread of its own: what it was asked, and its address."""
    started, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()
    found: list[tuple[Behind, str]] = []

    async def serve() -> None:
        async with served() as port:
            found.append((port.behind, f"127.0.0.1:{port.number}"))
            started.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert started.wait(10)
    yield found[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)
    loop.close()


def purge(*arguments: str) -> object:
    with pytest.raises(SystemExit) as left:
        main(["purge", *arguments])
    return left.value.code


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("--all",), Purge()),
        (("--upstream", "api"), Purge(upstream="api")),
        (("--upstream", "api", "--path", "/a/**"), Purge(upstream="api", path="/a/**")),
        (("--tag", "caf\u00e9"), Purge(tag="caf\u00e9")),
        (("--upstream", "api", "--tag", "red"), Purge(upstream="api", tag="red")),
    ],
)
def test_it_says_how_many_went(
    arguments: tuple[str, ...],
    what: Purge,
    running: tuple[Behind, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    behind, where = running
    assert purge(*arguments, "--admin", where) == 0
    assert capsys.readouterr().out == "7\n"
    assert behind.purged == [what]


def test_the_address_is_the_configurations(running: tuple[Behind, str], tmp_path: Path) -> None:
    behind, where = running
    (tmp_path / "leeward.yaml").write_text(json.dumps({"server": {"admin": where}}))
    assert purge("--all") == 0
    assert behind.purged == [Purge()]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "say what"),
        (("--all", "--upstream", "api"), "stands alone"),
        (("--all", "--tag", "red"), "stands alone"),
        (("--path", "/a"), "needs --upstream"),
        (("--path", "/a", "--tag", "red"), "needs --upstream"),
        (("--upstream", "nobody"), "No upstream has this name"),
        (("--upstream", "api", "--path", "nope"), "begins with /"),
        (("--tag", "a b"), "one tag"),
        (("--tag", ""), "characters"),
        (("--nonsense",), "--nonsense"),
        (("extra",), "extra"),
    ],
)
def test_bad_usage_purges_nothing(
    arguments: tuple[str, ...],
    said: str,
    running: tuple[Behind, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    behind, where = running
    assert purge(*arguments, "--admin", where) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert told.out == ""
    assert behind.purged == []


def test_a_bad_address_is_bad_usage() -> None:
    assert purge("--all", "--admin", "9464") == 2


def test_nobody_there(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{bound.getsockname()[1]}"
        assert purge("--all", "--admin", where) == 1
    assert f"no answer from {where}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 500 X\r\nContent-Length: 2\r\n\r\n[]",
        b"nonsense\r\n\r\n",
        b"",
    ],
)
def test_somebody_else_there(answer: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    assert purge("--all", "--admin", f"127.0.0.1:{listener.getsockname()[1]}") == 1
    thread.join(5)
    listener.close()
    told = capsys.readouterr()
    assert told.err.startswith("leeward purge: ")
    assert told.out == ""
