"""Which requests are the same, whose are they, and what is told to the second one?"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.failure import InvalidRequestError, RateLimitError, of_status
from proxy.core.forwarding import forward
from proxy.core.message import Headers, Request
from proxy.core.resilience.receipt import Receipt, keepable, mark, place, told
from proxy.core.routing import Route
from tests.core.caching.samples import SECRET, Pair, request, route

KEY = ("Idempotency-Key", "k-1")
KEYED = route(idempotency=60.0)


def where(*fields: Pair, method: str = "POST", on: Route = KEYED, target: str = "/a") -> bytes | None:
    asked = request(*fields, method=method, target=target)
    onward = forward(asked, on, target, request_id="ID", traceparent="TP", caller="10.0.0.1")
    return place(asked, onward, on, secret=SECRET)


def test_the_same_key_of_the_same_caller_is_one_place() -> None:
    assert where(KEY) is not None
    assert where(KEY) == where(("Accept", "x"), ("idempotency-key", "k-1"), ("User-Agent", "y"))
    assert where(KEY) == where(KEY, method="PATCH", target="/b"), (
        "another request is to be found, and refused"
    )


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE"])
def test_what_does_nothing_needs_no_place(method: str) -> None:
    assert where(KEY, method=method) is None


@pytest.mark.parametrize("fields", [(), (("Idempotency-Key", ""),), (("Idempotency-Key", "  "),)])
def test_without_a_key_there_is_no_place(fields: tuple[Pair, ...]) -> None:
    assert where(*fields) is None


def test_where_nobody_asked_for_it_there_is_no_place() -> None:
    assert where(KEY, on=route()) is None


OTHERS = [
    where(("Idempotency-Key", "k-2")),
    where(KEY, ("Idempotency-Key", "k-1")),
    where(KEY, ("Authorization", "Bearer a")),
    where(KEY, ("Authorization", "Bearer b")),
    where(KEY, ("Cookie", "session=a")),
    where(KEY, ("X-Api-Key", "a")),
    where(KEY, ("Leeward-Token", "a")),
    where(KEY, ("Stripe-Account", "acct_1")),
    where(KEY, on=route(name="other", idempotency=60.0)),
    where(KEY, on=route(identity="other", idempotency=60.0)),
    where(KEY, on=route(path="/other", idempotency=60.0)),
]


def test_nobody_else_finds_it() -> None:
    places = [where(KEY), *OTHERS]
    assert None not in places
    assert len(set(places)) == len(places)


def test_a_caller_whose_credential_is_replaced_is_still_itself() -> None:
    """Two apps that are given one credential here are two callers by their own."""

    class Replacing(type(KEYED.injector)):  # type: ignore[misc]  # the sample's own class
        replaced = frozenset({"authorization"})

    on = replace(KEYED, injector=Replacing())
    assert where(KEY, ("Authorization", "Bearer a"), on=on) != where(
        KEY, ("Authorization", "Bearer b"), on=on
    )


def test_the_way_that_it_came_counts_only_where_the_upstream_hears_of_it() -> None:
    one, other = ("X-Forwarded-For", "10.0.0.8"), ("X-Forwarded-For", "10.0.0.9")
    assert where(KEY, one) == where(KEY, other) == where(KEY)
    told_of = replace(KEYED, forwarded=True)
    assert where(KEY, one, on=told_of) != where(KEY, other, on=told_of)


def marked(asked: Request, *pieces: bytes) -> bytes:
    found = mark(asked, secret=SECRET)
    for piece in pieces:
        found.update(piece)
    return found.digest()


def test_method_target_and_body_make_the_mark() -> None:
    asked = request(method="POST", target="/a?b")
    assert marked(asked, b"one", b"two") == marked(asked, b"onetwo")
    marks = {
        marked(asked, b"one"),
        marked(asked),
        marked(request(method="PUT", target="/a?b"), b"one"),
        marked(request(method="POST", target="/a"), b"?bone"),
        marked(request(method="POST", target="/a?bone")),
    }
    assert len(marks) == 5


@pytest.mark.parametrize("code", [200, 201, 204, 302, 400, 402, 404, 410, 413, 422])
def test_the_last_word_is_kept(code: int) -> None:
    assert keepable(code, of_status(code))


@pytest.mark.parametrize("code", [401, 403, 407, 408, 409, 412, 421, 423, 425, 429, 500, 502, 503, 504, 529])
def test_what_another_try_may_better_is_not(code: int) -> None:
    assert not keepable(code, of_status(code))


def test_a_failure_that_looks_like_a_success_is_one() -> None:
    """By what the preset of its API says of its body."""
    assert not keepable(200, RateLimitError)
    assert not keepable(403, RateLimitError)
    assert keepable(200, InvalidRequestError)


def first(*fields: Pair, body: bytes = b"done") -> Receipt:
    return Receipt(
        mark=b"m", status=201, reason="Made", headers=Headers.of(*fields), body=body, received=100.0
    )


async def test_the_first_answer_is_told_again() -> None:
    kept = first(
        ("Content-Type", "text/plain"),
        ("Set-Cookie", "a=b"),
        ("idempotent-replayed", "false"),
        ("Age", "9"),
        ("Cache-Status", "cdn; hit"),
        ("Cache-Status", "leeward; fwd=method; fwd-status=201"),
    )
    answer = told(kept, b"m", now=103.5, ttl=60.0)
    assert (answer.status, answer.reason, await answer.body.read()) == (201, "Made", b"done")
    assert list(answer.headers) == [
        ("content-type", "text/plain"),
        ("set-cookie", "a=b"),
        ("cache-status", "cdn; hit"),
        ("idempotent-replayed", "true"),
        ("age", "3"),
        ("cache-status", "leeward; hit; ttl=57; detail=idempotent-replay"),
    ]


def test_what_another_cache_said_stays() -> None:
    kept = first(("Cache-Status", "cdn; hit"))
    assert told(kept, b"m", now=100.0, ttl=60.0).headers.all("cache-status")[0] == "cdn; hit"


def test_another_request_with_the_key_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="used before") as caught:
        told(first(), b"other", now=101.0, ttl=60.0)
    assert (caught.value.status, caught.value.code, caught.value.retryable) == (422, "invalid_request", False)


@given(value=st.text("\x20\x21\xff", min_size=1, max_size=5), name=st.sampled_from(["Cookie", "X-Api-Key"]))
def test_no_value_runs_into_the_next(value: str, name: str) -> None:
    """Neither a caller's key nor its credential can be made to look like another's."""
    keys = [where(("Idempotency-Key", "k" + value)), where(("Idempotency-Key", "k"), (name, value))]
    assert keys[0] != keys[1]


def test_a_receipt_shows_nothing_of_what_it_holds() -> None:
    assert "canary" not in repr(first(("X-Secret", "canary"), body=b"canary"))
