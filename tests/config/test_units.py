from __future__ import annotations

import contextlib
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from proxy.config.units import Duration, Size, seconds, size


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("250ms", 0.25),
        ("30s", 30),
        ("5m", 300),
        ("1h", 3600),
        ("7d", 604800),
        ("1m30s", 90),
        ("1.5s", 1.5),
        (" 30s ", 30),
        (0, 0),
        ("0", 0),
        ("0s", 0),
        (0.0, 0),
    ],
)
def test_durations(written: object, expected: float) -> None:
    assert seconds(written) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("written", "cure"),
    [
        (30, "write 30s or 30ms"),
        ("30", "write 30s or 30ms"),
        ("-5s", "not a duration; write for example 250ms"),
        (-5, "has a sign; write a duration such as 30s"),
        ("30 seconds", "write for example"),
        ("5M", "write for example"),
        ("", "write for example"),
        ("1m 30s", "write for example"),
        ("٣s", "write for example"),
        (True, "should be a duration such as"),
        (None, "should be a duration such as"),
        ([], "should be a duration such as"),
        ("1" * 100 + "s", "is too long"),
        ("99999999d", "longer than a hundred years"),
        (float("nan"), "write for example"),
    ],
)
def test_what_is_no_duration_is_told_with_its_cure(written: object, cure: str) -> None:
    with pytest.raises(ValueError, match=re.escape(cure)):
        seconds(written)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("512B", 512),
        ("64KiB", 65536),
        ("8MiB", 8 * 1024**2),
        ("1GiB", 1024**3),
        ("1KB", 1000),
        ("2MB", 2_000_000),
        ("3GB", 3_000_000_000),
        ("1.5KiB", 1536),
        ("64 KiB", 65536),
        (0, 0),
    ],
)
def test_sizes(written: object, expected: int) -> None:
    assert size(written) == expected


@pytest.mark.parametrize(
    ("written", "cure"),
    [
        (64, "write 64KiB or 64MiB"),
        ("64mib", "did you mean 64MiB?"),
        ("64k", "did you mean 64KiB?"),
        ("64XB", "the units are B, KB"),
        ("much", "write for example 512B, 64KiB"),
        (-1, "has a sign"),
        (False, "should be a size such as"),
        ("9999999999GiB", "more than any machine holds"),
    ],
)
def test_what_is_no_size_is_told_with_its_cure(written: object, cure: str) -> None:
    with pytest.raises(ValueError, match=re.escape(cure)):
        size(written)


_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_amounts = st.lists(st.tuples(st.integers(0, 300), st.sampled_from(sorted(_UNITS))), min_size=1, max_size=4)


@given(_amounts)
def test_a_combined_duration_is_the_sum_of_its_parts(parts: list[tuple[int, str]]) -> None:
    text = "".join(f"{number}{unit}" for number, unit in parts)
    assert seconds(text) == pytest.approx(sum(number * _UNITS[unit] for number, unit in parts))


@given(st.integers(0, 1000), st.sampled_from(["B", "KB", "KiB", "MiB", "GiB"]))
def test_a_size_grows_with_its_number(number: int, unit: str) -> None:
    assert size(f"{number}{unit}") == number * size(f"1{unit}")


@given(st.one_of(st.text(max_size=80), st.integers(), st.floats(), st.none(), st.booleans()))
def test_anything_else_is_refused_and_never_fails_otherwise(written: object) -> None:
    for reader in (seconds, size):
        with contextlib.suppress(ValueError):
            assert reader(written) >= 0


@pytest.mark.parametrize("kind", [Duration, Size])
def test_the_schema_is_a_string_with_pattern_and_examples(kind: Any) -> None:
    schema = TypeAdapter(kind).json_schema()
    text = schema["anyOf"][0]
    assert text["type"] == "string"
    assert all(re.search(text["pattern"], example) for example in text["examples"])
    assert all(TypeAdapter(kind).validate_python(example) > 0 for example in text["examples"])
