"""Is the proxy ready yet? `leeward wait`, for entrypoints that must not start their app too early."""

from __future__ import annotations

import http.client
import os
import socket
import sys
import time
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

import typer

from proxy.config import document
from proxy.config.addresses import Address, address
from proxy.config.loading import find
from proxy.config.units import seconds

_PAUSE = 0.1  # seconds between two tries
_ONE_TRY = 2.0  # seconds that one try may take
_USUAL = Address(host="127.0.0.1", port=9464)
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def wait(
    *,
    admin: Annotated[
        str | None, typer.Option(help="The admin address; without it the configuration's.", metavar="ADDR")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="YAML file that names the admin address. Default: as leeward run.", metavar="FILE"),
    ] = None,
    alive: Annotated[
        bool, typer.Option("--alive", help="Ask whether it lives, even while it drains: for health checks.")
    ] = False,
    timeout: Annotated[str, typer.Option(help="How long to wait.", metavar="DURATION")] = "30s",
) -> int:
    """Wait until a running proxy is ready to serve: exits 0 then, 1 when the time is over.

    Example: leeward wait --timeout 30s && exec my-app
    """
    try:
        where = address(admin) if admin is not None else _configured(os.environ, config)
        patience = seconds(timeout)
    except ValueError as error:
        print(f"leeward wait: {error}", file=sys.stderr)
        return 2
    end = time.monotonic() + patience
    said = "no answer"
    while True:
        left = end - time.monotonic()
        status = _status(where, "/healthz" if alive else "/readyz", max(0.05, min(left, _ONE_TRY)))
        if status == HTTPStatus.OK:
            return 0
        said = "no answer" if status is None else f"status {status}"
        if left <= _PAUSE:
            print(f"Not ready within {timeout}: {said} from {where}", file=sys.stderr)
            return 1
        time.sleep(_PAUSE)


def _configured(environ: Mapping[str, str], config: Path | None) -> Address:
    """What the environment or the file says about the admin address, else the usual one."""
    named = environ.get("LEEWARD_SERVER__ADMIN")
    if named:
        return address(named)
    file = config or find(environ)
    read = document.read(file) if file is not None else None
    if read is not None and read.problems and (config is not None or not read.data):
        raise ValueError(str(read.problems[0]))
    server: Any = read.data.get("server") if read is not None else None
    written = server.get("admin") if isinstance(server, dict) else None
    return _USUAL if written is None else address(written)


def _status(where: Address, path: str, patience: float) -> int | None:
    """The status of GET `path`; None where there is no answer within `patience` seconds."""
    connection = _UnixConnection(where.path, patience) if where.path is not None else _tcp(where, patience)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _tcp(where: Address, patience: float) -> http.client.HTTPConnection:
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
