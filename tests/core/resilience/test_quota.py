"""Are an upstream's own figures read in every family, and is what is left spread to the reset?"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.dialect import Meter
from proxy.core.message import Headers
from proxy.core.resilience.passage import GO, Go, Wait
from proxy.core.resilience.quota import (
    Learned,
    PacePolicy,
    Reading,
    counts_requests,
    ended,
    learn,
    pace,
    readings,
)

WALL = 1_716_200_000.0


def said(*pairs: tuple[str, str]) -> tuple[Reading, ...]:
    return readings(Headers.of(*pairs), WALL)


def of(left: float, limit: float | None = None, reset: float | None = None, name: str = "default") -> Reading:
    return Reading(bucket=name, limit=limit, remaining=left, reset=reset)


def three(before: str, limit: str, left: str, reset: str) -> tuple[tuple[str, str], ...]:
    return (f"{before}Limit", limit), (f"{before}Remaining", left), (f"{before}Reset", reset)


FAMILIES: list[tuple[str, tuple[tuple[str, str], ...], tuple[Reading, ...]]] = [
    ("nothing", (("Content-Type", "text/plain"),), ()),
    ("three fields", three("RateLimit-", "100", "50", "30"), (of(50, 100, 30),)),
    ("GitHub", (*three("X-RateLimit-", "60", "59", "1716200030"), ("X-RateLimit-Resource", "core")),
     (of(59, 60, 30, "core"),)),
    ("Twitter", three("X-Rate-Limit-", "15", "3", "1716200900"), (of(3, 15, 900),)),
    ("Discord", (*three("X-RateLimit-", "5", "0", "1716200001.25"), ("X-RateLimit-Reset-After", "1.5"),
                 ("X-RateLimit-Bucket", "abcd1234")), (of(0, 5, 1.5, "abcd1234"),)),
    ("a strange bucket's name", (*three("X-RateLimit-", "5", "1", "9"), ("X-RateLimit-Resource", "a b")),
     (of(1, 5, 9),)),
    ("OpenAI", (
        ("x-ratelimit-limit-requests", "60"), ("x-ratelimit-remaining-requests", "59"),
        ("x-ratelimit-reset-requests", "1s"), ("x-ratelimit-limit-tokens", "150000"),
        ("x-ratelimit-remaining-tokens", "149984"), ("x-ratelimit-reset-tokens", "6m0s"),
    ), (of(59, 60, 1, "requests"), of(149984, 150000, 360, "tokens"))),
    ("Anthropic", (
        ("anthropic-ratelimit-requests-limit", "50"), ("anthropic-ratelimit-requests-remaining", "49"),
        ("anthropic-ratelimit-requests-reset", "2024-05-20T10:13:50Z"),
        ("anthropic-ratelimit-input-tokens-limit", "40000"),
        ("anthropic-ratelimit-input-tokens-remaining", "39000"),
        ("anthropic-ratelimit-input-tokens-reset", "2024-05-20T10:13:21Z"),
    ), (of(49, 50, 30, "requests"), of(39000, 40000, 1, "input-tokens"))),
    ("Shopify", (("X-Shopify-Shop-Api-Call-Limit", "32/40"),), (of(8, 40),)),
    ("the draft", (("RateLimit", '"hour";r=50;t=30, "day";r=900;t=3600'),
                   ("RateLimit-Policy", '"hour";q=100;w=60, "day";q=1000;w=86400')),
     (of(50, 100, 30, "hour"), of(900, 1000, 3600, "day"))),
    ("the draft without policy or time", (("RateLimit", '"default";r=5'),), (of(5),)),
    ("the older draft", (("RateLimit", "limit=100, remaining=50, reset=5"),), (of(50, 100, 5),)),
    ("a limit with its window", three("RateLimit-", "10, 10;window=60", "4", "5"), (of(4, 10, 5),)),
    ("only what is left", (("X-RateLimit-Remaining", "7"),), (of(7),)),
    ("no number", three("RateLimit-", "100", "plenty", "30"), ()),
    ("no reset", three("RateLimit-", "100", "5", "soon"), (of(5, 100),)),
    ("a draft's member without what is left", (("RateLimit", '"default";t=5, junk, ";";r'),), ()),
    ("a caching server on the way", (*three("RateLimit-", "100", "50", "30"), ("Age", "12")), ()),
    ("one that says hit", (*three("RateLimit-", "100", "50", "30"), ("X-Cache", "HIT from edge")), ()),
    ("one that had to ask", (*three("RateLimit-", "9", "5", "3"), ("Age", "0"), ("X-Cache", "MISS")),
     (of(5, 9, 3),)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "pairs", "expected"), FAMILIES, ids=[row[0] for row in FAMILIES])
def test_a_family(name: str, pairs: tuple[tuple[str, str], ...], expected: tuple[Reading, ...]) -> None:
    assert said(*pairs) == expected


def test_requests_and_tokens_are_told_apart() -> None:
    assert counts_requests("default")
    assert counts_requests("requests")
    assert not counts_requests("input-tokens")


def test_a_flood_of_buckets_is_cut() -> None:
    assert len(said(("RateLimit", ", ".join(f'"b{n}";r={n}' for n in range(500))))) <= 8


@given(st.sampled_from(["RateLimit", "RateLimit-Remaining", "X-Shopify-Shop-Api-Call-Limit"]), st.text())
def test_no_text_raises(name: str, text: str) -> None:
    value = text.encode("utf-8", "ignore").decode("latin-1")
    for reading in said((name, value), ("RateLimit-Policy", value), ("RateLimit-Reset", value)):
        assert reading.remaining >= 0


# Learning

NOW = 100.0


@pytest.mark.parametrize(
    ("name", "before", "reading", "expected"),
    [
        ("first", None, of(5, 10, 30), Learned(limit=10, remaining=5, until=130.0)),
        ("no limit said", None, of(5), Learned(limit=5, remaining=5, until=None)),
        (
            "answers overtake each other",
            Learned(limit=10, remaining=3, until=130.0, next=101.0),
            of(5, 10, 31),
            Learned(limit=10, remaining=3, until=130.0, next=101.0),
        ),
        (
            "less is left",
            Learned(limit=10, remaining=3, until=130.0),
            of(2, 10, 30),
            Learned(limit=10, remaining=2, until=130.0),
        ),
        (
            "a new window",
            Learned(limit=10, remaining=3, until=130.0, next=129.0),
            of(9, 10, 60),
            Learned(limit=10, remaining=9, until=160.0),
        ),
        (
            "the old window is over",
            Learned(limit=10, remaining=0, until=99.0),
            of(9, 10, 1),
            Learned(limit=10, remaining=9, until=101.0),
        ),
        (
            "the largest figure is the limit where none is said",
            Learned(limit=40, remaining=30, until=130.0),
            of(20, None, 30),
            Learned(limit=40, remaining=20, until=130.0),
        ),
    ],
)
def test_learning(name: str, before: Learned | None, reading: Reading, expected: Learned) -> None:
    assert learn(before, reading, NOW) == expected, name


# Pacing

POLICY = PacePolicy(threshold=0.1, max_wait=2.0)


def known(left: float, limit: float = 100.0, until: float | None = 110.0) -> Learned:
    return Learned(limit=limit, remaining=left, until=until)


def test_with_enough_left_nothing_is_slowed_down() -> None:
    assert pace(POLICY, known(11), NOW) == (GO, replace(known(11), gone=1))


@pytest.mark.parametrize("learned", [known(0, until=None), known(0, until=100.0), known(0, until=50.0)])
def test_what_is_unknown_or_over_slows_nothing(learned: Learned) -> None:
    assert pace(POLICY, learned, NOW) == (GO, replace(learned, gone=1))


def test_below_the_threshold_calls_are_spread_to_the_reset() -> None:
    learned, waits = known(10), []
    for _ in range(4):
        passage, learned = pace(POLICY, learned, NOW)
        waits.append(passage.seconds if isinstance(passage, Wait) else 0.0)
    assert waits == pytest.approx([0.0, 1.0, 2.0, 2.0])  # ten seconds, ten calls; 2 s at most
    batch, _ = pace(POLICY, learned, NOW, batch=True)
    assert isinstance(batch, Wait)
    assert batch.seconds == pytest.approx(4.0)


def test_with_nothing_left_batch_waits_for_the_reset_and_interactive_a_while() -> None:
    assert pace(POLICY, known(0), NOW) == (Wait(seconds=2.0), replace(known(0), gone=1))
    assert pace(POLICY, known(0), NOW, batch=True) == (Wait(seconds=10.0), replace(known(0), gone=1))


def test_figures_that_do_not_fall_are_believed() -> None:
    """GitHub counts no 304: the told figure stays, however many calls were let go meanwhile."""
    learned = known(11)
    for _ in range(50):
        passage, learned = pace(POLICY, learned, NOW)
        learned = learn(ended(learned), of(11, 100, 10), NOW)
        assert passage == GO
    assert learned == known(11)


def test_calls_under_way_count_as_gone() -> None:
    learned = known(12)
    passages = []
    for _ in range(4):
        passage, learned = pace(POLICY, learned, NOW)
        passages.append(passage)
    assert passages[:3] == [GO, GO, GO]
    assert passages[3] != GO
    assert ended(known(12)) == known(12)


@settings(deadline=None)
@given(
    left=st.integers(0, 50),
    limit=st.integers(1, 100),
    reset=st.floats(0.1, 60),
    gaps=st.lists(st.floats(0, 3), max_size=60),
)
def test_batch_calls_never_use_more_than_is_left(
    left: int, limit: int, reset: float, gaps: list[float]
) -> None:
    """The model counts what goes before the reset; the last of what is left never goes sooner than spread."""
    now, learned = 1000.0, Learned(limit=float(limit), remaining=float(left), until=1000.0 + reset)
    went = []
    for gap in gaps:
        now += gap
        if now >= 1000.0 + reset:
            break
        passage, learned = pace(POLICY, learned, now, batch=True)
        match passage:
            case Go():
                went.append(now)
            case Wait(seconds=seconds):
                assert seconds > 0
                went.append(now + seconds)
    within = [when for when in went if when < 1000.0 + reset - 1e-6]
    assert len(within) <= left
    assert went == sorted(went)


@pytest.mark.parametrize(
    ("meter", "fields", "expected"),
    [
        (
            Meter(bucket="b", limit="x-max", remaining="x-left", reset="x-reset", grammar="delta"),
            [("X-Max", "9"), ("X-Left", "4"), ("X-Reset", "30")],
            Reading(bucket="b", limit=9.0, remaining=4.0, reset=30.0),
        ),
        (
            Meter(bucket="b", remaining="x-left", reset="x-reset", grammar="epoch"),
            [("X-Left", "4"), ("X-Reset", "30")],
            Reading(bucket="b", remaining=4.0),
        ),
        (
            Meter(bucket="default", remaining="x-left"),
            [("X-Left", "4"), ("X-RateLimit-Resource", "core")],
            Reading(bucket="core", remaining=4.0),
        ),
        (
            Meter(bucket="b", used="x-calls"),
            [("X-Calls", "32/40")],
            Reading(bucket="b", limit=40.0, remaining=8.0),
        ),
    ],
)
def test_the_fields_that_a_preset_names_are_read_and_no_others(meter, fields, expected):
    also = [("X-RateLimit-Remaining-Tokens", "1"), *fields]
    assert readings(Headers.of(*also), WALL, (meter,)) == (expected,)
    assert readings(Headers.of(("X-Other", "1")), WALL, (meter,)) == ()
