from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.caching.admission import Admit, Moment, Skip, admit
from proxy.core.caching.policy import CachePolicy, Scope
from proxy.core.classify import Fault
from proxy.core.failure import RateLimitError
from proxy.core.reason import Reason
from tests.core.caching.samples import (
    NOW,
    PRIVATE,
    SECRET,
    SHARED,
    TODAY,
    WALL,
    Pair,
    decided,
    entry,
    request,
    response,
)

AUTHORIZED = (("Authorization", "Bearer x"),)
TAGGED = ("ETag", '"a"')
FRESH = ("Cache-Control", "max-age=60")


def cc(value: str) -> Pair:
    return ("Cache-Control", value)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ([], Reason.NO_FRESHNESS),
        ([cc("max-age=0")], Reason.NO_FRESHNESS),
        ([cc("max-age=x")], Reason.NO_FRESHNESS),
        ([cc("no-store")], Reason.NO_STORE),
        ([cc("no-store, max-age=60"), TAGGED], Reason.NO_STORE),
        ([cc("no-cache")], Reason.NO_FRESHNESS),
        ([cc("no-cache, max-age=60")], Reason.NO_CACHE),
        ([FRESH, ("Set-Cookie", "a=b")], Reason.SET_COOKIE),
        ([FRESH, ("Vary", "*")], Reason.VARY_ANY),
        ([FRESH, ("Vary", "Foo"), ("Vary", ", *")], Reason.VARY_ANY),
    ],
)
@pytest.mark.parametrize("scope", [*Scope])
def test_skipped(fields: list[Pair], reason: Reason, scope: Scope) -> None:
    assert decided(*fields, policy=CachePolicy(scope=scope)) == Skip(reason=reason)


@pytest.mark.parametrize(
    "fields",
    [
        [FRESH],
        [("Expires", "Wed, 15 Jul 2026 13:50:00 GMT"), ("Date", TODAY)],
        [TAGGED],
        [("Last-Modified", TODAY)],
        [cc("max-age=0"), TAGGED],
        [cc("no-cache"), TAGGED],
        [cc("no-cache, max-age=60"), TAGGED],
        [cc("must-understand, no-store, max-age=60")],
        [FRESH, ("Age", "100")],
    ],
)
@pytest.mark.parametrize("scope", [*Scope])
def test_admitted(fields: list[Pair], scope: Scope) -> None:
    assert isinstance(decided(*fields, policy=CachePolicy(scope=scope)), Admit)


@pytest.mark.parametrize(
    ("status", "fields", "reason"),
    [
        (206, [FRESH], Reason.PARTIAL),
        (304, [FRESH], Reason.NOT_MODIFIED),
        (101, [FRESH], Reason.NOT_MODIFIED),
        (299, [cc("must-understand, max-age=60")], Reason.NOT_UNDERSTOOD),
        (403, [TAGGED], Reason.UNCACHEABLE_STATUS),
        (500, [TAGGED], Reason.UNCACHEABLE_STATUS),
        (503, [], Reason.UNCACHEABLE_STATUS),
        (500, [cc("max-age=0")], Reason.NO_FRESHNESS),
        (299, [FRESH], None),
        (599, [FRESH], None),
        (500, [FRESH], None),
        (404, [TAGGED], None),
    ],
)
def test_statuses(status: int, fields: list[Pair], reason: Reason | None) -> None:
    outcome = decided(*fields, status=status)
    assert outcome == Skip(reason=reason) if reason else isinstance(outcome, Admit)


@pytest.mark.parametrize("status", [400, 403, 404, 431, 500, 503])
def test_no_ttl_of_ours_stores_a_failure(status: int) -> None:
    assert isinstance(decided(status=status, policy=CachePolicy(default_ttl=60, override_ttl=60)), Skip)


@pytest.mark.parametrize(
    ("fields", "asked", "reason"),
    [
        ([cc("private, max-age=60")], (), Reason.PRIVATE),
        ([cc('private="x", max-age=60')], (), Reason.PRIVATE),
        ([FRESH], AUTHORIZED, Reason.AUTHORIZED),
        ([TAGGED], AUTHORIZED, Reason.AUTHORIZED),
        ([cc("public, max-age=60")], AUTHORIZED, None),
        ([cc("must-revalidate, max-age=60")], AUTHORIZED, None),
        ([cc("s-maxage=60")], AUTHORIZED, None),
    ],
)
def test_a_shared_cache(fields: list[Pair], asked: tuple[Pair, ...], reason: Reason | None) -> None:
    outcome = decided(*fields, asked=asked, policy=SHARED)
    assert outcome == Skip(reason=reason) if reason else isinstance(outcome, Admit)
    # One credential's cache may keep all of these.
    assert isinstance(decided(*fields, asked=asked, policy=PRIVATE), Admit)


def test_the_request_may_forbid_storing() -> None:
    assert decided(FRESH, asked=(cc("no-store"),)) == Skip(reason=Reason.REQUEST_NO_STORE)


@pytest.mark.parametrize(
    ("fields", "status", "reason"),
    [
        ([FRESH], 200, None),
        ([FRESH], 404, None),
        ([cc("no-store")], 200, Reason.NO_STORE),
        ([("X", "y")], 200, Reason.NO_FRESHNESS),
        ([FRESH, ("Set-Cookie", "a=b")], 200, Reason.SET_COOKIE),
        ([FRESH, ("Vary", "*")], 200, Reason.VARY_ANY),
        ([FRESH, ("Content-Range", "bytes 0-1/4")], 206, Reason.PARTIAL),
        ([FRESH], 304, Reason.NOT_MODIFIED),
    ],
)
def test_an_answer_to_head_is_admitted_as_what_it_is(
    fields: list[Pair], status: int, reason: Reason | None
) -> None:
    outcome = decided(*fields, status=status, method="HEAD")
    if reason is not None:
        assert outcome == Skip(reason=reason)
    else:
        assert isinstance(outcome, Admit)
        assert outcome.entry.head_only
    got = decided(*fields, status=status)
    assert isinstance(got, Skip) or not got.entry.head_only


@pytest.mark.parametrize(
    ("fields", "scope", "reason"),
    [
        ([cc("no-store")], Scope.CREDENTIAL, Reason.NO_STORE),
        ([cc("private")], Scope.SHARED, Reason.PRIVATE),
        ([("Set-Cookie", "a=b")], Scope.CREDENTIAL, Reason.SET_COOKIE),
        ([("Vary", "*")], Scope.CREDENTIAL, Reason.VARY_ANY),
    ],
)
def test_an_override_does_not_overrule(fields: list[Pair], scope: Scope, reason: Reason) -> None:
    assert decided(*fields, policy=CachePolicy(override_ttl=60, scope=scope)) == Skip(reason=reason)


def test_an_override_replaces_the_rest() -> None:
    kept = entry(cc("no-cache, max-age=0, must-revalidate"), policy=CachePolicy(override_ttl=60))
    assert (kept.lifetime, kept.validate, kept.strict) == (60, False, False)


def test_what_is_worked_out() -> None:
    kept = entry(
        cc("max-age=60, must-revalidate, stale-while-revalidate=7, stale-if-error=9"),
        TAGGED,
        ("Last-Modified", TODAY),
        ("Age", "5"),
        ("Vary", "Foo"),
        sent=NOW - 2,
    )
    assert (kept.status, kept.received, kept.initial_age, kept.lifetime) == (200, NOW, 7, 60)
    assert (kept.etag, kept.last_modified, kept.modified, kept.date) == ('"a"', TODAY, WALL, WALL)
    assert (kept.strict, kept.validate, kept.vary) == (True, False, ("foo",))
    assert (kept.stale_while_revalidate, kept.stale_if_error) == (7, 9)
    assert "age" not in kept.headers


def test_an_answer_without_a_date_gets_that_of_its_arrival() -> None:
    assert entry(FRESH).headers.all("date") == [TODAY]
    assert entry(FRESH, ("Date", "nonsense")).headers.all("date") == ["nonsense"]
    earlier = "Wed, 15 Jul 2026 12:00:00 GMT"
    assert entry(FRESH, ("date", earlier)).headers.all("date") == [earlier]


def test_the_operators_stale_times_are_for_answers_that_say_nothing() -> None:
    policy = CachePolicy(stale_while_revalidate=1, stale_if_error=2)
    silent = entry(FRESH, policy=policy)
    assert (silent.stale_while_revalidate, silent.stale_if_error) == (1, 2)
    spoken = entry(cc("max-age=60, stale-while-revalidate=0, stale-if-error=0"), policy=policy)
    assert (spoken.stale_while_revalidate, spoken.stale_if_error) == (0, 0)


IF_ERROR = CachePolicy(stale_if_error=60)
STREAM = ("Content-Type", "text/event-stream")


@pytest.mark.parametrize(
    ("fields", "policy", "admitted"),
    [
        ([cc("max-age=0, stale-while-revalidate=60")], PRIVATE, True),
        ([cc("max-age=0, stale-if-error=60")], PRIVATE, True),
        ([cc("max-age=0")], IF_ERROR, True),
        ([], IF_ERROR, True),
        # Where nobody's call has failed, an answer that says nothing is nobody else's.
        ([], CachePolicy(stale_while_revalidate=60), False),
        ([cc("max-age=0, stale-while-revalidate=0, stale-if-error=0")], IF_ERROR, False),
        ([cc("max-age=0, must-revalidate")], IF_ERROR, False),
        ([cc("no-cache")], IF_ERROR, False),
        ([cc("no-store")], IF_ERROR, False),
        ([STREAM], IF_ERROR, False),
    ],
)
def test_what_was_never_fresh_is_kept_where_it_may_serve_stale(
    fields: list[Pair], policy: CachePolicy, admitted: bool
) -> None:
    assert isinstance(decided(*fields, policy=policy), Admit) is admitted


@pytest.mark.parametrize("status", [404, 410, 501])
def test_the_operators_stale_times_are_not_meant_for_failures(status: int) -> None:
    policy = CachePolicy(stale_while_revalidate=60, stale_if_error=60)
    assert isinstance(decided(status=status, policy=policy), Skip)
    kept = entry(cc("max-age=60"), status=status, policy=policy)
    assert (kept.stale_while_revalidate, kept.stale_if_error) == (0, None)


@pytest.mark.parametrize(
    ("directive", "private", "shared"),
    [
        ("must-revalidate", True, True),
        ("proxy-revalidate", False, True),
        ("s-maxage=60", False, True),
        ("immutable", False, False),
    ],
)
def test_strict(directive: str, private: bool, shared: bool) -> None:
    fields = cc(f"max-age=60, {directive}")
    assert entry(fields, policy=PRIVATE).strict is private
    assert entry(fields, policy=SHARED).strict is shared


_NAMES = st.sampled_from(
    [
        "Cache-Control",
        "Set-Cookie",
        "Vary",
        "Connection",
        "X-A",
        "Age",
        "ETag",
        "Transfer-Encoding",
        "Expires",
    ]
)
_VALUES = st.sampled_from(
    [
        "max-age=60",
        "no-store",
        "private",
        "public",
        "x-a",
        "*",
        "0",
        '"a"',
        "must-understand",
        "no-cache",
        ", *",
    ]
)


@given(
    st.lists(st.tuples(_NAMES, _VALUES), max_size=8),
    st.integers(200, 599),
    st.sampled_from([PRIVATE, SHARED, CachePolicy(override_ttl=9), replace(SHARED, default_ttl=9)]),
)
def test_nothing_is_admitted_that_must_not_be(fields: list[Pair], status: int, policy: CachePolicy) -> None:
    outcome = decided(*fields, status=status, policy=policy)
    if isinstance(outcome, Skip):
        return
    said = ",".join(value for name, value in fields if name == "Cache-Control")
    assert "no-store" not in said or "must-understand" in said
    assert not any(name == "Set-Cookie" for name, _ in fields)
    assert not any(name == "Vary" and "*" in value for name, value in fields)
    assert policy.scope is Scope.CREDENTIAL or "private" not in said
    assert not outcome.entry.headers.names() & {"set-cookie", "connection", "age", "transfer-encoding"}
    assert outcome.entry.lifetime > 0 or outcome.entry.validators
    assert status != 206


def test_a_failure_under_a_success_s_status_is_never_stored() -> None:
    fault = Fault(kind=RateLimitError, status=200)
    said = replace(response(FRESH, TAGGED), fault=fault)
    found = admit(request(), said, Moment(sent=NOW, received=NOW, wall=WALL), policy=PRIVATE, secret=SECRET)
    assert found == Skip(reason=Reason.FAILURE_IN_BODY)
