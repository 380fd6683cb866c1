from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.core import failure
from proxy.core.classify import Fault, classify
from proxy.core.dialect import PLAIN, Dialect, Meter, Place, Row, heard
from proxy.core.message import Headers

CODE, MESSAGE = (Place.of("code"),), (Place.of("message"),)
LIMITED, QUOTA = failure.RateLimitError, failure.QuotaExhaustedError


def judged(
    status: int, body: Any, *rows: Row, fields: tuple[tuple[str, str], ...] = (), path: str = "/"
) -> Fault | None:
    meter = Meter(bucket="b", remaining="left", reset="reset", grammar="epoch")
    dialect = Dialect(code=CODE, message=MESSAGE, rows=rows, quota=(meter,))
    answer = heard(status, Headers.of(*fields), json.dumps(body).encode(), path)
    return classify(dialect, answer, 1_000_000_000.0)


def test_without_rows_the_status_decides() -> None:
    for status in (400, 401, 429, 500, 529):
        fault = classify(PLAIN, heard(status, Headers(), b""), 0.0)
        assert fault == Fault(kind=failure.of_status(status) or failure.InternalError, status=status)
    assert classify(PLAIN, heard(200, Headers(), b""), 0.0) is None


@pytest.mark.parametrize(
    ("row", "status", "body", "fits"),
    [
        (Row(kind=QUOTA), 400, {}, True),
        (Row(kind=QUOTA), 200, {}, False),
        (Row(kind=QUOTA, statuses=frozenset({403})), 403, {}, True),
        (Row(kind=QUOTA, statuses=frozenset({403})), 429, {}, False),
        (Row(kind=QUOTA, codes=("x*",)), 400, {"code": "xy"}, True),
        (Row(kind=QUOTA, codes=("x*",)), 400, {"code": "y"}, False),
        (Row(kind=QUOTA, codes=("x*",)), 400, [], False),
        (Row(kind=QUOTA, says=("too much",)), 400, {"message": "Far Too Much!"}, True),
        (Row(kind=QUOTA, says=("too much",)), 400, {}, False),
        (Row(kind=QUOTA, when=((Place.of("ok"), ("false",)),)), 400, {"ok": False}, True),
        (Row(kind=QUOTA, when=((Place.of("ok"), ("false",)),)), 400, {"ok": True}, False),
        (Row(kind=QUOTA, when=((Place.of("header:x"), ("*",)),)), 400, {}, False),
        (Row(kind=QUOTA, path="/a/*"), 400, {}, False),
        (Row(kind=QUOTA, statuses=frozenset({200}), codes=("x",)), 200, {"code": "x"}, True),
    ],
)
def test_every_part_of_a_row_has_to_fit(row: Row, status: int, body: Any, fits: bool) -> None:
    fault = judged(status, body, row)
    assert (fault is not None and fault.kind is QUOTA) is fits


def test_the_first_row_that_fits_counts() -> None:
    rows = Row(kind=LIMITED, codes=("a",)), Row(kind=QUOTA, codes=("*",))
    assert judged(403, {"code": "a"}, *rows) == Fault(kind=LIMITED, status=403)
    assert judged(403, {"code": "b"}, *rows) == Fault(kind=QUOTA, status=403, again=False)


def test_used_up_quota_is_never_sent_again_unless_the_row_says_so() -> None:
    assert judged(429, {}, Row(kind=QUOTA)) == Fault(kind=QUOTA, status=429, again=False)
    assert judged(429, {}, Row(kind=QUOTA, again=True)) == Fault(kind=QUOTA, status=429, again=True)


def test_a_row_without_a_kind_keeps_what_the_status_says() -> None:
    assert judged(503, {}, Row(again=False)) == Fault(kind=failure.UnavailableError, status=503, again=False)


@pytest.mark.parametrize(
    ("kind", "status", "meant"),
    [
        (LIMITED, 403, 429),
        (LIMITED, 200, 429),
        (QUOTA, 402, 402),
        (failure.ServerError, 200, 500),
        (failure.UnavailableError, 529, 529),
    ],
)
def test_the_status_that_it_should_have_had(kind: type[failure.APIError], status: int, meant: int) -> None:
    assert Fault(kind=kind, status=status).meant == meant


@pytest.mark.parametrize(
    ("fields", "body", "row", "wait"),
    [
        ((("Retry-After", "7"),), {"retry_after": 3}, Row(kind=LIMITED, wait=9.0), 7.0),
        ((), {"retry_after": 3}, Row(kind=LIMITED, wait=9.0), 3.0),
        ((), {}, Row(kind=LIMITED, wait=9.0), 9.0),
        ((("left", "0"), ("reset", "1000000030")), {}, Row(kind=LIMITED, until_reset=True, wait=9.0), 30.0),
        ((("left", "5"), ("reset", "1000000030")), {}, Row(kind=LIMITED, until_reset=True, wait=9.0), 9.0),
        ((("left", "0"),), {}, Row(kind=LIMITED, until_reset=True), None),
        ((("left", "0"), ("reset", "1000000030")), {}, Row(kind=LIMITED), None),
    ],
)
def test_how_long_to_wait(
    fields: tuple[tuple[str, str], ...], body: Any, row: Row, wait: float | None
) -> None:
    fault = judged(429, body, row, fields=fields)
    assert fault is not None
    assert fault.wait == wait
