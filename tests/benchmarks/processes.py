"""How is a program of the benchmark found, started on one core, watched and stopped?"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_PATIENCE = 60.0  # seconds
_TICKS = os.sysconf("SC_CLK_TCK")


class NotMeasurableError(Exception):
    """A proxy does not do what is to be measured."""


class MissingError(Exception):
    """A program that the benchmark needs is not installed; holds its name."""


def program(name: str) -> str:
    """Where a program is; an ordinary user's PATH may lack the daemons' folder, or this environment's."""
    places = os.pathsep.join([str(Path(sys.executable).parent), "/usr/local/sbin", "/usr/sbin", "/sbin"])
    found = shutil.which(name) or shutil.which(name, path=places)
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


def environment() -> dict[str, str]:
    """That of a service: this checkout, compiled once as if installed, told by its file alone."""
    left_out = (
        "LEEWARD_",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONHASHSEED",
        "PYTHONASYNCIODEBUG",
        "PYTHONDEVMODE",
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return {"PYTHONPYCACHEPREFIX": str(_bytecode()), **kept, "PYTHONPATH": str(ROOT)}


@contextlib.contextmanager
def started(
    command: Sequence[str], port: int, log: Path, own: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that listens on a port of loopback, `own` in its environment; killed with its children."""
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command,
            cwd=log.parent,
            env={**environment(), **(own or {})},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    try:
        _await_port(process, port, log)
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _await_port(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    limit = time.monotonic() + _PATIENCE
    while time.monotonic() < limit and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.01)
    told = log.read_text(errors="replace")[-2000:]
    raise NotMeasurableError(f"{log.parent.name} did not start:\n{told}")


def resident(pid: int) -> float:
    """MiB of memory that a process and its children keep resident."""
    return sum(_status(one, "VmRSS:") for one in family(pid)) / 1024


def peak(pid: int) -> float:
    """MiB that a process and its children kept resident at most, each since `forget_peak`."""
    return sum(_status(one, "VmHWM:") for one in family(pid)) / 1024


def forget_peak(pid: int) -> None:
    for one in family(pid):
        Path(f"/proc/{one}/clear_refs").write_text("5", encoding="ascii")


def cpu(pid: int) -> float:
    """Seconds of a core that a process and its children have used, in the system too."""
    ticks = 0
    for one in family(pid):
        fields = _told(Path(f"/proc/{one}/stat")).rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:13]))  # utime and stime, man 5 proc
    return ticks / _TICKS


def family(pid: int) -> list[int]:
    """A process and all below it."""
    direct = [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in _told(task / "children").split()
    ]
    return [pid, *(one for child in direct for one in family(child))]


def _told(file: Path) -> str:
    """Nothing of a thread or a child that has ended since it was listed."""
    try:
        return file.read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _status(pid: int, name: str) -> int:
    """KiB."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def _bytecode() -> Path:
    """Where compiled files go that may not lie beside their sources."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "leeward-benchmark"
