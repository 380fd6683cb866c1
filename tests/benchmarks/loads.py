"""How is a proxy asked, and what is written down about how it answered?"""

from __future__ import annotations

import asyncio
import contextlib
import re
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

from tests.benchmarks.origins import END, STREAMED
from tests.benchmarks.processes import NotMeasurableError, pinned, program

_LUA = Path(__file__).parent / "lua"
_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60000.0}
_PATIENCE = 300.0  # seconds
_SLOWEST = 200.0  # answers a second to what is asked for the first time
_SIGNALS = 60  # a second between them
_BATCH = 50  # requests on their way on one connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one run of wrk saw; `p50` and `p99` in milliseconds, `spent` its own seconds of a core."""

    requests: int
    failed: int
    rate: float
    p50: float
    p99: float
    spent: float


def wrk(
    url: str,
    core: int,
    seconds: float,
    connections: int,
    script: str | None = None,
    words: Sequence[str] = (),
) -> Load:
    """Asks as fast as answers come. `words` go to the script. Answers that are no success are counted."""
    lua = [] if script is None else ["-s", str(_LUA / f"{script}.lua")]
    how = ["-t1", f"-c{connections}", "-d1h", "--timeout=20s", "--latency", *lua]
    command = pinned(core, [program("wrk"), *how, url, "--", *words])
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        time.sleep(seconds)
        before = _children()
        return _load(_ended(running), _children() - before)


def _ended(running: subprocess.Popen[str]) -> str:
    """Ends it as after its time, which it counts in whole seconds; what it told.

    It forgets a signal that comes while it still begins, on a machine that is busy.
    """
    for _ in range(_SIGNALS):
        running.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return running.communicate(timeout=1)[0]
    running.kill()
    raise NotMeasurableError("wrk does not end")


def _children() -> float:
    """Seconds of a core that all spent who have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _load(told: str, spent: float) -> Load:
    def found(pattern: str) -> re.Match[str]:
        match = re.search(pattern, told)
        if match is None:
            raise NotMeasurableError(f"wrk said:\n{told}")
        return match

    broken = re.search(r"Socket errors:.*", told)
    if broken:
        raise NotMeasurableError(broken.group())
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", told)
    at = {share: found(rf"\b{share}%\s+([\d.]+)(us|ms|s|m)\b").groups() for share in ("50", "99")}
    return Load(
        requests=int(found(r"(\d+) requests in").group(1)),
        failed=int(failed.group(1)) if failed else 0,
        spent=spent,
        rate=float(found(r"Requests/sec:\s+([\d.]+)").group(1)),
        **{f"p{share}": float(number) * _UNITS[unit] for share, (number, unit) in at.items()},
    )


def get(port: int, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """One answer: its status and body; with a body, to a POST."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET" if body is None else "POST", path, body)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def many_files() -> None:
    """Lets this process and those that it starts have as many connections as the system allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def fill(port: int, paths: Sequence[str], connections: int = 16) -> None:
    """Asks for every path once, many at a time, and reads every answer whole."""
    try:
        asyncio.run(_fill(port, paths, connections))
    except* (NotMeasurableError, OSError) as problems:
        raise NotMeasurableError(str(problems.exceptions[0])) from None


async def _fill(port: int, paths: Sequence[str], connections: int) -> None:
    async with asyncio.timeout(_PATIENCE + len(paths) / _SLOWEST), asyncio.TaskGroup() as group:
        for number in range(connections):
            group.create_task(_ask_all(port, paths[number::connections]))


async def _ask_all(port: int, paths: Sequence[str]) -> None:
    if not paths:
        return
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for at in range(0, len(paths), _BATCH):
            batch = paths[at : at + _BATCH]
            writer.write(b"".join(_request(path) for path in batch))
            missing, rest = len(batch), b""
            while missing:
                data = await reader.read(1 << 18)
                if not data:
                    raise NotMeasurableError(f"closed the connection, {missing} answers short")
                rest += data
                missing -= rest.count(END)
                if b"HTTP/1.1 5" in rest or b"HTTP/1.1 4" in rest:
                    raise NotMeasurableError(rest[:500].decode(errors="replace"))
                rest = rest[1 - len(END) :]
    finally:
        writer.close()


def _request(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: benchmark\r\n\r\n".encode()


@contextlib.contextmanager
def idle(port: int, path: str, number: int) -> Iterator[None]:
    """So many connections, each of which has had one answer and is kept."""
    kept: list[socket.socket] = []
    try:
        for _ in range(number):
            one = socket.create_connection(("127.0.0.1", port), timeout=20)
            kept.append(one)
            one.sendall(_request(path))
            data = b""
            while not data.endswith(END):
                more = one.recv(65536)
                if not more:
                    raise NotMeasurableError("closed a connection before its answer was whole")
                data += more
        yield
        for one in kept:
            one.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                if one.recv(1) == b"":
                    raise NotMeasurableError("closed an idle connection")
    finally:
        for one in kept:
            one.close()


def stampede(port: int, path: str, callers: int) -> float:
    """Seconds until all callers, who ask for one thing at the same time, have it."""
    return asyncio.run(_stampede(port, path, callers))


async def _stampede(port: int, path: str, callers: int) -> float:
    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(_request(path))
        await reader.readuntil(END)

    async with asyncio.timeout(_PATIENCE):
        streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(callers)]
        start = time.perf_counter()
        await asyncio.gather(*(one(*stream) for stream in streams))
        seconds = time.perf_counter() - start
        for _, writer in streams:
            writer.close()
    return seconds


def stream(port: int, path: str) -> float:
    """Reads the large body; MiB a second."""
    buffer = bytearray(1 << 20)
    with socket.create_connection(("127.0.0.1", port), timeout=30) as one:
        start = time.perf_counter()
        one.sendall(f"GET {path} HTTP/1.1\r\nHost: benchmark\r\nConnection: close\r\n\r\n".encode())
        got = 0
        while size := one.recv_into(buffer):
            got += size
        seconds = time.perf_counter() - start
    if got < STREAMED << 20:
        raise NotMeasurableError(f"sent {got} bytes of {STREAMED} MiB")
    return STREAMED / seconds


def metric(admin: int, name: str) -> float:
    """The sum of one of Leeward's metrics over its labels."""
    lines = get(admin, "/metrics")[1].decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))
