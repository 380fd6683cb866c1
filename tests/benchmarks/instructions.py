"""How many instructions does a request cost? Steady enough to compare two commits, on a machine that is not.

    python -m tests.benchmarks --instructions [--only hits,pass-through] [--requests 400] [--repeats 5]

The real server process runs under valgrind's callgrind, with its own event loop and one fixed hash seed. One
caller asks on one connection, one request after the other, a number of times and then twice as often; the
difference is what the requests cost, without the start and without the counting itself. Time passes slowly
there: what is done by the clock (counters told every 20 ms, a date every second) weighs more than in truth.
"""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.benchmarks.origins import CACHED, END, FRESH, FRESH_LARGE, POST, POSTED, origins
from tests.benchmarks.peers import Place, leeward_command
from tests.benchmarks.processes import Cores, NotMeasurableError, pinned, program, started

_WARM = 300  # requests, until everything has been made that is made once


@dataclass(frozen=True, slots=True)
class Asked:
    """What one caller sends again and again; @ stands for how often it has."""

    path: str
    headers: str = ""
    body: str = ""
    times: int = 1  # as often as others: what costs little is steady only over many

    def request(self, number: int) -> bytes:
        method, length = ("POST", f"Content-Length: {len(self.body)}\r\n") if self.body else ("GET", "")
        head = f"{method} {self.path} HTTP/1.1\r\nHost: benchmark\r\n{self.headers}{length}\r\n"
        return (head.replace("@", f"{number:016x}") + self.body).encode()


ASKED = {
    "hits": Asked(CACHED, times=5),
    "hits-traceparent": Asked(CACHED, "traceparent: 00-4bf92f3577b34da6@-@-01\r\n", times=5),
    "pass-through": Asked(FRESH),
    "pass-through-64k": Asked(FRESH_LARGE),
    "post": Asked(POST, body=POSTED),
}


@dataclass(frozen=True, slots=True)
class Cost:
    """Instructions a request, of each repeat."""

    workload: str
    values: tuple[float, ...]

    def spread(self) -> float:
        """How far the repeats lie apart, in per cent of their median."""
        return (max(self.values) - min(self.values)) / median(self.values) * 100


def count(only: Sequence[str], requests: int, repeats: int) -> list[Cost]:
    """Of each workload in ASKED. Raises MissingError where valgrind is not installed."""
    cores = Cores.available()
    program("valgrind"), program("callgrind_control")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leeward-instructions-")))
        behind = stack.enter_context(origins(folder / "origins", cores))
        place = Place(folder=folder, core=cores.proxy, origins=behind)
        port, server = stack.enter_context(_counted(place))
        caller = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
        return [
            Cost(name, tuple(_repeats(ASKED[name], caller, server, ASKED[name].times * requests, repeats)))
            for name in only
        ]


@dataclass(slots=True)
class _Server:
    pid: int
    folder: Path
    parts: int = 0

    def tell(self, *words: str) -> None:
        told = [program("callgrind_control"), *words, str(self.pid)]
        subprocess.run(told, check=True, capture_output=True, cwd=self.folder)

    def spent(self) -> int:
        """Instructions since this was last asked."""
        self.tell("--dump")
        self.parts += 1
        written = self.folder / f"counted.{self.parts}"
        found = re.search(r"^(?:totals|summary): (\d+)", written.read_text(), re.MULTILINE)
        if found is None:
            raise NotMeasurableError(f"callgrind wrote no total into {written.name}")
        written.unlink()
        return int(found.group(1))


@contextlib.contextmanager
def _counted(place: Place) -> Iterator[tuple[int, _Server]]:
    command, port, _ = leeward_command(place.folder, place.origins)
    valgrind = ["--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={place.folder}/counted"]
    whole = pinned(place.core, ["env", "PYTHONHASHSEED=0", program("valgrind"), *valgrind, *command])
    with started(whole, port, place.folder / "log") as process:
        yield port, _Server(process.pid, place.folder)


def _repeats(
    asked: Asked, caller: socket.socket, server: _Server, requests: int, repeats: int
) -> Iterator[float]:
    server.tell("--instr=off")
    number = _ask(asked, caller, 0, _WARM)
    server.tell("--instr=on")
    number = _ask(asked, caller, number, 10)
    server.spent()
    for _ in range(repeats):
        number = _ask(asked, caller, number, requests)
        once = server.spent()
        number = _ask(asked, caller, number, 2 * requests)
        twice = server.spent()
        yield (twice - once) / requests


def _ask(asked: Asked, caller: socket.socket, number: int, requests: int) -> int:
    """Asks so often from this number on, reading each answer whole; the number after the last."""
    for at in range(number, number + requests):
        caller.sendall(asked.request(at))
        answer = b""
        while not answer.endswith(END):
            data = caller.recv(1 << 17)
            if not data:
                raise NotMeasurableError(f"{asked.path}: closed the connection")
            answer += data
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise NotMeasurableError(f"{asked.path}: {answer[:200].decode(errors='replace')}")
    return number + requests


def table(costs: Sequence[Cost]) -> str:
    """As Markdown."""
    lines = ["| workload | instructions a request | apart |", "| --- | ---: | ---: |"]
    lines += [f"| {one.workload} | {median(one.values):,.0f} | {one.spread():.1f} % |" for one in costs]
    return "\n".join(lines)
