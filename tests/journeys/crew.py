"""How do the journeys with several workers look at them from outside? (Linux: by /proc.)"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from pathlib import Path
from typing import Self

import yaml

from tests.origin import PATIENCE
from tests.running import Leeward, merged
from tests.wire import BadAnswerError, Wire, request

JSON = (("Content-Type", "application/json"),)
FRESH = [("Cache-Control", "max-age=60")]
FRESH_ONLY = (("Cache-Control", "no-cache"),)


def family(pid: int) -> list[int]:
    """All processes below this one."""
    with contextlib.suppress(OSError):
        below = [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return [*below, *(p for child in below for p in family(child))]
    return []


def workers(proxy: Leeward) -> list[int]:
    [nursery] = [int(p) for p in Path(f"/proc/{proxy.pid}/task/{proxy.pid}/children").read_text().split()]
    return family(nursery)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(told, what: str = "") -> float:
    """Waits for it; how many seconds it took."""
    began = time.monotonic()
    while not told():
        assert time.monotonic() - began < PATIENCE, f"it never happened: {what}"
        time.sleep(0.005)
    return time.monotonic() - began


def spread(proxy: Leeward, count: int = 4) -> dict[int, Wire]:
    """A kept connection to each worker, by who has it."""
    found: dict[int, Wire] = {}
    limit = time.monotonic() + PATIENCE
    while len(found) < count:
        assert time.monotonic() < limit, f"connections reach {len(found)} of {count} workers only"
        wire = proxy.wire()
        wire.send(request("GET", "/spread"))
        assert wire.read().status == 200
        peer = wire.sock.getsockname()[1]
        [owner] = [pid for pid in workers(proxy) if peer in peers(pid)]
        if owner in found:
            wire.sock.close()
        else:
            found[owner] = wire
    return found


def peers(pid: int) -> set[int]:
    """The ports at the other ends of a process's TCP connections."""
    inodes = set()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            inodes.update(re.findall(r"socket:\[(\d+)\]", str(file.readlink())))
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return {int(row[2].rpartition(":")[2], 16) for row in rows if row[9] in inodes}


def reload(proxy, change=None):
    file = proxy.folder / "leeward.yaml"
    if change is not None:
        file.write_text(yaml.safe_dump(merged(yaml.safe_load(file.read_text()), change)))
    answer = proxy.admin_ask("POST", "/api/v1/reload", JSON, b"{}")
    return answer.status, answer.json()


class Load:
    """Callers who ask without end; what went wrong for them."""

    def __init__(self, proxy: Leeward, callers: int, *, fresh: bool) -> None:
        self._proxy, self._fresh = proxy, fresh
        self._stop = threading.Event()
        self.failures: list[str] = []
        self.answers = 0
        self._threads = [threading.Thread(target=self._call) for _ in range(callers)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        until(lambda: self.answers > 20)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    def _call(self) -> None:
        wire: Wire | None = None
        while not self._stop.is_set():
            try:
                if wire is None:
                    wire = self._proxy.wire()
                wire.send(request("GET", "/load", FRESH_ONLY))
                answer = wire.read()
                if answer.status != 200:
                    self.failures.append(str(answer.status))
                self.answers += 1
                if self._fresh or answer.header("Connection") == "close":
                    wire.sock.close()
                    wire = None
            except (OSError, BadAnswerError) as error:
                self.failures.append(repr(error))
                if wire is not None:
                    wire.sock.close()
                wire = None
        if wire is not None:
            wire.sock.close()


def ready(proxy):
    return proxy.admin_json("/readyz")["workers"]["serving"]
