"""A loop in which time passes only by waiting: hours of it in no time, and always the same."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class _Leaping(selectors.SelectSelector):
    """Instead of waiting for files, of which there are none, it turns the clock."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready and timeout is not None and timeout > 0:
            self.now += timeout
        if not ready and timeout is None:
            raise RuntimeError("everybody waits, and nothing will ever happen")
        return ready


class Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.selector = _Leaping()
        super().__init__(self.selector)

    def time(self) -> float:
        return self.selector.now


class LoopClock:
    """A Clock by the running loop."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> float:
        return 1_716_200_000.0 + self.now()


def lived(life: Coroutine[Any, Any, Result]) -> Result:
    """Runs it to its end, in which no task may be left."""
    with asyncio.Runner(loop_factory=Loop) as runner:

        async def whole() -> Result:
            result = await life
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, left
            return result

        return runner.run(whole())
