"""How is the published suite `http-cache-tests` fetched, and run around the proxy?

It is an npm package with an origin and a client; the version is pinned, the registry is npm's own business.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.running import free_port

PACKAGE = "http-cache-tests"
VERSION = "0.4.5"
INSTALLING = 300  # seconds
RUNNING = 240
_LOOPBACK = Path(__file__).resolve().parent / "loopback.mjs"


def program(name: str) -> str:
    """The path of node or npm. A machine without it fails the test: nothing is left out."""
    found = shutil.which(name)
    assert found is not None, f"`{name}` is not installed, and the caching suite needs it"
    return found


def installed(folder: Path) -> Path:
    """The suite, installed into a folder of its own."""
    (folder / "package.json").write_text('{"private": true}')
    command = [program("npm"), "install", "--no-audit", "--no-fund", "--no-save", "--ignore-scripts"]
    done = subprocess.run(
        [*command, f"{PACKAGE}@{VERSION}"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=INSTALLING,
        check=False,
    )
    assert done.returncode == 0, f"npm could not install {PACKAGE}@{VERSION}:\n{done.stderr[-2000:]}"
    return folder / "node_modules" / PACKAGE


@contextlib.contextmanager
def origin(suite: Path, folder: Path) -> Iterator[str]:
    """The suite's origin, and its base URL."""
    port = free_port()
    settings = {"protocol": "http", "port": str(port), "pidfile": str(folder / "origin.pid")}
    with (folder / "origin.log").open("wb") as log:
        process = subprocess.Popen(
            [program("node"), "--import", _LOOPBACK.as_uri(), "server/server.mjs"],
            cwd=suite,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=_environment(settings),
        )
    try:
        _await(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def outcomes(suite: Path, base: str) -> dict[str, bool | list[str]]:
    """What the suite says of the cache at this URL: by case true, or the kind of failure and a message."""
    # An unset id would make the suite look for a case called `undefined`.
    settings = {"base": base, "id": ""}
    done = subprocess.run(
        [program("node"), "--no-warnings", "cli.mjs"],
        cwd=suite,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=RUNNING,
        check=False,
        env={**_environment(settings), "npm_package_config_id": ""},
    )
    begin = done.stdout.find("{")
    assert done.returncode == 0, done.stderr[-2000:]
    assert begin >= 0, f"the suite said nothing:\n{done.stdout[-1000:]}{done.stderr[-1000:]}"
    found: dict[str, bool | list[str]] = json.loads(done.stdout[begin:])
    return found


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    # The suite reads what `npm run` would set from its arguments.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("npm_")}
    return {**kept, **{f"npm_config_{name}": value for name, value in settings.items()}}


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    limit = time.monotonic() + 20
    while time.monotonic() < limit and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError("the suite's origin did not start")
