"""What stands behind the measured proxies?

An nginx for everything that must be fast, which refuses whoever comes without the credential and tells how
many requests came; and a small program of our own, slow on purpose, that counts how many of those who ask
for one thing at the same time come through, and sends back what is posted: this file, run with a port.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

from tests.benchmarks.processes import Cores, pinned, program, started
from tests.running import free_port

TOKEN = "benchmark"
BODY = '{"id": 1, "text": "' + "x" * 679 + '"}'  # 700 bytes
SMALL = '{"text": "x"}'
KIB = '{"text": "' + "x" * 1012 + '"}'  # 1024 bytes
LARGE = '{"text": "' + "x" * (65536 - 12) + '"}'
END = b'x"}'  # of every body, and nowhere else in one
POSTED = "x" * 1024
STREAMED = 200  # MiB
SLOW = 0.2  # seconds
FAILING = 10  # per cent
_QUIET = 0.05  # seconds without a request

# What an origin answers at each path. Each word of a path may be followed by a number: another entry.
CACHED, KEYS, TINY, KIBS = "/cached", "/keys/", "/tiny/", "/kibs/"
FRESH, FRESH_LARGE, POST, STREAM, FLAKY, WAITING = "/fresh", "/large", "/post", "/stream", "/flaky", "/slow/"
CACHEABLE = {CACHED: BODY, KEYS: BODY, TINY: SMALL, KIBS: KIB}

NGINX = """
daemon off;
master_process off;
worker_rlimit_nofile 20000;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    default_type application/json;
    keepalive_requests 1000000000;
    sendfile on;
    tcp_nopush on;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {inside}
}}
"""

_ORIGIN = """
    open_file_cache max=16;
    split_clients $request_id $fails {{ {failing}% yes; * ""; }}
    map "$http_authorization" $stranger {{ "Bearer {token}" ""; default yes; }}
    server {{
        listen 127.0.0.1:{status};
        location / {{ stub_status; }}
    }}
    server {{
        listen 127.0.0.1:{port};
        root {folder};
        if ($stranger) {{ return 401; }}
        {cacheable}
        location {waiting} {{ proxy_pass http://127.0.0.1:{slow}; }}
        location {fresh} {{ add_header Cache-Control no-store; return 200 '{body}'; }}
        location {large} {{ add_header Cache-Control no-store; }}
        location {stream} {{ add_header Cache-Control no-store; }}
        location {post} {{
            if ($http_content_length != {posted}) {{ return 400; }}
            return 200 '{body}';
        }}
        location {flaky} {{
            add_header Cache-Control no-store;
            if ($fails) {{ return 503; }}
            return 200 '{body}';
        }}
    }}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origins:
    """Ports on loopback."""

    fast: int
    slow: int
    status: int

    def requests(self) -> int:
        """How many came to the fast origin so far, without those that ask this."""
        told = re.search(rb"requests\s+\d+ \d+ (\d+)", fetch(self.status, "/"))
        assert told is not None
        _ASKED[self.status] = _ASKED.get(self.status, 0) + 1
        return int(told.group(1)) - _ASKED[self.status]

    def settled(self) -> int:
        """The same, once nobody is on the way any more whose caller has left."""
        before, now = -1, self.requests()
        while before != now:
            time.sleep(_QUIET)
            before, now = now, self.requests()
        return now

    def waited(self) -> int:
        """How many came to the slow one so far."""
        return int(fetch(self.slow, "/count"))


_ASKED: dict[int, int] = {}


def fetch(port: int, path: str) -> bytes:
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()


@contextlib.contextmanager
def origins(folder: Path, cores: Cores) -> Iterator[Origins]:
    """Both, on the core of the load."""
    folder.mkdir()
    ports = Origins(fast=free_port(), slow=free_port(), status=free_port())
    folder.joinpath(FRESH_LARGE[1:]).write_text(LARGE, encoding="ascii")
    with folder.joinpath(STREAM[1:]).open("wb") as streamed:
        streamed.truncate(STREAMED << 20)
    cacheable = "\n".join(
        f"location {path} {{ add_header Cache-Control max-age=36000; return 200 '{body}'; }}"
        for path, body in CACHEABLE.items()
    )
    inside = _ORIGIN.format(
        port=ports.fast,
        status=ports.status,
        folder=folder,
        token=TOKEN,
        body=BODY,
        cacheable=cacheable,
        fresh=FRESH,
        large=FRESH_LARGE,
        stream=STREAM,
        flaky=FLAKY,
        waiting=WAITING,
        slow=ports.slow,
        post=POST,
        posted=len(POSTED),
        failing=FAILING,
    )
    slow = [sys.executable, "-m", "tests.benchmarks.origins", str(ports.slow)]
    with (
        nginx(folder, cores.rest, ports.fast, inside),
        started(pinned(cores.rest, slow), ports.slow, folder / "slow"),
    ):
        yield ports


@contextlib.contextmanager
def nginx(folder: Path, core: int, port: int, inside: str) -> Iterator[int]:
    """An nginx of one process with this inside its http block, in a folder of its own. Gives its pid."""
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, inside=inside), encoding="utf-8")
    command = [program("nginx"), "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(config)]
    with started(pinned(core, command), port, folder / "log") as process:
        yield process.pid


async def _serve(port: int) -> None:
    count = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                asked = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"\r\ncontent-length: (\d+)", asked, re.IGNORECASE)
                body = await reader.readexactly(int(length.group(1)) if length else 0)
                if asked.startswith(b"GET /count "):
                    body = str(count).encode()
                elif not asked.startswith(b"POST "):
                    count += 1
                    await asyncio.sleep(SLOW)
                    body = BODY.encode()
                head = f"Cache-Control: max-age=36000\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + head + body)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
