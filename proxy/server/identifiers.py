"""What is a request called?

An id sorts by time and is unique without anybody being asked (a ULID: 48 bits of milliseconds, 80 of
chance, in Crockford's base 32); a trace begun here is a W3C traceparent with nothing of ours in it.
"""

from __future__ import annotations

from collections.abc import Callable

Bits = Callable[[int], int]  # `random.getrandbits`

_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [a + b for a in _DIGITS for b in _DIGITS]  # two digits are ten bits
_NUMBERS = 1 << 20  # that four digits can tell apart
_STEM_SECONDS = 0.01


def request_id(wall: float, bits: Bits) -> str:
    """26 characters. `wall` is in seconds since 1970."""
    number = (int(wall * 1000) & 0xFFFF_FFFF_FFFF) << 80 | bits(80)
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)])


def traceparent(bits: Bits) -> str:
    """A sampled-flag-off trace context, version 00 (W3C Trace Context §3.2)."""
    return f"00-{bits(128) or 1:032x}-{bits(64) or 1:016x}-00"


class Identifiers:
    """Many ids of the same kind, cheaper: those of one millisecond or more differ in their last digits."""

    __slots__ = ("_bits", "_number", "_stem", "_until")

    def __init__(self, bits: Bits) -> None:
        self._bits = bits
        self._stem = ""
        self._until = 0.0
        self._number = 0

    def next(self, wall: float) -> str:
        """26 characters. `wall` is in seconds since 1970."""
        number = self._number = self._number + 1
        if not self._until - _STEM_SECONDS <= wall < self._until or number >= _NUMBERS:
            self._stem = request_id(wall, self._bits)[:22]
            self._until = wall + _STEM_SECONDS
            number = self._number = 0
        return self._stem + _PAIRS[number >> 10] + _PAIRS[number & 1023]
