"""When does a text say that a limit ends? One reader, its grammars named.

The law: what comes out is seconds from now, 0.0 or more. A number is a time to wait unless it is too
large for one, then a moment: nobody asks to wait for thirty years. What no grammar fits says nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from proxy.core.caching.syntax import instant
from proxy.core.expression import expression

_NUMBER = expression(r"[0-9]{1,15}(?:\.[0-9]{0,15})?|\.[0-9]{1,15}", re.ASCII)
_ISO = expression(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:[Zz]| ?UTC|[+-]\d\d:?\d\d)?", re.ASCII
)
_GO_PART = expression(r"([0-9]{1,12}(?:\.[0-9]{0,12})?|\.[0-9]{1,12})(d|h|ms|m|us|µs|ns|s)")
_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_MU_IN_LATIN_1 = "µ".encode().decode("latin-1")  # as a field shows what was sent in UTF-8
_A_MOMENT = 1e9  # seconds since 1970, in 2001
_A_MOMENT_IN_MS = 1e12
_MOST_PARTS = 12


def delta(text: str, _wall: float) -> float | None:
    """`30`, `0.5`: seconds to wait."""
    number = _number(text)
    return number if number is not None and number < _A_MOMENT else None


def epoch(text: str, wall: float) -> float | None:
    """`1716200000`, also with a fraction or in milliseconds: the moment since 1970."""
    number = _number(text)
    if number is None or number < _A_MOMENT:
        return None
    return max(0.0, (number / 1000 if number >= _A_MOMENT_IN_MS else number) - wall)


def date(text: str, wall: float) -> float | None:
    """An HTTP-date (RFC 9110 §5.6.7)."""
    moment = instant(text, wall)
    return None if moment is None else max(0.0, moment - wall)


def iso(text: str, wall: float) -> float | None:
    """`2024-05-20T10:13:20Z` (RFC 3339, ISO 8601), Jira's `2024-05-20T10:13Z`; without a zone it is UTC."""
    if _ISO.fullmatch(text) is None:
        return None
    plain = re.sub(r"(\.\d{6})\d+", r"\1", text.upper().replace(" UTC", "Z").replace("UTC", "Z"))
    try:
        moment = datetime.fromisoformat(plain)
    except ValueError:
        return None
    return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - wall)


def duration(text: str, _wall: float) -> float | None:
    """`6m0s`, `20ms`, `1h2m3.5s`: as Go writes durations."""
    text = text.replace(_MU_IN_LATIN_1, "µ")
    position, total = 0, 0.0
    for _ in range(_MOST_PARTS):
        part = _GO_PART.match(text, position)
        if part is None:
            return None
        total += float(part[1]) * _UNITS[part[2]]
        position = part.end()
        if position == len(text):
            return total
    return None


GRAMMARS: Mapping[str, Callable[[str, float], float | None]] = {
    "delta": delta,
    "epoch": epoch,
    "duration": duration,
    "iso": iso,
    "date": date,
}


def read(text: str | None, wall: float, grammar: str | None = None) -> float | None:
    """Seconds until that moment, 0.0 or more. With `grammar`, by that one of GRAMMARS only."""
    trimmed = "" if text is None else text.strip(" \t").strip('"')
    if not trimmed:
        return None
    for reader in GRAMMARS.values() if grammar is None else (GRAMMARS[grammar],):
        found = reader(trimmed, wall)
        if found is not None:
            return found
    return None


def in_body(document: Any) -> float | None:
    """Seconds from an error body, parsed from JSON.

    Google's RetryInfo, a member `retry_after`, or the bucket of a GraphQL cost that fills up again.
    """
    if not isinstance(document, Mapping):
        return None
    refilled = _refilled(document)
    if refilled is not None:
        return refilled
    for place in (document, document.get("error"), document.get("parameters")):
        if not isinstance(place, Mapping):
            continue
        found = _seconds(place.get("retry_after"))
        if found is not None:
            return found
        details = place.get("details")
        for detail in details if isinstance(details, list) else ():
            if isinstance(detail, Mapping) and str(detail.get("@type", "")).endswith("google.rpc.RetryInfo"):
                return _seconds(detail.get("retryDelay"))
    return None


def _refilled(document: Mapping[str, Any]) -> float | None:
    """Until Shopify's bucket holds what the query costs: `extensions.cost.throttleStatus`."""
    extensions = document.get("extensions")
    cost = extensions.get("cost") if isinstance(extensions, Mapping) else None
    status = cost.get("throttleStatus") if isinstance(cost, Mapping) else None
    if not isinstance(status, Mapping) or not isinstance(cost, Mapping):
        return None
    wanted = _seconds(cost.get("requestedQueryCost"))
    there, rate = _seconds(status.get("currentlyAvailable")), _seconds(status.get("restoreRate"))
    if wanted is None or there is None or not rate or wanted <= there:
        return None
    return (wanted - there) / rate


def _seconds(value: Any) -> float | None:
    match value:
        case bool():
            return None
        case int() | float():
            return float(value) if 0 <= value < _A_MOMENT and math.isfinite(value) else None
        case str():
            return delta(value.strip(), 0.0) if _number(value.strip()) is not None else duration(value, 0.0)
        case _:
            return None


def _number(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) is not None else None
