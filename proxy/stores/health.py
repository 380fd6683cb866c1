"""Does a store outside this process work, and who has been told?

The law: one line in the log when it stops working, one when it works again, and a count of every call
that failed. What fails now and then has not stopped failing. What is told names the store and the kind of
trouble, never what was being stored.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

_LOGGER = logging.getLogger("leeward.stores")


class Health:
    """`where` is told to people and holds no secret; `on_failure` is called with a word for each failure.

    It is said to work again when it has not failed for `quiet` seconds.
    """

    __slots__ = ("_failed_at", "_now", "_on_failure", "_quiet", "_told", "_trouble", "_where")

    def __init__(
        self,
        where: str,
        on_failure: Callable[[str], None] = lambda _reason: None,
        *,
        quiet: float = 0.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._where = where
        self._quiet = quiet
        self._now = now
        self._told = False
        self._failed_at = 0.0
        self._on_failure = on_failure
        self._trouble: str | None = None

    @property
    def trouble(self) -> str | None:
        """What is wrong now, in words; None while it works."""
        return self._trouble

    def failed(self, reason: str, detail: str) -> None:
        """A call failed. `reason` is a word of a short list, `detail` says it to people."""
        self._on_failure(reason)
        self._failed_at = self._now()
        if not self._told:
            self._told = True
            _LOGGER.warning("The cache in %s fails, and calls go on without it: %s", self._where, detail)
        self._trouble = detail

    def worked(self) -> None:
        """A call of the kind that failed succeeded."""
        self._trouble = None
        if self._told and self._now() - self._failed_at >= self._quiet:
            self._told = False
            _LOGGER.info("The cache in %s works again", self._where)
