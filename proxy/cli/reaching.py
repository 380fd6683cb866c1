"""How does a command reach the proxy that runs? By its admin address, which the configuration names."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from proxy.config import document
from proxy.config.addresses import Address, address
from proxy.config.loading import find

_USUAL = Address(host="127.0.0.1", port=9464)
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def admin_address(admin: str | None, config: Path | None, environ: Mapping[str, str]) -> Address:
    """What is typed, else what the environment or the file says, else the usual one. Raises ValueError."""
    named = admin if admin is not None else environ.get("LEEWARD_SERVER__ADMIN")
    if named or admin is not None:
        return address(named)
    file = config or find(environ)
    read = document.read(file) if file is not None else None
    if read is not None and read.problems and (config is not None or not read.data):
        raise ValueError(str(read.problems[0]))
    server: Any = read.data.get("server") if read is not None else None
    written = server.get("admin") if isinstance(server, dict) else None
    return _USUAL if written is None else address(written)


def connection(where: Address, patience: float) -> http.client.HTTPConnection:
    """To be used for one request and closed; each of its steps may take `patience` seconds."""
    if where.path is not None:
        return _UnixConnection(where.path, patience)
    # An address to listen on everywhere is reached through loopback.
    return http.client.HTTPConnection(_ANY.get(where.host, where.host), where.port, timeout=patience)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, patience: float) -> None:
        super().__init__("localhost", timeout=patience)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
