"""How do several observers read one record without any of them failing the request?"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from proxy.core.exchange import Attempt, Exchange, Pass, Repeat
from proxy.core.ports import Observer

_LOGGER = logging.getLogger("leeward.observe")


class Together:
    """A core.ports.Observer of observers: one that raises is logged, the others still read."""

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._observers = tuple(observers)

    def opened(self, exchange: Exchange) -> None:
        for observer in self._observers:
            try:
                observer.opened(exchange)
            except Exception:
                _LOGGER.exception("An observer failed")

    def attempted(self, exchange: Exchange, attempt: Attempt) -> None:
        for observer in self._observers:
            try:
                observer.attempted(exchange, attempt)
            except Exception:
                _LOGGER.exception("An observer failed")

    def closed(self, exchange: Exchange) -> None:
        for observer in self._observers:
            try:
                observer.closed(exchange)
            except Exception:
                _LOGGER.exception("An observer failed")

    def passed(self, passes: Sequence[Pass]) -> None:
        for observer in self._observers:
            try:
                observer.passed(passes)
            except Exception:
                _LOGGER.exception("An observer failed")

    def repeated(self, hits: Sequence[Repeat]) -> None:
        for observer in self._observers:
            try:
                observer.repeated(hits)
            except Exception:
                _LOGGER.exception("An observer failed")
