import socket
from pathlib import Path

import pytest

from proxy.cli.reaching import admin_address, connection
from proxy.config.addresses import Address, address

ELSEWHERE = "server: {admin: '127.0.0.1:1'}"


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_what_is_typed_wins_over_environment_over_file_over_the_usual(tmp_path: Path) -> None:
    assert admin_address(None, None, {}) == Address(host="127.0.0.1", port=9464)
    file = tmp_path / "other.yaml"
    file.write_text(ELSEWHERE)
    assert admin_address(None, file, {}) == address("127.0.0.1:1")
    assert admin_address(None, None, {"LEEWARD_CONFIG": "other.yaml"}) == address("127.0.0.1:1")
    variable = {"LEEWARD_SERVER__ADMIN": "127.0.0.1:2"}
    assert admin_address(None, file, variable) == address("127.0.0.1:2")
    assert admin_address("127.0.0.1:3", file, variable) == address("127.0.0.1:3")


@pytest.mark.parametrize("typed", ["", "9464", "nonsense"])
def test_an_address_that_is_none(typed: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        admin_address(typed, None, {})


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"missing\.yaml"):
        admin_address(None, tmp_path / "missing.yaml", {})


def test_everywhere_is_reached_through_loopback() -> None:
    assert connection(address("0.0.0.0:9464"), 1).host == "127.0.0.1"
    assert connection(address("[::]:9464"), 1).host == "::1"
    assert connection(address("127.0.0.2:9464"), 1).host == "127.0.0.2"


def test_a_unix_socket(tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "admin.sock"))
    listener.listen()
    asking = connection(address(f"unix:{tmp_path}/admin.sock"), 5)
    asking.connect()
    listener.accept()[0].close()
    asking.close()
    listener.close()
