import pytest

from proxy.core.caching.entry import Entry
from proxy.core.caching.outage import UNSAID_MOST, stand_in
from proxy.core.caching.policy import CachePolicy
from proxy.core.failure import (
    APIError,
    BadRequestError,
    CircuitOpenError,
    ConnectError,
    CredentialError,
    DeadlineExceededError,
    ServerError,
    UnavailableError,
    UpstreamProtocolError,
    UpstreamTimeoutError,
)
from proxy.core.reason import Reason
from tests.core.caching.samples import NOW, SHARED, Pair, entry, request

AGED = ("Age", "70")
TAGGED = ("ETag", '"a"')


def cc(value: str) -> Pair:
    return ("Cache-Control", value)


STALE = entry(cc("max-age=60"), AGED)
FOR_A_MINUTE = entry(cc("max-age=60, stale-if-error=60"), AGED)
OVER = entry(cc("max-age=60, stale-if-error=10"), AGED)
NEVER = entry(cc("max-age=60, stale-if-error=0"), AGED)
ALLOWED = entry(cc("max-age=60"), AGED, policy=CachePolicy(stale_if_error=60))
GONE, IF_ERROR = Reason.ORIGIN_GONE, Reason.IF_ERROR


@pytest.mark.parametrize(
    ("stored", "failed", "asked", "reason"),
    [
        (STALE, ConnectError(), [], GONE),
        (STALE, UpstreamTimeoutError(), [], GONE),
        (STALE, UpstreamProtocolError(), [], GONE),
        (STALE, DeadlineExceededError(), [], GONE),
        (STALE, CircuitOpenError(), [], GONE),
        # What is ours or the caller's fault is told.
        (STALE, CredentialError(), [], None),
        (STALE, BadRequestError(), [], None),
        (STALE, APIError(), [], None),
        # An answer, even a bad one, is only replaced where somebody said so.
        (STALE, 503, [], None),
        *((FOR_A_MINUTE, status, [], IF_ERROR) for status in (500, 502, 503, 504)),
        *((FOR_A_MINUTE, status, [], None) for status in (200, 404, 429, 501, 505)),
        (FOR_A_MINUTE, ServerError(), [], IF_ERROR),
        (FOR_A_MINUTE, UnavailableError(), [], IF_ERROR),
        (FOR_A_MINUTE, ConnectError(), [], GONE),
        (ALLOWED, 500, [], IF_ERROR),
        (OVER, ConnectError(), [], None),
        (NEVER, ConnectError(), [], None),
        # What the origin forbids.
        (entry(cc("max-age=60, must-revalidate"), AGED), ConnectError(), [], None),
        (entry(cc("max-age=60, no-cache"), AGED, TAGGED), ConnectError(), [], None),
        (entry(cc("s-maxage=60"), AGED, policy=SHARED), ConnectError(), [], None),
        (entry(cc("max-age=60, proxy-revalidate"), AGED, policy=SHARED), ConnectError(), [], None),
        (entry(cc("max-age=60, proxy-revalidate"), AGED), ConnectError(), [], GONE),
        (entry(cc("max-age=60, must-revalidate, stale-if-error=60"), AGED), 500, [], None),
        # What the caller does not want.
        (STALE, ConnectError(), [cc("no-cache")], None),
        (STALE, ConnectError(), [cc("max-age=600")], None),
        (STALE, ConnectError(), [cc("min-fresh=1")], None),
        (STALE, ConnectError(), [cc("max-stale=5")], None),
        (STALE, ConnectError(), [cc("max-stale=20")], GONE),
        # A stored failure is no better than a new one.
        (entry(cc("max-age=60"), AGED, status=503), ConnectError(), [], None),
        (None, ConnectError(), [], None),
    ],
)
def test_stand_in(
    stored: Entry | None, failed: APIError | int, asked: list[Pair], reason: Reason | None
) -> None:
    stale = stand_in(request(*asked), stored, NOW, failed=failed)
    assert (None if stale is None else stale.reason) == reason
    assert stale is None or (stale.entry is stored and not stale.refresh)


def test_where_nobody_said_anything_it_ends_after_an_hour() -> None:
    assert stand_in(request(), STALE, NOW + UNSAID_MOST - 11, failed=ConnectError()) is not None
    assert stand_in(request(), STALE, NOW + UNSAID_MOST - 10, failed=ConnectError()) is None


def test_a_part_stands_in_for_nothing() -> None:
    part = entry(cc("max-age=60"), AGED, span=(0, 4, 10))
    assert stand_in(request(), part, NOW, failed=ConnectError()) is None
