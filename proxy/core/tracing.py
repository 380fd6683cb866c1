"""To which trace does a request belong, and is it one that is told? (W3C Trace Context)

The law: the caller's trace is continued where its `traceparent` can be read, and one is begun where it
cannot; a caller that does not sample is not overruled. Every number that is made here is chance's, so
none says anything about a caller or a credential.
"""

from __future__ import annotations

from collections.abc import Callable

from proxy.core.expression import expression
from proxy.core.message import Headers
from proxy.core.value import dataclass

Bits = Callable[[int], int]  # so many bits of chance, as `random.getrandbits`

FIELD = "traceparent"
_STATE = "tracestate"
# Later versions may append fields, which are not ours to understand (§3.2.4, §4).
_PARENT = expression(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 1
_RANDOM_BITS = 56  # of a trace's id, by which all who take part decide alike


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Where a request stands in a trace that is told. `parent` is the caller's span, None where it begins."""

    trace_id: int
    span_id: int
    parent: int | None = None

    def told(self, span_id: int) -> str:
        """The `traceparent` by which the next one continues below this span."""
        return f"00-{self.trace_id:032x}-{span_id:016x}-01"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Caller:
    trace_id: int
    span_id: int
    sampled: bool


def begin(headers: Headers, *, sample: float, bits: Bits) -> Trace | None:
    """The place of a caller's request in its trace, or in a new one; None where it is not told.

    `sample` is the share of traces that are told, from 0 to 1; the same trace is told by all who use the
    same share.
    """
    caller = _read(headers)
    if caller is not None and not caller.sampled:
        return None
    trace_id = caller.trace_id if caller is not None else bits(128) or 1
    if trace_id % (1 << _RANDOM_BITS) >= sample * (1 << _RANDOM_BITS):
        return None
    parent = caller.span_id if caller is not None else None
    return Trace(trace_id=trace_id, span_id=bits(64) or 1, parent=parent)


def within(headers: Headers, trace: Trace, span_id: int) -> Headers:
    """The fields of a request that goes on below one of our spans."""
    # A state belongs to the trace that it came with (§3.3.1.1).
    dropped = {FIELD, _STATE} if trace.parent is None else {FIELD}
    return headers.without(dropped).plus((FIELD, trace.told(span_id)))


def _read(headers: Headers) -> _Caller | None:
    lines = headers.all(FIELD)
    found = _PARENT.fullmatch(lines[0].strip()) if len(lines) == 1 else None
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more is not None):
        return None
    caller = _Caller(
        trace_id=int(trace_id, 16), span_id=int(span_id, 16), sampled=bool(int(flags, 16) & _SAMPLED)
    )
    return caller if caller.trace_id and caller.span_id else None
