"""Who runs in the benchmark, and how is each started, pinned to a core and stopped?"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.running import free_port

ROOT = Path(__file__).resolve().parents[2]
BODY = '{"id": 1, "text": "' + "x" * 680 + '"}'
CACHED, FRESH = "/cached", "/fresh"
_PATIENCE = 20.0  # seconds

_NGINX = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    default_type application/json;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {inside}
}}
"""

_ORIGIN = """
    server {{
        listen 127.0.0.1:{port};
        location {cached} {{ add_header Cache-Control max-age=3600; return 200 '{body}'; }}
        location {fresh} {{ add_header Cache-Control no-store; return 200 '{body}'; }}
    }}
"""

_CACHE = """
    proxy_cache_path {folder}/cache keys_zone=benchmark:10m max_size=64m;
    upstream origin {{ server 127.0.0.1:{origin}; keepalive 64; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port};
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Authorization "Bearer benchmark";
        location {cached} {{
            proxy_pass http://origin;
            proxy_cache benchmark;
            add_header Cache-Status "nginx; $upstream_cache_status";
        }}
        # What is never stored goes past its cache: with proxy_cache_lock it would come one by one.
        location {fresh} {{ proxy_pass http://origin; }}
    }}
"""


class MissingError(Exception):
    """A program that the benchmark needs is not installed; holds its name."""


def program(name: str) -> str:
    """Where a program is; on some systems an ordinary user's PATH lacks the daemons' folder."""
    found = shutil.which(name) or shutil.which(name, path="/usr/local/sbin:/usr/sbin:/sbin")
    if found is None:
        raise MissingError(name)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Cores:
    """Which core the measured proxy has, and which the origin and the load share."""

    proxy: int
    rest: int

    @classmethod
    def available(cls) -> Cores:
        cores = sorted(os.sched_getaffinity(0))
        return cls(proxy=cores[0], rest=cores[-1])


def pinned(core: int, command: Sequence[str]) -> list[str]:
    return [program("taskset"), "-c", str(core), *command]


@contextlib.contextmanager
def started(command: Sequence[str], port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that listens on a port of loopback; killed with all its children at the end."""
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command,
            cwd=log.parent,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    try:
        _await_port(process, port, log)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _await_port(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    limit = time.monotonic() + _PATIENCE
    while time.monotonic() < limit and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.005)
    raise RuntimeError(f"{log.parent.name} did not start:\n{log.read_text()}")


@contextlib.contextmanager
def nginx(folder: Path, core: int, origin: int | None = None) -> Iterator[int]:
    """An nginx: the origin itself, or a cache in front of the origin at a port. Gives its port."""
    folder.mkdir()
    port = free_port()
    names = {"folder": folder, "port": port, "origin": origin, "body": BODY, "cached": CACHED, "fresh": FRESH}
    inside = (_ORIGIN if origin is None else _CACHE).format(**names)
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, inside=inside))
    command = [program("nginx"), "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(config)]
    with started(pinned(core, command), port, folder / "log"):
        yield port


@contextlib.contextmanager
def leeward(folder: Path, core: int, origin: int) -> Iterator[tuple[int, int]]:
    """Leeward in front of the origin as an app would have it. Gives its port and its process id."""
    folder.mkdir()
    port = free_port()
    config = folder / "leeward.yaml"
    settings = {
        "server": {"listen": f"127.0.0.1:{port}", "admin": f"127.0.0.1:{free_port()}"},
        "log": {"access": False, "level": "warning"},
        "upstreams": {
            "api": {
                "base_url": f"http://127.0.0.1:{origin}",
                "prefix": "/",
                "auth": {"type": "bearer", "token": "benchmark"},
            }
        },
    }
    config.write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "proxy", "run", "--config", str(config)]
    with started(pinned(core, command), port, folder / "log") as process:
        yield port, process.pid


def resident(pid: int) -> float:
    """MiB of memory that a process and its children keep resident."""
    total = 0
    for one in [pid, *_children(pid)]:
        status = Path(f"/proc/{one}/status").read_text(encoding="ascii")
        total += next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
    return total / 1024


def _children(pid: int) -> list[int]:
    direct = [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text(encoding="ascii").split()
    ]
    return direct + [below for child in direct for below in _children(child)]
