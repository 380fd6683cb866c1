"""What does each client, whatever it is written in, meet behind the same base URL?"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Start
from tests.origin import Gate, Hit, Origin, head
from tests.running import Leeward

HERE = Path(__file__).resolve().parent
PATIENCE = 60  # seconds; a Java virtual machine compiles the file first

EXPECTED: dict[str, Any] = {
    "get": {"status": 200, "body": "hello"},
    "query": {"status": 200, "body": "/echo?q=a%20b&q=%2F"},
    "post": {"status": 200, "body": '{"name":"caf\u00e9","n":1}'},
    "error": {"status": 404, "type": "application/problem+json", "code": "not_found", "header": "not_found"},
    "limited": {"status": 429, "code": "rate_limited", "retry_after": "120"},
    "retried": {"status": 200, "body": "at last", "attempts": "3"},
    "stream": ["one", "two", "three"],
    "many": {"count": 40, "statuses": [200], "bodies": ["popular"]},
}


def _echo(hit: Hit) -> bytes:
    body = hit.body or hit.target.encode()
    return head(200, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]) + body


@pytest.fixture
def api(leeward: Start, origin: Origin) -> Leeward:
    """The proxy, and behind it all that `EXPECTED` says."""
    gate = Gate()

    def release(hit: Hit) -> bytes:
        gate.open()
        return head(204)

    origin.on("/hello").reply(200, b"hello", [("Content-Type", "text/plain")])
    origin.on("/echo").raw(_echo)
    origin.on("/missing").reply(404, b'{"message": "no such thing"}', [("Content-Type", "application/json")])
    origin.on("/limited").reply(429, b'{"message": "slow down"}', [("Retry-After", "120")])
    origin.on("/flaky").reply(503).reply(502).reply(200, b"at last")
    # The client asks for /release once it has the first event: a proxy that buffers never gets there.
    origin.on("/stream").sse(b"data: one\n\n", gate, b"data: two\n\n", b"data: three\n\n")
    origin.on("/release").raw(release)
    origin.on("/popular").reply(200, b"popular", [("Cache-Control", "max-age=60")])
    auth = {"type": "bearer", "token": {"env": "CLIENTS_TOKEN"}}
    config = {"upstreams": {"api": {"base_url": origin.url, "auth": auth}}}
    return leeward(config, fresh=True, env={"CLIENTS_TOKEN": "clients-token"})


def program(name: str) -> str:
    """The path of an interpreter. A machine without it fails the test: nothing is left out."""
    if name == "python":
        return sys.executable
    found = shutil.which(name)
    assert found is not None, f"`{name}` is not installed, and this test needs it"
    return found


def run_client(api: Leeward, origin: Origin, *arguments: str) -> None:
    """Runs a client program against the base URL and compares what it says."""
    done = subprocess.run(
        [*arguments, f"{api.base}/api"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
        cwd=HERE,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout) == EXPECTED
    assert origin.count("/popular") == 1
    assert origin.count("/flaky") == 3
    assert origin.count("/limited") == 1
    assert {tuple(h.headers("authorization")) for h in origin.hits()} == {("Bearer clients-token",)}
