"""What is this answer in truth?

The law: the first row of the API's dialect that fits decides; where none fits, the status does. An
answer that is used up quota is never sent again; one that only limits was not processed. Nothing beyond
the first 64 KiB of a body is looked at, and what cannot be read changes nothing.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from proxy.core.dialect import Answer, Dialect, Place, Row, first, values
from proxy.core.failure import APIError, QuotaExhaustedError, RateLimitError, of_status
from proxy.core.resilience import quota, resets, wait
from proxy.core.value import dataclass

_FIRST_FAILURE = 400
_LIMITED = 429


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What went wrong. `again`: the API's word, or its preset's, on sending it again, where there is one.

    `wait` is in seconds; `status` is what the answer came with.
    """

    kind: type[APIError]
    status: int
    again: bool | None = None
    wait: float | None = None

    @property
    def meant(self) -> int:
        """The status that it should have come with."""
        if self.kind is RateLimitError:
            return _LIMITED
        return self.status if self.status >= _FIRST_FAILURE else self.kind.default_status


def classify(dialect: Dialect, answer: Answer, wall: float) -> Fault | None:
    """None for what is no failure. `wall` is the wall clock's, in seconds."""
    row = next((row for row in dialect.rows if _fits(row, answer, dialect)), None)
    kind = of_status(answer.status) if row is None or row.kind is None else row.kind
    if kind is None:
        return None
    again = row.again if row is not None else None
    if again is None and kind is QuotaExhaustedError:
        again = False
    told = _wait(row, answer, dialect, wall)
    if told is None and kind is RateLimitError:
        told = quota.reset(answer.headers, wall)
    return Fault(kind=kind, status=answer.status, again=again, wait=told)


def _fits(row: Row, answer: Answer, dialect: Dialect) -> bool:
    if row.statuses:
        if answer.status not in row.statuses:
            return False
    elif answer.status < _FIRST_FAILURE:
        return False
    if not row.takes(answer.path):
        return False
    if row.codes and not _any(dialect.code, row.codes, answer):
        return False
    if row.says:
        message = (first(dialect.message, answer) or "").lower()
        if not any(word in message for word in row.says):
            return False
    return all(_any((place,), globs, answer) for place, globs in row.when)


def _any(places: tuple[Place, ...], globs: tuple[str, ...], answer: Answer) -> bool:
    return any(fnmatchcase(value, glob) for value in values(places, answer) for glob in globs)


def _wait(row: Row | None, answer: Answer, dialect: Dialect, wall: float) -> float | None:
    """The answer's own time first: its fields, then its body; then what its preset knows."""
    told = wait.told(answer.headers, wall)
    if told is None:
        told = resets.in_body(answer.document)
    if told is not None or row is None:
        return told
    if row.until_reset:
        spent = [
            reading.reset
            for reading in quota.readings(answer.headers, wall, dialect.quota)
            if reading.remaining <= 0 and reading.reset is not None
        ]
        if spent:
            return max(spent)
    return row.wait
