"""Who is on the field: the origins, and each peer from when it is first asked for until the end."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.figures import Figures
from tests.benchmarks.origins import Origins
from tests.benchmarks.peers import PEERS, Peer, Place, Start
from tests.benchmarks.processes import Cores, cpu

_LOOK = 0.2  # seconds
_LOOKS = 15
_IDLE = 0.1  # of a core


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured: rounds of seconds for each peer, one after the other; how many of everything."""

    rounds: int = 5
    seconds: float = 2.0
    connections: int = 32
    starts: int = 11
    entries: int = 1_000_000
    kilobytes: int = 100_000
    keys: int = 5_000
    callers: int = 200
    idle: int = 1_000
    active: int = 2_000


QUICK = Plan(
    rounds=1, seconds=0.3, starts=2, entries=3_000, kilobytes=2_000, keys=500, callers=20, idle=50, active=100
)


@dataclass(slots=True, kw_only=True)
class Field:
    """`starts` are those who can be measured; `guests` of them are asked for pass-through alone."""

    plan: Plan
    cores: Cores
    folder: Path
    origins: Origins
    figures: Figures
    stack: contextlib.ExitStack
    starts: dict[str, Start] = field(default_factory=lambda: dict(PEERS))
    guests: tuple[str, ...] = ()
    running: dict[str, Peer] = field(default_factory=dict)
    _number: int = 0

    def place(self) -> Place:
        """A new folder for somebody who is to be started."""
        self._number += 1
        folder = self.folder / f"peer{self._number}"
        folder.mkdir()
        return Place(folder=folder, core=self.cores.proxy, origins=self.origins)

    def peer(self, name: str) -> Peer:
        """It, running."""
        if name not in self.running:
            self.running[name] = self.stack.enter_context(self.starts[name](self.place()))
        return self.running[name]

    def present(self, names: tuple[str, ...]) -> list[str]:
        """Those of these that are to be measured and can be."""
        return [name for name in names if name in self.starts or name in self.running]

    def rest(self) -> None:
        """Waits until no guest works on for callers who have left: it would be at another's cost."""
        guests = [self.running[name].pid for name in self.guests if name in self.running]
        for _ in range(_LOOKS if guests else 0):
            used = sum(map(cpu, guests))
            time.sleep(_LOOK)
            if sum(map(cpu, guests)) - used <= _LOOK * _IDLE:
                return
