"""How long, and how large, as people write it: `250ms`, `1m30s`, `64KiB`?

A bare number is refused, because thirty of what would be a guess; only 0 needs no unit.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from proxy.core.expression import expression

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {
    "B": 1,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
}
_NUMBER = r"\d+(?:\.\d+)?"
_DURATION = rf"(?:{_NUMBER}(?:ms|s|m|h|d))+"
_SIZE = rf"{_NUMBER}(?:B|KB|MB|GB|KiB|MiB|GiB)"
_PART = expression(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
_WHOLE_DURATION = expression(_DURATION, re.ASCII)
_WHOLE_SIZE = expression(r"(\d+(?:\.\d+)?) ?([A-Za-z]+)", re.ASCII)
_BARE = expression(r"[-+]?\d+(?:\.\d+)?", re.ASCII)
_ZERO = expression(r"0+(?:\.0+)?", re.ASCII)
_LONGEST = 64  # characters; more is no duration that anybody means
_MOST_SECONDS = 100 * 366 * 86400.0
_MOST_BYTES = 2**60


def seconds(written: Any) -> float:
    """A duration in seconds. Raises ValueError that says what is wrong and what would be right."""
    text = _text(written, "a duration such as 250ms, 30s, 5m, 1h, 7d or 1m30s")
    if _ZERO.fullmatch(text):
        return 0.0
    if _BARE.fullmatch(text):
        raise ValueError(_unitless(text, f"{text}s or {text}ms", "a duration such as 30s"))
    if not _WHOLE_DURATION.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration; write for example 250ms, 30s, 5m, 1h, 7d or 1m30s")
    total = math.fsum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
    if total > _MOST_SECONDS:
        raise ValueError(f"{text} is longer than a hundred years; write a shorter duration")
    return total


def size(written: Any) -> int:
    """A size in bytes. Raises ValueError that says what is wrong and what would be right."""
    text = _text(written, "a size such as 64KiB or 8MiB")
    if _ZERO.fullmatch(text):
        return 0
    if _BARE.fullmatch(text):
        raise ValueError(_unitless(text, f"{text}KiB or {text}MiB", "a size such as 64KiB"))
    found = _WHOLE_SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a size; write for example 512B, 64KiB, 8MiB or 1GiB")
    number, unit = found.groups()
    factor = _BYTES.get(unit)
    if factor is None:
        near = next((known for known in reversed(_BYTES) if known[0] == unit[0].upper()), None)
        cure = f"did you mean {number}{near}?" if near else "the units are B, KB, MB, GB, KiB, MiB and GiB"
        raise ValueError(f"{text!r} has the unknown unit {unit!r}; {cure}")
    total = int(number) * factor if number.isdigit() else round(float(number) * factor)
    if total > _MOST_BYTES:
        raise ValueError(f"{text} is more than any machine holds; write a smaller size")
    return total


def _text(written: Any, wanted: str) -> str:
    if isinstance(written, bool) or not isinstance(written, str | int | float):
        raise ValueError(f"should be {wanted}")  # noqa: TRY004 - pydantic turns only ValueErrors into problems
    text = str(written).strip()
    if len(text) > _LONGEST:
        raise ValueError(f"is too long; write {wanted}")
    return text


def _unitless(text: str, either: str, wanted: str) -> str:
    if text.startswith(("-", "+")):
        return f"{text} has a sign; write {wanted} without one"
    return f"{text} has no unit; write {either}"


Duration = Annotated[
    float,
    BeforeValidator(seconds),
    WithJsonSchema(
        {
            "anyOf": [
                {
                    "type": "string",
                    "pattern": f"^(?:0|{_DURATION})$",
                    "examples": ["250ms", "30s", "5m", "1h", "7d", "1m30s"],
                },
                {"const": 0},
            ]
        }
    ),
]
Size = Annotated[
    int,
    BeforeValidator(size),
    WithJsonSchema(
        {
            "anyOf": [
                {
                    "type": "string",
                    "pattern": f"^(?:0|{_SIZE})$",
                    "examples": ["512B", "64KiB", "8MiB", "1GiB"],
                },
                {"const": 0},
            ]
        }
    ),
]
