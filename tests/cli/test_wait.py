from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxy.cli import main


class Admin:
    """Answers one connection after the other with the next of its statuses, the last one for ever."""

    def __init__(self, listener: socket.socket, statuses: list[int]) -> None:
        self.heads: list[bytes] = []
        self._listener = listener
        self._statuses = statuses
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self.heads.append(connection.recv(65536))
                status = self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0]
                if status:
                    connection.sendall(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode())

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.thread.join(5)


@pytest.fixture
def admin() -> Iterator[Callable[..., Admin]]:
    started: list[Admin] = []

    def start(listener: socket.socket, *statuses: int) -> Admin:
        listener.listen()
        started.append(Admin(listener, list(statuses)))
        return started[-1]

    yield start
    for one in started:
        one.close()


def tcp(family: socket.AddressFamily = socket.AF_INET, host: str = "127.0.0.1") -> tuple[socket.socket, int]:
    listener = socket.socket(family)
    listener.bind((host, 0))
    return listener, listener.getsockname()[1]


def wait(*arguments: str) -> object:
    with pytest.raises(SystemExit) as left:
        main(["wait", *arguments])
    return left.value.code


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LEEWARD_CONFIG", raising=False)
    monkeypatch.delenv("LEEWARD_SERVER__ADMIN", raising=False)


def test_it_asks_until_ready(admin: Callable[..., Admin]) -> None:
    listener, port = tcp()
    server = admin(listener, 503, 0, 200)
    assert wait("--admin", f"127.0.0.1:{port}") == 0
    assert len(server.heads) == 3
    assert server.heads[0].startswith(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1:")


def test_alive_is_asked_elsewhere(admin: Callable[..., Admin]) -> None:
    listener, port = tcp()
    server = admin(listener, 200)
    assert wait("--alive", "--admin", f"127.0.0.1:{port}") == 0
    assert server.heads[0].startswith(b"GET /healthz HTTP/1.1\r\n")


def test_over_a_unix_socket(admin: Callable[..., Admin], tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "admin.sock"))
    server = admin(listener, 200)
    assert wait("--admin", f"unix:{tmp_path}/admin.sock") == 0
    assert b"\r\nHost: localhost\r\n" in server.heads[0]


@pytest.mark.parametrize("place", ["variable", "file", "LEEWARD_CONFIG", "--config"])
def test_the_address_comes_from_the_configuration(
    place: str, admin: Callable[..., Admin], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener, port = tcp()
    admin(listener, 200)
    text = f"server: {{admin: '0.0.0.0:{port}'}}"
    arguments: list[str] = []
    match place:
        case "variable":
            monkeypatch.setenv("LEEWARD_SERVER__ADMIN", f"0.0.0.0:{port}")
        case "file":
            (tmp_path / "leeward.yaml").write_text(text)
        case "--config":
            (tmp_path / "leeward.yaml").write_text("server: {admin: '127.0.0.1:1'}")
            (tmp_path / "other.yaml").write_text(text)
            arguments = ["--config", "other.yaml"]
        case _:
            (tmp_path / "other.yaml").write_text(text)
            monkeypatch.setenv("LEEWARD_CONFIG", "other.yaml")
    assert wait(*arguments) == 0


def test_a_file_that_cannot_be_read_is_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert wait("--config", "none.yaml") == 2
    assert "none.yaml: cannot be read" in capsys.readouterr().err


def test_it_gives_up_with_what_it_last_heard(
    admin: Callable[..., Admin], capsys: pytest.CaptureFixture[str]
) -> None:
    listener, port = tcp()
    admin(listener, 503)
    assert wait("--admin", f"127.0.0.1:{port}", "--timeout", "50ms") == 1
    assert "status 503" in capsys.readouterr().err
    listener, port = tcp()
    listener.close()
    assert wait("--admin", f"127.0.0.1:{port}", "--timeout", "50ms") == 1
    assert capsys.readouterr().err == f"Not ready within 50ms: no answer from 127.0.0.1:{port}\n"


@pytest.mark.parametrize("arguments", [("--admin", "9464"), ("--timeout", "30"), ("--nonsense",), ("extra",)])
def test_bad_usage(arguments: tuple[str, ...]) -> None:
    assert wait(*arguments) == 2
