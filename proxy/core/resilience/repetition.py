"""May a request that ended so be sent again? The one table.

The law: what may have had an effect is not sent twice. Rows are how an attempt ended and what the
upstream said about repeating, columns what sending it twice would do; every combination stands here.
How often, how long after and with which body is decided elsewhere.
"""

from __future__ import annotations

from enum import StrEnum

from proxy.core.failure import (
    APIError,
    ConnectError,
    DeadlineExceededError,
    UpstreamProtocolError,
    UpstreamTimeoutError,
)
from proxy.core.message import Headers
from proxy.core.reason import Reason
from proxy.core.value import dataclass


class Ended(StrEnum):
    """How an attempt ended."""

    UNREACHED = "unreached"  # not sent: name, connection, TLS, a stale connection before its first byte
    EXPIRED_UNSENT = "expired-unsent"  # the attempt's time ran out before a byte was written
    SILENT = "silent"  # sent, and no answer in time
    BROKEN = "broken"  # sent, and the connection or the answer's head broke
    BEGUN = "begun"  # the answer's head has gone to the caller, then its body broke
    REJECTED = "rejected"  # surely not processed: 429, 425
    REJECTED_WITH_TIME = "rejected-with-time"  # the same and 503, with a time to come back
    FAILED = "failed"  # another status that is retried
    FAILED_WITH_TIME = "failed-with-time"
    ANSWERED = "answered"  # a failure that is not retried
    DONE = "done"  # no failure
    SPENT = "spent"  # the time for all attempts together is over
    OURS = "ours"  # a failure of our own


class Twice(StrEnum):
    """What sending it twice would do."""

    HARMLESS = "harmless"  # its method may be repeated
    RECOGNISED = "recognised"  # it carries a key by which the upstream knows it again
    RISKY = "risky"


class Said(StrEnum):
    """What the upstream says about repeating: itself (x-should-retry), else by what its preset knows."""

    NOTHING = ""
    YES = "true"
    NO = "false"


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """It may be sent again."""

    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """It may not."""

    reason: Reason


def _again(reason: Reason) -> tuple[Repeat, Repeat, Repeat]:
    return (Repeat(reason=reason),) * 3


def _unless_risky(reason: Reason) -> tuple[Repeat, Repeat, Leave]:
    return Repeat(reason=reason), Repeat(reason=reason), Leave(reason=Reason.MAY_HAVE_HAPPENED)


def _never(reason: Reason) -> tuple[Leave, Leave, Leave]:
    return (Leave(reason=reason),) * 3


_Cells = tuple[Repeat | Leave, Repeat | Leave, Repeat | Leave]
_SAYS_YES = _again(Reason.SHOULD_RETRY)
_SAYS_NO = _never(Reason.SHOULD_NOT_RETRY)

# Columns: harmless, recognised, risky. Only an answer can say yes or no, so the rows of who got none are
# the same thrice.
TABLE: dict[tuple[Ended, Said], _Cells] = {
    **{(Ended.UNREACHED, said): _again(Reason.CONNECT) for said in Said},
    **{(Ended.EXPIRED_UNSENT, said): _again(Reason.TIMEOUT) for said in Said},
    **{(Ended.SILENT, said): _unless_risky(Reason.TIMEOUT) for said in Said},
    **{(Ended.BROKEN, said): _unless_risky(Reason.PROTOCOL) for said in Said},
    **{(Ended.BEGUN, said): _never(Reason.FINAL) for said in Said},
    (Ended.REJECTED, Said.NOTHING): _again(Reason.STATUS),
    (Ended.REJECTED, Said.YES): _SAYS_YES,
    (Ended.REJECTED, Said.NO): _SAYS_NO,
    (Ended.REJECTED_WITH_TIME, Said.NOTHING): _again(Reason.RETRY_AFTER),
    (Ended.REJECTED_WITH_TIME, Said.YES): _SAYS_YES,
    (Ended.REJECTED_WITH_TIME, Said.NO): _SAYS_NO,
    (Ended.FAILED, Said.NOTHING): _unless_risky(Reason.STATUS),
    (Ended.FAILED, Said.YES): _SAYS_YES,
    (Ended.FAILED, Said.NO): _SAYS_NO,
    (Ended.FAILED_WITH_TIME, Said.NOTHING): _unless_risky(Reason.RETRY_AFTER),
    (Ended.FAILED_WITH_TIME, Said.YES): _SAYS_YES,
    (Ended.FAILED_WITH_TIME, Said.NO): _SAYS_NO,
    (Ended.ANSWERED, Said.NOTHING): _never(Reason.FINAL),
    (Ended.ANSWERED, Said.YES): _SAYS_YES,
    (Ended.ANSWERED, Said.NO): _SAYS_NO,
    **{(Ended.DONE, said): _never(Reason.FINAL) for said in Said},
    **{(Ended.SPENT, said): _never(Reason.NO_TIME_LEFT) for said in Said},
    **{(Ended.OURS, said): _never(Reason.FINAL) for said in Said},
}
_COLUMNS = {twice: column for column, twice in enumerate(Twice)}


def may_repeat(ended: Ended, said: Said, twice: Twice) -> Repeat | Leave:
    """The cell."""
    return TABLE[ended, said][_COLUMNS[twice]]


_FIRST_FAILURE = 400
_TOO_EARLY = 425  # RFC 8470 §5.2: refused before it was processed
_TOO_MANY = 429
_UNAVAILABLE = 503


def of_status(status: int, *, statuses: frozenset[int], timed: bool) -> Ended:
    """`statuses` are those that are retried; `timed`: the answer names a time to come back."""
    if status < _FIRST_FAILURE:
        return Ended.DONE
    if status not in statuses:
        return Ended.ANSWERED
    if status in {_TOO_MANY, _TOO_EARLY} or (status == _UNAVAILABLE and timed):
        return Ended.REJECTED_WITH_TIME if timed else Ended.REJECTED
    return Ended.FAILED_WITH_TIME if timed else Ended.FAILED


_OF_FAILURE: dict[tuple[type[APIError], bool], Ended] = {
    (ConnectError, False): Ended.UNREACHED,
    (ConnectError, True): Ended.BROKEN,
    (UpstreamTimeoutError, False): Ended.EXPIRED_UNSENT,
    (UpstreamTimeoutError, True): Ended.SILENT,
    (UpstreamProtocolError, False): Ended.UNREACHED,
    (UpstreamProtocolError, True): Ended.BROKEN,
    (DeadlineExceededError, False): Ended.SPENT,
    (DeadlineExceededError, True): Ended.SPENT,
}


def of_failure(failure: APIError, *, begun: bool = False) -> Ended:
    """`begun`: the answer's head has been passed on already."""
    return Ended.BEGUN if begun else _OF_FAILURE.get((type(failure), failure.sent), Ended.OURS)


def said(headers: Headers, verdict: Said = Said.NOTHING) -> Said:
    """The upstream's own word, else `verdict`, which a preset reads out of status and body."""
    text = headers.get("x-should-retry") or headers.get("stripe-should-retry") or ""
    try:
        own = Said(text.strip().lower())
    except ValueError:
        own = Said.NOTHING
    return own or verdict


def twice(method: str, *, methods: frozenset[str], keyed: bool) -> Twice:
    """`keyed`: the request carries the field by which the upstream recognises it."""
    if method in methods:
        return Twice.HARMLESS
    return Twice.RECOGNISED if keyed else Twice.RISKY


# RFC 5789 and 9110 §9.2.2: what may do harm twice, and what APIs take keys for.
_KEYED = frozenset({"POST", "PATCH"})


def known_by(headers: Headers, name: str | None, method: str) -> str | None:
    """The key by which an upstream that honours the field `name` would know this request again.

    It is the caller's own; "" where one is to be made; None where there is none. An empty one is no key, and
    of several nobody knows which one counts.
    """
    if name is None:
        return None
    given = [value for value in headers.all(name.lower()) if value.strip()]
    if given:
        return given[0] if len(given) == 1 else None
    return "" if method in _KEYED else None
