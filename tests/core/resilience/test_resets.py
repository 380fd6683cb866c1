"""Is each way of saying when a limit ends read, and nothing read into what says nothing?"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.resilience.resets import GRAMMARS, in_body, read

WALL = 1_716_200_000.0  # 2024-05-20 10:13:20 UTC


@pytest.mark.parametrize(
    ("text", "grammar", "expected"),
    [
        ("30", "delta", 30.0),
        ("0", "delta", 0.0),
        ("0.25", "delta", 0.25),
        (" 7 ", "delta", 7.0),
        ('"7"', "delta", 7.0),
        ("1716200030", "epoch", 30.0),
        ("1716200030.5", "epoch", 30.5),
        ("1716200030000", "epoch", 30.0),
        ("1716199999", "epoch", 0.0),
        ("2024-05-20T10:13:50Z", "iso", 30.0),
        ("2024-05-20t10:13:50z", "iso", 30.0),
        ("2024-05-20T10:13:50.5Z", "iso", 30.5),
        ("2024-05-20T10:13:50.123456789Z", "iso", 30.123456),
        ("2024-05-20T12:13:50+02:00", "iso", 30.0),
        ("2024-05-20 10:13:50 UTC", "iso", 30.0),
        ("2024-05-20T10:13:50", "iso", 30.0),
        ("2024-05-20T10:13:00Z", "iso", 0.0),
        ("2024-05-20T10:14Z", "iso", 40.0),
        ("6m0s", "duration", 360.0),
        ("20ms", "duration", 0.02),
        ("1h2m3.5s", "duration", 3723.5),
        ("2d", "duration", 172800.0),
        ("500us", "duration", 0.0005),
        ("500µs", "duration", 0.0005),
        ("500µs".encode().decode("latin-1"), "duration", 0.0005),
        ("34.074824224s", "duration", 34.074824224),
        ("Mon, 20 May 2024 10:13:50 GMT", "date", 30.0),
        ("Monday, 20-May-24 10:13:50 GMT", "date", 30.0),
    ],
)
def test_a_grammar(text: str, grammar: str, expected: float) -> None:
    assert read(text, WALL) == pytest.approx(expected, abs=1e-6)
    assert read(text, WALL, grammar) == pytest.approx(expected, abs=1e-6)
    others = set(GRAMMARS) - {grammar}
    assert all(read(text, WALL, other) is None for other in others), "one text, one grammar"


@pytest.mark.parametrize(
    "text",
    [
        *(None, "", " ", "soon", "-1", "+5", "1e3", "nan", "inf", "0x10", "5 s", "1,5", "s", "5x", "1h2"),
        *("2024-13-20T10:13:50Z", "2024-05-20", "2024-05-20T25:00:00Z", "9" * 400, "1s" * 50, "10:13"),
    ],
)
def test_what_says_nothing(text: str | None) -> None:
    assert read(text, WALL) is None


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (
            {
                "error": {
                    "code": 429,
                    "details": [
                        {"@type": "type.googleapis.com/google.rpc.QuotaFailure"},
                        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"},
                    ],
                }
            },
            34.5,
        ),
        ({"message": "You are being rate limited.", "retry_after": 0.65, "global": False}, 0.65),
        ({"ok": False, "error_code": 429, "parameters": {"retry_after": 14}}, 14.0),
        ({"error": {"retry_after": "3"}}, 3.0),
        ({"error": {"retry_after": "1m3s"}}, 63.0),
        ({"retry_after": True}, None),
        ({"retry_after": -1}, None),
        ({"retry_after": float("inf")}, None),
        ({"retry_after": float("nan")}, None),
        ({"retry_after": [1]}, None),
        ({"error": "rate limited"}, None),
        ({"error": {"details": "none"}}, None),
        ([], None),
        ("30", None),
        (None, None),
    ],
)
def test_a_body(document: Any, expected: float | None) -> None:
    assert in_body(document) == expected


@given(st.text(max_size=60))
def test_no_text_raises_and_none_is_in_the_past(text: str) -> None:
    found = read(text, WALL)
    assert found is None or found >= 0


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["error", "retry_after", "details", "@type"]), inner, max_size=3
            )
        ),
        max_leaves=12,
    )
)
def test_no_body_raises(document: Any) -> None:
    found = in_body(document)
    assert found is None or found >= 0


@pytest.mark.parametrize(
    ("cost", "expected"),
    [
        ({"requestedQueryCost": 200, "throttleStatus": {"currentlyAvailable": 50, "restoreRate": 50.0}}, 3.0),
        ({"requestedQueryCost": 20, "throttleStatus": {"currentlyAvailable": 50, "restoreRate": 50.0}}, None),
        ({"requestedQueryCost": 200, "throttleStatus": {"currentlyAvailable": 50, "restoreRate": 0}}, None),
        ({"requestedQueryCost": None, "throttleStatus": {}}, None),
        ({"throttleStatus": 5}, None),
        ([], None),
    ],
)
def test_a_bucket_of_costs_that_fills_up_again(cost: Any, expected: float | None) -> None:
    assert in_body({"errors": [], "extensions": {"cost": cost}}) == expected
