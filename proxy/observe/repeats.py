"""How do thousands of equal hits become a line each, and counted, at a fraction of the price?

The law: a line says exactly what the long way's line says. What hits of one kind have in common is rendered
and redacted by the sink once a second at least; the time, the id and the duration, of which no two are
equal, are put in between. Ids are strangers' words: all of a batch are made safe before any is written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from math import modf
from typing import Any

from proxy.core.exchange import Exchange, Pass, Repeat, Verdict

_LONGEST = 1.0  # seconds for which a pattern is used: secrets that are known may have changed
# Marks as JSON writes them; in a text of the line, its quotes would be escaped.
_ID, _MS, _AT, _OUT = "@id@", "@ms@", "@at@", "@out@"
_MARKS = [f'"{mark}"' for mark in (_AT, _ID, _MS, _MS)]
_OF_A_PASS = [*_MARKS, f'"{_OUT}"', f'"{_MS}"']

_MICRO = 1_000_000

Kind = tuple[str, str, int, Verdict]  # route, method, status
Pattern = Sequence[str]


class Lines:
    """The lines of hits that were repeated, and of requests that were passed on again.

    `fields` says what a request's line says, `render` makes it a line of JSON with a given timestamp,
    `safe` makes a text that a stranger wrote harmless.
    """

    def __init__(
        self,
        *,
        fields: Callable[[Exchange], Mapping[str, Any]],
        render: Callable[[Mapping[str, Any], str], str],
        safe: Callable[[str], str],
        now: Callable[[], float],
    ) -> None:
        self._fields = fields
        self._render = render
        self._safe = safe
        self._now = now
        self._patterns: dict[int, tuple[Exchange, Pattern]] = {}
        self._until = 0.0
        self._second = -1.0
        self._to_second = ""

    def of(self, hits: Sequence[Repeat]) -> str:
        """All lines, each with its end but the last."""
        now = self._now()
        if now >= self._until:
            self._patterns.clear()
            self._until = now + _LONGEST
        ids = self._ids([request_id for _, request_id, _, _ in hits])
        lines = []
        for (exchange, _, at, seconds), request_id in zip(hits, ids, strict=True):
            known = self._patterns.get(id(exchange))
            if known is None:
                known = self._patterns[id(exchange)] = exchange, self._pattern(exchange)
            before, to_id, to_ms, to_first, end = known[1]
            ms = round(seconds * 1000, 3)
            lines.append(
                f"{before}{self._stamp(at + seconds)}{to_id}{request_id}{to_ms}{ms}{to_first}{ms}{end}"
            )
        return "\n".join(lines)

    def of_passes(self, passes: Sequence[Pass]) -> str:
        """As `of`."""
        now = self._now()
        if now >= self._until:
            self._patterns.clear()
            self._until = now + _LONGEST
        ids = self._ids([one[1] for one in passes])
        lines = []
        for (exchange, _, at, seconds, first, size), request_id in zip(passes, ids, strict=True):
            known = self._patterns.get(id(exchange))
            if known is None:
                known = self._patterns[id(exchange)] = exchange, self._pattern(exchange)
            before, to_id, to_ms, to_first, to_size, to_try, end = known[1]
            ms = round(first * 1000, 3)
            lines.append(
                f"{before}{self._stamp(at + seconds)}{to_id}{request_id}{to_ms}{round(seconds * 1000, 3)}"
                f"{to_first}{ms}{to_size}{size}{to_try}{ms}{end}"
            )
        return "\n".join(lines)

    def _ids(self, given: list[bytes]) -> list[str]:
        """The ids as JSON texts."""
        # What is wrong in one of them is wrong in all of them together, which are looked at once.
        together = b"".join(given).decode()
        if self._safe(together) == together and '"' not in together and "\\" not in together:
            return b'"\n"'.join([b"", *given, b""]).decode().split("\n")[1:-1]
        return [json.dumps(self._safe(one.decode()), ensure_ascii=False) for one in given]

    def _stamp(self, at: float) -> str:
        """Wall-clock seconds as JSON, in ISO 8601, as structlog's TimeStamper writes them."""
        fraction, whole = modf(at)
        if whole != self._second:
            self._second = whole
            self._to_second = datetime.fromtimestamp(whole, UTC).isoformat().removesuffix("+00:00")
        micro = round(fraction * _MICRO)
        return f'"{self._to_second}.{micro:06d}Z"' if 0 < micro < _MICRO else f'"{stamp(at)}"'

    def _pattern(self, exchange: Exchange) -> Pattern:
        event = {**self._fields(replace(exchange, id=_ID)), "ms": _MS, "first_byte_ms": _MS}
        marks = _MARKS
        if exchange.attempts:  # a hit has none
            event |= {"bytes_out": _OUT, "tries": [{**event["tries"][0], "ms": _MS}]}
            marks = _OF_A_PASS
        rest = self._render(event, _AT)
        parts = []
        for mark in marks:
            part, _, rest = rest.partition(mark)
            parts.append(part)
        return (*parts, rest)


def stamp(at: float) -> str:
    """Wall-clock seconds as ISO 8601 in UTC, as structlog's TimeStamper writes them."""
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def times_of_each(hits: Sequence[Repeat]) -> Iterable[tuple[Kind, list[float]]]:
    """The seconds of all hits of a kind together."""
    found: dict[Kind, list[float]] = {}
    last: Exchange | None = None
    alike: list[float] = []
    for exchange, _, _, seconds in hits:
        if exchange is not last:
            last = exchange
            kind = (exchange.route, exchange.method, exchange.status, exchange.verdict)
            alike = found.setdefault(kind, [])
        alike.append(seconds)
    return found.items()


def passes_of_each(passes: Sequence[Pass]) -> Iterable[tuple[Exchange, list[float], list[float]]]:
    """The seconds of all passes of a pattern together, and those to their heads."""
    found: dict[int, tuple[Exchange, list[float], list[float]]] = {}
    for exchange, _, _, seconds, first, _ in passes:
        known = found.get(id(exchange))
        if known is None:
            known = found[id(exchange)] = exchange, [], []
        known[1].append(seconds)
        known[2].append(first)
    return found.values()
