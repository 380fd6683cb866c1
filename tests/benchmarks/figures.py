"""What was measured: every value of every round, by workload, peer and measure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

RATE, P50, P99 = "requests/s", "p50 ms", "p99 ms"
CPU, CLIENT = "CPU µs/request", "the client's CPU µs/request"
RSS = "resident MiB"
MEASURES = (RATE, P50, P99, CPU, CLIENT, RSS)


@dataclass(slots=True)
class Figures:
    """`versions` of the peers that run here; `refused` says why one has no figure in a workload."""

    versions: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    values: dict[tuple[str, str, str], list[float]] = field(default_factory=dict)
    refused: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, workload: str, peer: str, measured: Mapping[str, float]) -> None:
        for measure, value in measured.items():
            self.values.setdefault((workload, peer, measure), []).append(value)

    def median(self, workload: str, peer: str, measure: str = RATE) -> float | None:
        values = self.values.get((workload, peer, measure))
        return None if not values or (workload, peer) in self.refused else median(values)

    def ratio(self, workload: str, over: str, under: str, measure: str = RATE) -> float | None:
        """Of two peers' medians; None where one of them has none."""
        first, second = self.median(workload, over, measure), self.median(workload, under, measure)
        return None if first is None or not second else first / second

    def workloads(self) -> list[str]:
        """In the order in which they were measured."""
        return list(dict.fromkeys(workload for workload, _, _ in self.values))

    def peers(self, workload: str | None = None) -> list[str]:
        return list(dict.fromkeys(peer for of, peer, _ in self.values if workload in {None, of}))

    def plain(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {
            "versions": self.versions,
            "missing": self.missing,
            "refused": [
                {"workload": of, "peer": peer, "why": why} for (of, peer), why in self.refused.items()
            ],
            "figures": [
                {"workload": of, "peer": peer, "measure": measure, "median": median(values), "values": values}
                for (of, peer, measure), values in self.values.items()
            ],
        }
