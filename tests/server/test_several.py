import os
import socket

import pytest

from proxy.server.listening import ListenError
from proxy.server.several import serve
from tests.server.crewing import loaded


def test_a_taken_port_is_told_before_anything_is_forked(monkeypatch: pytest.MonkeyPatch):
    def fork() -> int:
        raise AssertionError("forked")

    monkeypatch.setattr(os, "fork", fork)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        said = loaded(listen=f"127.0.0.1:{taken.getsockname()[1]}", workers=2)
        with pytest.raises(ListenError, match="another process has it"):
            serve(said, 2, ready=lambda _proxy, _admin: None, again=lambda: said)
