"""Is the proxy ready yet? `leeward wait`, for entrypoints that must not start their app too early."""

from __future__ import annotations

import http.client
import os
import sys
import time
from http import HTTPStatus
from pathlib import Path
from typing import Annotated

import typer

from proxy.cli.reaching import admin_address, connection
from proxy.config.addresses import Address
from proxy.config.units import seconds

_PAUSE = 0.1  # seconds between two tries
_ONE_TRY = 2.0  # seconds that one try may take


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
        where = admin_address(admin, config, os.environ)
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


def _status(where: Address, path: str, patience: float) -> int | None:
    """The status of GET `path`; None where there is no answer within `patience` seconds."""
    asking = connection(where, patience)
    try:
        asking.request("GET", path)
        return asking.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        asking.close()
