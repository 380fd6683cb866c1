"""Is every cell of the table what the README says, and is every attempt read into the right row?"""

from __future__ import annotations

import pytest

from proxy.core.failure import (
    APIError,
    ConnectError,
    CredentialError,
    DeadlineExceededError,
    UpstreamProtocolError,
    UpstreamTimeoutError,
)
from proxy.core.message import Headers
from proxy.core.reason import Reason
from proxy.core.resilience.repetition import (
    TABLE,
    Ended,
    Leave,
    Repeat,
    Said,
    Twice,
    known_by,
    may_repeat,
    of_failure,
    of_status,
    said,
    twice,
)

# Row: how it ended, what the upstream says. Columns: harmless, recognised, risky; + again, - not.
CELLS = """
unreached           silent   +connect          +connect          +connect
unreached           yes      +connect          +connect          +connect
unreached           no       +connect          +connect          +connect
expired-unsent      silent   +timeout          +timeout          +timeout
expired-unsent      yes      +timeout          +timeout          +timeout
expired-unsent      no       +timeout          +timeout          +timeout
silent              silent   +timeout          +timeout          -may-have-happened
silent              yes      +timeout          +timeout          -may-have-happened
silent              no       +timeout          +timeout          -may-have-happened
broken              silent   +protocol         +protocol         -may-have-happened
broken              yes      +protocol         +protocol         -may-have-happened
broken              no       +protocol         +protocol         -may-have-happened
begun               silent   -final            -final            -final
begun               yes      -final            -final            -final
begun               no       -final            -final            -final
rejected            silent   +status           +status           +status
rejected            yes      +should-retry     +should-retry     +should-retry
rejected            no       -should-not-retry -should-not-retry -should-not-retry
rejected-with-time  silent   +retry-after      +retry-after      +retry-after
rejected-with-time  yes      +should-retry     +should-retry     +should-retry
rejected-with-time  no       -should-not-retry -should-not-retry -should-not-retry
failed              silent   +status           +status           -may-have-happened
failed              yes      +should-retry     +should-retry     +should-retry
failed              no       -should-not-retry -should-not-retry -should-not-retry
failed-with-time    silent   +retry-after      +retry-after      -may-have-happened
failed-with-time    yes      +should-retry     +should-retry     +should-retry
failed-with-time    no       -should-not-retry -should-not-retry -should-not-retry
answered            silent   -final            -final            -final
answered            yes      +should-retry     +should-retry     +should-retry
answered            no       -should-not-retry -should-not-retry -should-not-retry
done                silent   -final            -final            -final
done                yes      -final            -final            -final
done                no       -final            -final            -final
spent               silent   -no-time-left     -no-time-left     -no-time-left
spent               yes      -no-time-left     -no-time-left     -no-time-left
spent               no       -no-time-left     -no-time-left     -no-time-left
ours                silent   -final            -final            -final
ours                yes      -final            -final            -final
ours                no       -final            -final            -final
"""
WORDS = {"silent": Said.NOTHING, "yes": Said.YES, "no": Said.NO}
ROWS = [line.split() for line in CELLS.strip().splitlines()]
SPELLED = {
    (Ended(row[0]), WORDS[row[1]], column): cell
    for row in ROWS
    for column, cell in zip(Twice, row[2:], strict=True)
}


@pytest.mark.parametrize(("ended", "word", "column"), SPELLED, ids=lambda part: part.name.lower())
def test_a_cell(ended: Ended, word: Said, column: Twice) -> None:
    spelled = SPELLED[ended, word, column]
    expected = Repeat if spelled[0] == "+" else Leave
    assert may_repeat(ended, word, column) == expected(reason=Reason(spelled[1:]))


def test_there_is_no_other_cell() -> None:
    assert {(ended, word) for ended, word, _ in SPELLED} == set(TABLE)
    assert len(SPELLED) == len(Ended) * len(Said) * len(Twice)


STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


@pytest.mark.parametrize(
    ("status", "untimed", "timed"),
    [
        (200, Ended.DONE, Ended.DONE),
        (302, Ended.DONE, Ended.DONE),
        (400, Ended.ANSWERED, Ended.ANSWERED),
        (409, Ended.ANSWERED, Ended.ANSWERED),
        (501, Ended.ANSWERED, Ended.ANSWERED),
        (408, Ended.FAILED, Ended.FAILED_WITH_TIME),
        (425, Ended.REJECTED, Ended.REJECTED_WITH_TIME),
        (429, Ended.REJECTED, Ended.REJECTED_WITH_TIME),
        (500, Ended.FAILED, Ended.FAILED_WITH_TIME),
        (502, Ended.FAILED, Ended.FAILED_WITH_TIME),
        (503, Ended.FAILED, Ended.REJECTED_WITH_TIME),
        (504, Ended.FAILED, Ended.FAILED_WITH_TIME),
    ],
)
def test_the_row_of_a_status(status: int, untimed: Ended, timed: Ended) -> None:
    assert of_status(status, statuses=STATUSES, timed=False) is untimed
    assert of_status(status, statuses=STATUSES, timed=True) is timed


@pytest.mark.parametrize(
    ("failure", "row"),
    [
        (ConnectError(), Ended.UNREACHED),
        (ConnectError(sent=True), Ended.BROKEN),
        (UpstreamProtocolError(), Ended.UNREACHED),
        (UpstreamProtocolError(sent=True), Ended.BROKEN),
        (UpstreamTimeoutError(), Ended.EXPIRED_UNSENT),
        (UpstreamTimeoutError(sent=True), Ended.SILENT),
        (DeadlineExceededError(), Ended.SPENT),
        (DeadlineExceededError(sent=True), Ended.SPENT),
        (CredentialError(), Ended.OURS),
    ],
)
def test_the_row_of_a_failure(failure: APIError, row: Ended) -> None:
    assert of_failure(failure) is row
    assert of_failure(failure, begun=True) is Ended.BEGUN


@pytest.mark.parametrize(
    ("fields", "preset", "expected"),
    [
        ((), Said.NOTHING, Said.NOTHING),
        ((), Said.NO, Said.NO),
        ((("x-should-retry", "true"),), Said.NO, Said.YES),
        ((("X-Should-Retry", " False "),), Said.YES, Said.NO),
        ((("stripe-should-retry", "true"),), Said.NOTHING, Said.YES),
        ((("x-should-retry", "perhaps"),), Said.YES, Said.YES),
        ((("x-should-retry", "perhaps"),), Said.NOTHING, Said.NOTHING),
    ],
)
def test_what_the_upstream_says(fields: tuple[tuple[str, str], ...], preset: Said, expected: Said) -> None:
    assert said(Headers.of(*fields), preset) is expected


@pytest.mark.parametrize(
    ("method", "keyed", "expected"),
    [
        ("GET", False, Twice.HARMLESS),
        ("GET", True, Twice.HARMLESS),
        ("POST", True, Twice.RECOGNISED),
        ("POST", False, Twice.RISKY),
        ("BREW", False, Twice.RISKY),
    ],
)
def test_what_sending_it_twice_would_do(method: str, keyed: bool, expected: Twice) -> None:
    assert twice(method, methods=frozenset({"GET", "PUT"}), keyed=keyed) is expected


@pytest.mark.parametrize(
    ("fields", "method", "key"),
    [
        ((), "POST", ""),
        ((), "PATCH", ""),
        ((), "GET", None),
        ((), "PUT", None),
        ((("idempotency-key", "mine"),), "POST", "mine"),
        ((("Idempotency-Key", "mine"),), "LOCK", "mine"),
        ((("Idempotency-Key", ""),), "POST", ""),
        ((("Idempotency-Key", " "),), "LOCK", None),
        ((("Idempotency-Key", ""), ("Idempotency-Key", "mine")), "POST", "mine"),
        ((("Idempotency-Key", "a"), ("Idempotency-Key", "b")), "POST", None),
    ],
)
def test_by_which_key_it_is_known(fields: tuple[tuple[str, str], ...], method: str, key: str | None) -> None:
    assert known_by(Headers.of(*fields), "Idempotency-Key", method) == key
    assert known_by(Headers.of(*fields), None, method) is None
