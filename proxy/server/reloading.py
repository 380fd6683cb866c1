"""What happens when the configuration is read again?

The law: all of it is in force afterwards, or nothing has changed and every problem is told. One reload at
a time; requests go on meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from proxy.config.certificates import CertificateError
from proxy.config.fixed import fixed
from proxy.config.loading import Loaded
from proxy.config.problems import ConfigError

_LOGGER = logging.getLogger("leeward")


class RefusedError(Exception):
    """What was read cannot be put in force; the message says why."""


class Reloading:
    """`again` reads everything anew (blocking), `change` puts it in force, `count` hears the outcome.

    `change` raises CertificateError or RefusedError, and has then changed nothing.
    """

    def __init__(
        self,
        loaded: Loaded,
        *,
        again: Callable[[], Loaded],
        change: Callable[[Loaded], Awaitable[None]],
        count: Callable[[str], None],
        several: bool = False,
    ) -> None:
        self._loaded = loaded
        self._again = again
        self._change = change
        self._count = count
        self._several = several
        self._one = asyncio.Lock()

    async def reload(self) -> list[str]:
        """The problems, each a line; none where it is in force."""
        async with self._one:
            problems = await self._problems()
        self._count("failure" if problems else "success")
        if problems:
            for problem in problems:
                _LOGGER.error("The configuration was not reloaded: %s", problem)
        else:
            _LOGGER.info("The configuration was reloaded")
        return problems

    async def _problems(self) -> list[str]:
        try:
            loaded = await asyncio.to_thread(self._again)
        except ConfigError as error:
            return [str(problem) for problem in error.problems]
        except OSError as error:
            return [f"The configuration cannot be read: {error.strerror or type(error).__name__}"]
        before = self._loaded.settings
        kept = [
            str(loaded.problem(key, message))
            for key, message in fixed(before, loaded.settings, several=self._several)
        ]
        if kept:
            return kept
        try:
            await self._change(loaded)
        except (CertificateError, RefusedError) as error:
            return [str(error)]
        self._loaded = loaded
        for warning in loaded.warnings:
            _LOGGER.warning("%s", warning)
        return []
