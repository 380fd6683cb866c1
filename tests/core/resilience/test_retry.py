"""Is a request sent again exactly where that does no harm?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.classify import Fault
from proxy.core.failure import (
    APIError,
    ConnectError,
    CredentialError,
    DeadlineExceededError,
    PermissionDeniedError,
    QuotaExhaustedError,
    RateLimitError,
    ServerError,
    UpstreamProtocolError,
    UpstreamTimeoutError,
)
from proxy.core.message import Headers
from proxy.core.reason import Reason
from proxy.core.resilience.retry import Again, RetryPolicy, Stop, decide

POLICY = RetryPolicy()
UNSENT = ConnectError("refused")
DROPPED = UpstreamProtocolError("dropped", sent=True)
LATE = UpstreamTimeoutError("late", sent=True)

AFTER = (("Retry-After", "2"),)
YES = (("X-Should-Retry", "true"),)
NO = (("X-Should-Retry", "false"),)
STRIPE_YES = (("Stripe-Should-Retry", "true"),)
STRIPE_NO = (("Stripe-Should-Retry", "false"),)


def decided(cause: APIError | int, *pairs: tuple[str, str], **changed: Any) -> Again | Stop:
    given: dict[str, Any] = {
        "method": "GET",
        "attempt": 1,
        "replayable": True,
        "keyed": False,
        "remaining": 60.0,
        "chance": 0.5,
        "wall": 0.0,
    }
    policy = changed.pop("policy", POLICY)
    return decide(policy, cause=cause, headers=Headers.of(*pairs), **(given | changed))


# (cause, headers) → the reason of Again or Stop, for a method that may be repeated, one that may not,
# and the latter with an idempotency key.
A, S = Again, Stop
TABLE: list[tuple[APIError | int, tuple[tuple[str, str], ...], tuple[type, Reason], tuple[type, Reason]]] = [
    (200, (), (S, Reason.FINAL), (S, Reason.FINAL)),
    (301, AFTER, (S, Reason.FINAL), (S, Reason.FINAL)),
    (200, YES, (S, Reason.FINAL), (S, Reason.FINAL)),
    (400, (), (S, Reason.FINAL), (S, Reason.FINAL)),
    (501, (), (S, Reason.FINAL), (S, Reason.FINAL)),
    (400, YES, (A, Reason.SHOULD_RETRY), (A, Reason.SHOULD_RETRY)),
    (409, STRIPE_YES, (A, Reason.SHOULD_RETRY), (A, Reason.SHOULD_RETRY)),
    (408, (), (A, Reason.STATUS), (S, Reason.MAY_HAVE_HAPPENED)),
    (500, (), (A, Reason.STATUS), (S, Reason.MAY_HAVE_HAPPENED)),
    (500, AFTER, (A, Reason.RETRY_AFTER), (S, Reason.MAY_HAVE_HAPPENED)),
    (500, YES, (A, Reason.SHOULD_RETRY), (A, Reason.SHOULD_RETRY)),
    (500, NO, (S, Reason.SHOULD_NOT_RETRY), (S, Reason.SHOULD_NOT_RETRY)),
    (429, STRIPE_NO, (S, Reason.SHOULD_NOT_RETRY), (S, Reason.SHOULD_NOT_RETRY)),
    (500, (("X-Should-Retry", "perhaps"),), (A, Reason.STATUS), (S, Reason.MAY_HAVE_HAPPENED)),
    (502, (), (A, Reason.STATUS), (S, Reason.MAY_HAVE_HAPPENED)),
    (503, (), (A, Reason.STATUS), (S, Reason.MAY_HAVE_HAPPENED)),
    (503, AFTER, (A, Reason.RETRY_AFTER), (A, Reason.RETRY_AFTER)),
    (503, (("Retry-After", "soon"),), (A, Reason.STATUS), (S, Reason.MAY_HAVE_HAPPENED)),
    (504, (), (A, Reason.STATUS), (S, Reason.MAY_HAVE_HAPPENED)),
    (429, (), (A, Reason.STATUS), (A, Reason.STATUS)),
    (429, AFTER, (A, Reason.RETRY_AFTER), (A, Reason.RETRY_AFTER)),
    (UNSENT, (), (A, Reason.CONNECT), (A, Reason.CONNECT)),
    (DROPPED, (), (A, Reason.PROTOCOL), (S, Reason.MAY_HAVE_HAPPENED)),
    (LATE, (), (A, Reason.TIMEOUT), (S, Reason.MAY_HAVE_HAPPENED)),
    (UpstreamTimeoutError(sent=False), (), (A, Reason.TIMEOUT), (A, Reason.TIMEOUT)),
    (DeadlineExceededError(), (), (S, Reason.NO_TIME_LEFT), (S, Reason.NO_TIME_LEFT)),
    (CredentialError(), (), (S, Reason.FINAL), (S, Reason.FINAL)),
]


@pytest.mark.parametrize(("cause", "headers", "repeatable", "risky"), TABLE)
def test_the_table(
    cause: APIError | int,
    headers: tuple[tuple[str, str], ...],
    repeatable: tuple[type, Reason],
    risky: tuple[type, Reason],
) -> None:
    for method in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE"):
        found = decided(cause, *headers, method=method)
        assert (type(found), found.reason) == repeatable
    for method in ("POST", "PATCH", "PROPFIND"):
        found = decided(cause, *headers, method=method)
        assert (type(found), found.reason) == risky
    # By its key the upstream recognises a repeated request, whatever the method.
    found = decided(cause, *headers, method="POST", keyed=True)
    assert (type(found), found.reason) == repeatable


def test_a_method_taken_off_the_list_is_no_more_repeated() -> None:
    policy = replace(POLICY, methods=frozenset({"HEAD"}))
    assert decided(500, policy=policy) == Stop(reason=Reason.MAY_HAVE_HAPPENED)
    assert isinstance(decided(UNSENT, policy=policy), Again)


def test_a_status_taken_off_the_list_is_no_more_repeated() -> None:
    policy = replace(POLICY, statuses=frozenset({500}))
    assert decided(429, policy=policy) == Stop(reason=Reason.FINAL)
    policy = replace(POLICY, statuses=frozenset({425}))
    assert isinstance(decided(425, policy=policy, method="POST"), Again)


def test_attempts_end() -> None:
    assert isinstance(decided(500, attempt=2), Again)
    assert decided(500, attempt=3) == Stop(reason=Reason.ATTEMPTS_USED)
    assert decided(UNSENT, policy=replace(POLICY, attempts=1)) == Stop(reason=Reason.ATTEMPTS_USED)
    assert decided(500, *YES, attempt=3) == Stop(reason=Reason.ATTEMPTS_USED)


def test_a_body_that_is_gone_is_not_sent_again() -> None:
    assert decided(429, replayable=False) == Stop(reason=Reason.BODY_NOT_REPLAYABLE)


def test_a_told_wait_is_kept_plus_a_little() -> None:
    found = decided(429, ("Retry-After", "30"))
    assert isinstance(found, Again)
    assert 30 < found.after < 31


def test_a_told_wait_longer_than_allowed_stops_at_once() -> None:
    assert decided(429, ("Retry-After", "30.1")) == Stop(reason=Reason.RETRY_AFTER_TOO_LONG)
    assert decided(500, ("Retry-After", "31")) == Stop(reason=Reason.RETRY_AFTER_TOO_LONG)


def test_a_wait_that_does_not_fit_stops_at_once() -> None:
    assert decided(429, ("Retry-After", "5"), remaining=5.0) == Stop(reason=Reason.NO_TIME_LEFT)
    assert decided(500, remaining=0.05) == Stop(reason=Reason.NO_TIME_LEFT)
    assert decided(500, remaining=0.0, chance=0.0) == Stop(reason=Reason.NO_TIME_LEFT)


def test_backoff_is_full_jitter() -> None:
    assert decided(500, chance=0.0) == Again(after=0.0, reason=Reason.STATUS)
    assert decided(500, chance=0.5, attempt=2) == Again(after=0.2, reason=Reason.STATUS)


@settings(deadline=None)
@given(
    cause=st.one_of(st.integers(200, 599), st.sampled_from([UNSENT, DROPPED, LATE])),
    method=st.sampled_from(["GET", "PUT", "POST", "PATCH", "BREW"]),
    attempt=st.integers(1, 5),
    told=st.one_of(st.none(), st.floats(0, 100)),
    verdict=st.sampled_from(["", "true", "false", "maybe"]),
    replayable=st.booleans(),
    keyed=st.booleans(),
    remaining=st.floats(-1, 100),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_laws(
    cause: APIError | int,
    method: str,
    attempt: int,
    told: float | None,
    verdict: str,
    replayable: bool,
    keyed: bool,
    remaining: float,
    chance: float,
) -> None:
    pairs = [("X-Should-Retry", verdict)] if verdict and isinstance(cause, int) else []
    if told is not None and isinstance(cause, int):
        pairs.append(("Retry-After", f"{told:.6f}"))
    found = decided(
        cause,
        *pairs,
        method=method,
        attempt=attempt,
        replayable=replayable,
        keyed=keyed,
        remaining=remaining,
        chance=chance,
    )
    if not isinstance(found, Again):
        return
    assert attempt < POLICY.attempts
    assert replayable
    assert 0 <= found.after < remaining
    if pairs and pairs[-1][0] == "Retry-After":
        assert float(pairs[-1][1]) <= min(found.after, POLICY.max_retry_after)
    assert verdict != "false" or not isinstance(cause, int)
    if method not in POLICY.methods and not keyed:
        # Nothing that may have had an effect, unless the upstream says that it had none.
        unprocessed = cause is UNSENT or cause == 429 or (cause == 503 and told is not None)
        assert unprocessed or verdict == "true"


@pytest.mark.parametrize(
    ("cause", "pairs", "after"),
    [
        (UNSENT, (), 0.0),
        (DROPPED, (), 0.1),
        (500, (), 0.1),
        (503, (("Retry-After", "9"),), 0.1),
        (503, (("Retry-After", "900"),), 0.1),
        (429, (("Retry-After", "2"),), 2.1),
    ],
)
def test_another_endpoint_is_asked_at_once_or_after_our_own_wait_but_for_limits(
    cause: APIError | int, pairs: tuple[tuple[str, str], ...], after: float
) -> None:
    found = decided(cause, *pairs, elsewhere=True)
    assert isinstance(found, Again)
    assert found.after == pytest.approx(after)


LIMITED = Fault(kind=RateLimitError, status=403, wait=2.0)


@pytest.mark.parametrize(
    ("fault", "method", "reason"),
    [
        (LIMITED, "POST", Reason.RETRY_AFTER),
        (replace(LIMITED, wait=None), "POST", Reason.STATUS),
        (replace(LIMITED, wait=1000.0), "GET", Reason.RETRY_AFTER_TOO_LONG),
        (Fault(kind=QuotaExhaustedError, status=429, again=False), "GET", Reason.SHOULD_NOT_RETRY),
        (Fault(kind=ServerError, status=200), "GET", Reason.STATUS),
        (Fault(kind=ServerError, status=200), "POST", Reason.MAY_HAVE_HAPPENED),
        (Fault(kind=PermissionDeniedError, status=403), "GET", Reason.FINAL),
        (Fault(kind=PermissionDeniedError, status=403, again=True), "POST", Reason.SHOULD_RETRY),
    ],
)
def test_what_the_answer_is_in_truth_goes_before_its_status(
    fault: Fault, method: str, reason: Reason
) -> None:
    assert decided(fault.status, method=method, fault=fault).reason is reason


def test_the_upstream_s_own_word_goes_before_its_preset_s() -> None:
    never = Fault(kind=ServerError, status=500, again=False)
    assert decided(500, ("X-Should-Retry", "true"), fault=never).reason is Reason.SHOULD_RETRY


def test_the_wait_that_a_body_names_is_kept() -> None:
    found = decided(403, fault=LIMITED, chance=0.0)
    assert found == Again(after=2.0, reason=Reason.RETRY_AFTER)
