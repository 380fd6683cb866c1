"""Who owns what goes on behind a caller's back, and ends it at shutdown?

Every background task of the gateway is started here and nowhere else, so that none is lost, none fails
unheard and none outlives the process's last second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class Refresh:
    """Background tasks. `on_error` hears of each exception that one of them did not expect."""

    __slots__ = ("_closed", "_on_error", "_tasks")

    def __init__(self, *, on_error: Callable[[BaseException], None] = lambda _error: None) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._on_error = on_error
        self._closed = False

    def __len__(self) -> int:
        """Tasks that are not done."""
        return len(self._tasks)

    @property
    def closed(self) -> bool:
        """Whether draining has begun, after which nothing that nobody waits for should be started."""
        return self._closed

    def start(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """Runs `work` as a task that is kept until it ends."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def drain(self, grace: float) -> int:
        """Waits up to `grace` seconds for all tasks, then cancels the rest; how many were cancelled."""
        self._closed = True
        if self._tasks and grace > 0:
            await asyncio.wait(tuple(self._tasks), timeout=grace)
        late = tuple(self._tasks)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        return len(late)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            error = task.exception()
            if error is not None:
                self._on_error(error)
