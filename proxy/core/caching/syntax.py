"""How are the lists, numbers, dates and tags in caching fields read?

The law: no text raises. What RFC 9110 does not allow is None, never a guess, because a guess about a
date is a stale answer; only letter case is forgiven.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from proxy.core.expression import expression

# RFC 9111 §1.2.2: larger numbers count as this one.
MOST_SECONDS = 2**31

_DIGITS = expression(r"[0-9]{1,20}", re.ASCII)
_PIECE = expression(r'"(?:[^"\\]|\\.)*"|,|[^",]+|"', re.DOTALL)
_ETAG = expression(r'(?:W/)?("[^"]*")|([^,\s]+)')

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY = r"(?:mon|tue|wed|thu|fri|sat|sun)"
_LONG_DAY = r"(?:monday|tuesday|wednesday|thursday|friday|saturday|sunday)"
_MONTH = rf"(?P<month>{'|'.join(_MONTHS)})"
_TIME = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
# RFC 9110 §5.6.7: the one that is sent, and the two that a recipient has to accept.
_DATES = tuple(
    expression(form, re.IGNORECASE | re.ASCII)
    for form in (
        rf"{_DAY}, (?P<day>\d\d) {_MONTH} (?P<year>\d{{4}}) {_TIME} GMT",
        rf"{_LONG_DAY}, (?P<day>\d\d)-{_MONTH}-(?P<year>\d\d) {_TIME} GMT",
        rf"{_DAY} {_MONTH} (?P<day>\d\d| \d) {_TIME} (?P<year>\d{{4}})",
    )
)
_DAYS_BEFORE = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)
_DAYS_IN = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_SECONDS_A_YEAR = 31_556_952


def split(text: str) -> Iterator[str]:
    """The members of a comma-separated list, trimmed, empty ones left out (RFC 9110 §5.6.1).

    A comma within a quoted string separates nothing. A quote that never closes must not hide
    the members after it: it reads as a blank.
    """
    if '"' not in text:
        for member in text.split(","):
            trimmed = member.strip()
            if trimmed:
                yield trimmed
        return
    gathered, begin = "", 0
    for found in _PIECE.finditer(text):
        piece = found[0]
        if piece == '"':
            # Never closed. The rest has no quoted strings, and is not searched for them again and again.
            yield from split(text[begin:].replace('"', " "))
            return
        if piece != ",":
            gathered += piece
            continue
        if trimmed := gathered.strip():
            yield trimmed
        gathered, begin = "", found.end()
    if trimmed := gathered.strip():
        yield trimmed


def unquote(text: str) -> str:
    """The content of a quoted string; text that is none, unchanged."""
    if len(text) > 1 and text[0] == text[-1] == '"':
        return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)
    return text


def seconds(text: str) -> int | None:
    """delta-seconds (RFC 9111 §1.2.2), at most 2³¹; None for anything but digits."""
    if _DIGITS.fullmatch(text) is None:
        # More digits than any clock needs are still a number.
        return MOST_SECONDS if text.isascii() and text.isdigit() else None
    return min(int(text), MOST_SECONDS)


def instant(text: str, wall: float) -> float | None:
    """An HTTP-date as seconds since 1970, None where it is no HTTP-date (RFC 9110 §5.6.7).

    `wall` settles the century of a two-digit year: not more than 50 years ahead.
    """
    trimmed = text.strip()
    for form in _DATES:
        found = form.fullmatch(trimmed)
        if found is not None:
            break
    else:
        return None
    month = _MONTHS.index(found["month"].lower())
    year, day = int(found["year"]), int(found["day"])
    hour, minute, second = int(found["hour"]), int(found["minute"]), int(found["second"])
    # 60 is a leap second.
    if not (1 <= day <= _DAYS_IN[month] and hour < 24 and minute < 60 and second <= 60):  # noqa: PLR2004 - a clock's own numbers
        return None
    if len(found["year"]) < len("1970"):
        now = 1970 + int(wall // _SECONDS_A_YEAR)
        year += now - now % 100
        if year > now + 50:
            year -= 100
    earlier = year - 1
    leaps = earlier // 4 - earlier // 100 + earlier // 400 - 477
    if month > 1 and (year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)):
        day += 1
    days = (year - 1970) * 365 + leaps + _DAYS_BEFORE[month] + day - 1
    return float(((days * 24 + hour) * 60 + minute) * 60 + second)


def http_date(wall: float) -> str:
    """Seconds since 1970 as an HTTP-date, fractions left out; the inverse of `instant`."""
    at = datetime.fromtimestamp(int(wall), UTC)
    month = _MONTHS[at.month - 1].capitalize()
    return f"{_DAYS[at.weekday()]}, {at.day:02} {month} {at.year:04} {at:%H:%M:%S} GMT"


def entity_tags(text: str) -> Iterator[str]:
    """The opaque parts, quotes included, of a list of entity-tags; W/ is left out.

    That is the weak comparison of RFC 9110 §8.8.3.2, the only one that If-None-Match knows. A tag
    without its quotes, as some servers send it, stands for itself.
    """
    for found in _ETAG.finditer(text):
        yield found[1] or found[2]
