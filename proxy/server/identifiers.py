"""What is a request called?

An id sorts by time and is unique without anybody being asked (a ULID: 48 bits of milliseconds, 80 of
chance, in Crockford's base 32); a trace begun here is a W3C traceparent with nothing of ours in it.
"""

from __future__ import annotations

from collections.abc import Callable

Bits = Callable[[int], int]  # `random.getrandbits`

_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [a + b for a in _DIGITS for b in _DIGITS]  # two digits are ten bits
TOGETHER = 64
# Each with the gap between it and the next id; the first id begins with what stands before them all.
_ENDINGS = [b"", *(pair.encode() + b" " for pair in _PAIRS[TOGETHER - 1 :: -1])]
_NOT_ZERO = 1 << 64 | 1  # neither of a trace's two ids may be
_TRACE_BITS = 192
_NONE_ZERO = sum(_NOT_ZERO << (_TRACE_BITS * one) for one in range(TOGETHER))
_TRACE_DIGITS = 48


def request_id(wall: float, bits: Bits) -> str:
    """26 characters. `wall` is in seconds since 1970."""
    number = (int(wall * 1000) & 0xFFFF_FFFF_FFFF) << 80 | bits(80)
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)])


def traceparent(bits: Bits) -> str:
    """A sampled-flag-off trace context, version 00 (W3C Trace Context §3.2)."""
    digits = f"{bits(192) | _NOT_ZERO:048x}"
    return f"00-{digits[:32]}-{digits[32:]}-00"


class Identifiers:
    """Many ids of the same kind, cheaper: those that are made together differ in their last digits."""

    __slots__ = ("_bits",)

    def __init__(self, bits: Bits) -> None:
        self._bits = bits

    def several(self, wall: float) -> list[bytes]:
        """TOGETHER ids, the last of which sorts first. `wall` is in seconds since 1970."""
        stem = request_id(wall, self._bits)[:-2].encode()
        return stem.join(_ENDINGS).split()

    def traces(self) -> list[bytes]:
        """TOGETHER values as `traceparent` makes one."""
        digits = f"{self._bits(_TRACE_BITS * TOGETHER) | _NONE_ZERO:0{_TRACE_DIGITS * TOGETHER}x}".encode()
        places = range(0, len(digits), _TRACE_DIGITS)
        return [b"00-%b-%b-00" % (digits[at : at + 32], digits[at + 32 : at + 48]) for at in places]
