"""Which hits last, and until when."""

from dataclasses import replace

import pytest

from proxy.core.caching.entry import Entry
from proxy.core.caching.lasting import lasts, turns, until
from proxy.core.caching.policy import CachePolicy, KeyPolicy
from proxy.core.message import Request, Whole
from tests.core.caching.samples import entry, request, route

FRESH = ("Cache-Control", "max-age=60")
PLAIN = entry(FRESH)


@pytest.mark.parametrize(
    ("asked", "stored", "answer"),
    [
        (request(), PLAIN, True),
        (request(method="HEAD"), PLAIN, True),
        (request(("Authorization", "Bearer x"), ("Accept", "*/*")), PLAIN, True),
        (request(("traceparent", "00-1-2-00"), ("X-Request-Id", "mine")), PLAIN, True),
        (request(method="POST"), PLAIN, False),
        (replace(request(), body=Whole(b"{}")), PLAIN, False),
        *(
            (request((name, "x")), PLAIN, False)
            for name in (
                *("Cache-Control", "Pragma", "Range", "If-Range", "If-Match", "If-None-Match"),
                *("If-Modified-Since", "If-Unmodified-Since"),
            )
        ),
        (request(), replace(PLAIN, span=(0, 1, 2)), False),
        (request(), replace(PLAIN, status=404), False),
        (request(), entry(FRESH, ("Vary", "Accept")), True),
        (request(), entry(FRESH, ("Vary", "Accept, traceparent")), False),
        (request(), entry(FRESH, ("Vary", "X-Request-ID")), False),
    ],
)
def test_what_a_request_may_say(asked: Request, stored: Entry, *, answer: bool) -> None:
    assert lasts(asked, route(), [stored], stored) is answer


def test_another_variant_may_be_told_apart_by_what_passes() -> None:
    other = entry(FRESH, ("Vary", "traceparent"))
    assert not lasts(request(), route(), [PLAIN, other], PLAIN)


@pytest.mark.parametrize("name", ["traceparent", "x-request-id"])
def test_a_key_may_hold_what_passes(name: str) -> None:
    keyed = replace(route(), cache=CachePolicy(key=KeyPolicy(headers=(name,))))
    assert not lasts(request(), keyed, [PLAIN], PLAIN)


def test_the_callers_address_is_no_part_of_its_bytes() -> None:
    assert not lasts(request(), replace(route(), forwarded=True), [PLAIN], PLAIN)


def test_it_lasts_while_it_is_fresh() -> None:
    stored = replace(PLAIN, received=100.0, initial_age=10.5, lifetime=60.0)
    end = until(stored)
    assert (stored.ttl(end), stored.fresh(end - 0.001), stored.fresh(end)) == (0, True, False)


@pytest.mark.parametrize(
    ("initial_age", "lifetime", "now", "seconds"),
    [
        (0.0, 60.0, 100.0, 1.0),
        (0.25, 60.0, 100.0, 0.75),
        (0.25, 60.0, 100.5, 0.25),
        (0.0, 60.25, 100.0, 0.25),
        (0.5, 60.25, 100.0, 0.5),
    ],
)
def test_fields_change_when_age_or_what_is_left_does(
    initial_age: float, lifetime: float, now: float, seconds: float
) -> None:
    stored = replace(PLAIN, received=100.0, initial_age=initial_age, lifetime=lifetime)
    assert turns(stored.age(now), stored.ttl(now)) == seconds
