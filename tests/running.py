"""How is the real program started, asked and stopped in a test?"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.origin import PATIENCE
from tests.wire import Address, Answer, Wire, ask, request

ROOT = Path(__file__).resolve().parent.parent
_CHOICE = random.Random()
_FILES = 4096  # enough for a thousand callers, each a file here and two in the program
_TAKEN: set[int] = set()
# Everything has to hold as well where each hit is decided about: TEST_FAST_PATH=off pytest
_SWITCHES = {"LEEWARD_SERVER__FAST_PATH": "false"} if os.environ.get("TEST_FAST_PATH") == "off" else {}
# Two runs at once must not choose the same port before either has bound it.
_SHARE = {"even": {0}, "odd": {1}}.get(os.environ.get("TEST_PORTS", ""), {0, 1})


def free_port() -> int:
    """A free port below the range from which outgoing connections take theirs, never the same twice."""
    for _ in range(200):
        port = _CHOICE.randrange(12000, 32000)
        if port in _TAKEN or port % 2 not in _SHARE:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            _TAKEN.add(port)
            return port
    raise AssertionError("no free port")


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`, mapping by mapping."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result


class Leeward:
    """One running proxy. `address` takes callers; `say` and `ask` speak to it."""

    def __init__(
        self, arguments: Sequence[str], folder: Path, *, env: Mapping[str, str] | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._out, self._err = folder / "stdout", folder / "stderr"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "proxy", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**_environment(), **_SWITCHES, **(env or {})},
                cwd=folder,
            )
        self.pid = self.process.pid
        self.address: Address = ("127.0.0.1", 0)
        self.admin: tuple[str, int] = ("127.0.0.1", 0)

    @classmethod
    def of(cls, config: Mapping[str, Any], folder: Path, *, env: Mapping[str, str] | None = None) -> Leeward:
        """Started from a configuration file; addresses that it does not name are chosen here."""
        ports = free_port(), free_port()
        server = {"listen": f"127.0.0.1:{ports[0]}", "admin": f"127.0.0.1:{ports[1]}"}
        whole = merged({"server": server}, config)
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "leeward.yaml"
        file.write_text(yaml.safe_dump(whole, sort_keys=False))
        running = cls(["run", "--config", str(file)], folder, env=env)
        running.expect(whole["server"]["listen"], whole["server"]["admin"])
        return running

    def expect(self, listen: str, admin: str) -> None:
        """Waits for the ready line, which names both addresses."""
        self.address = _address(listen)
        place = _address(admin)
        assert isinstance(place, tuple)
        self.admin = place
        marks = [m.removeprefix("unix:") for m in (listen, admin)]
        limit = time.monotonic() + PATIENCE
        while time.monotonic() < limit:
            lines = self.stdout.splitlines()
            if any(all(mark in line for mark in marks) for line in lines):
                assert len(lines) == 1, f"more than the ready line on stdout: {lines}"
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        self.kill()
        raise AssertionError(
            f"not ready, exit status {self.process.returncode}\n{self.stdout}\n{self.stderr[-4000:]}"
        )

    @property
    def stdout(self) -> str:
        return self._out.read_text(errors="replace")

    @property
    def stderr(self) -> str:
        return self._err.read_text(errors="replace")

    @property
    def base(self) -> str:
        assert isinstance(self.address, tuple)
        return f"http://{self.address[0]}:{self.address[1]}"

    @property
    def host(self) -> str:
        return self.base.removeprefix("http://")

    def wire(self, *, timeout: float = PATIENCE) -> Wire:
        return Wire(self.address, timeout=timeout)

    def send(self, *pieces: bytes) -> Wire:
        """A new connection on which this was written."""
        return self.wire().send(*pieces)

    def ask(
        self,
        method: str,
        target: str,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes | None = None,
        *,
        host: str | None = "localhost",
    ) -> Answer:
        return ask(self.address, method, target, headers, body, host=host)

    def get(self, target: str, *headers: tuple[str, str]) -> Answer:
        return self.ask("GET", target, headers)

    def post(self, target: str, body: bytes = b"{}", *headers: tuple[str, str]) -> Answer:
        return self.ask("POST", target, headers, body)

    def many(self, count: int, target: str, *headers: tuple[str, str]) -> list[Answer]:
        """So many callers at once, each on its own connection."""
        with contextlib.ExitStack() as stack:
            wires = [stack.enter_context(self.wire()) for _ in range(count)]
            for wire in wires:
                wire.send(request("GET", target, headers))
            return [wire.read() for wire in wires]

    def admin_ask(
        self, method: str, path: str, headers: Iterable[tuple[str, str]] = (), body: bytes | None = None
    ) -> Answer:
        return ask(self.admin, method, path, headers, body, host=f"{self.admin[0]}:{self.admin[1]}")

    def admin_json(self, path: str) -> Any:
        answer = self.admin_ask("GET", path)
        assert answer.status == 200, answer
        return answer.json()

    def metrics(self) -> dict[str, list[tuple[dict[str, str], float]]]:
        """Every sample by its name."""
        answer = self.admin_ask("GET", "/metrics")
        assert answer.status == 200
        samples: dict[str, list[tuple[dict[str, str], float]]] = {}
        for family in text_string_to_metric_families(answer.body.decode()):
            for sample in family.samples:
                samples.setdefault(sample.name, []).append((dict(sample.labels), sample.value))
        return samples

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples that bear these labels."""
        wanted = labels.items()
        return sum(value for found, value in self.metrics().get(name, ()) if wanted <= found.items())

    def log_lines(self) -> list[dict[str, Any]]:
        """The records of stderr; a line that is no JSON object fails."""
        return [json.loads(line) for line in self.stderr.splitlines() if line.strip()]

    def rss(self) -> int:
        """Bytes of memory in use by the process and its children."""
        total = 0
        for pid in [self.pid, *_children(self.pid)]:
            with contextlib.suppress(OSError):
                status = Path(f"/proc/{pid}/status").read_text()
                found = re.search(r"VmRSS:\s+(\d+) kB", status)
                total += int(found[1]) * 1024 if found else 0
        return total

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def wait(self, timeout: float = PATIENCE) -> int:
        return self.process.wait(timeout)

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        if self.process.poll() is None:
            self.signal()
        return self.left()

    def left(self) -> int:
        """The exit status of a process that was told to stop."""
        try:
            return self.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"did not stop within 10 s of SIGTERM\n{self.stderr[-3000:]}") from None

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)


def command(
    *arguments: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: IO[bytes] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Runs one command of the program to its end."""
    return subprocess.run(
        [sys.executable, "-m", "proxy", *arguments],
        stdin=stdin or subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        cwd=cwd,
        env={**_environment(), **(env or {})},
    )


def _environment() -> dict[str, str]:
    """Ours, but for what would configure the program."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LEEWARD_")}
    return {**kept, "PYTHONPATH": str(ROOT)}


def _address(text: str) -> Address:
    if text.startswith("unix:"):
        return text.removeprefix("unix:")
    host, _, port = text.rpartition(":")
    return host, int(port)


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def many_files() -> None:
    """Lets this process, and what it starts from now on, hold thousands of connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(_FILES, hard), hard))
