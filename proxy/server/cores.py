"""How many workers does `auto` mean? One for each core that this process may use."""

from __future__ import annotations

import os
from pathlib import Path

from proxy.config.settings import MOST_WORKERS

_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # "200000 100000": two cores; "max 100000": no limit


def workers(wanted: int | str, quota: Path = _QUOTA) -> int:
    """What is written, or the cores that are allowed: a container's share of time counts as well."""
    if wanted != "auto":
        return int(wanted)
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = _share(quota)
    return max(1, min(allowed, MOST_WORKERS, share or allowed))


def _share(quota: Path) -> int | None:
    """Whole cores of a container's limit, rounded up; None where there is none."""
    try:
        most, period = quota.read_text().split()
        return None if most == "max" else -(-int(most) // int(period))
    except (OSError, ValueError):
        return None
